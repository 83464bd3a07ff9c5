from __future__ import annotations

import io
import sys
from contextlib import suppress

import pytest

from basinet.cli.waiting import waiting


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def screen(written: str) -> str:
    """The line that a terminal shows after all that."""
    line: list[str] = []
    place = 0
    for letter in written:
        if letter == "\r":
            place = 0
        else:
            line[place : place + 1] = [letter]
            place += 1
    return "".join(line).rstrip()


def test_a_terminal_shows_what_is_done_and_nothing_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    seen = []
    with waiting() as say:
        for what in ("loading PyTorch", "checking"):
            say(what)
            seen.append(screen(terminal.getvalue()))
    assert seen == ["loading PyTorch …", "checking …"]
    assert screen(terminal.getvalue()) == ""
    assert "\n" not in terminal.getvalue()


def test_the_line_is_cleared_when_something_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with suppress(ValueError), waiting() as say:
        say("checking")
        raise ValueError("odd")
    assert screen(terminal.getvalue()) == ""


def test_where_there_is_no_terminal_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting() as say:
        say("loading PyTorch")
    assert capsys.readouterr() == ("", "")
