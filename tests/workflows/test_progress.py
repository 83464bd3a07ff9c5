from __future__ import annotations

import io
import os
import re
import sys
import time
from contextlib import suppress
from typing import Any

import pandas as pd
import pytest

from basinet.analysis.spread import Summary, spread
from basinet.workflows.progress import SweepProgress, print_failures, print_spread


def summary(name: str, losses: list[float]) -> Summary:
    frame = pd.DataFrame({"condition": name, "loss": losses, "status": "arrived", "kind": "minimum", "minimum": 0})
    return Summary(spread(frame, ["condition"]), ["condition"], None)


def begin(name: str, restarts: int) -> dict[str, Any]:
    return {"event": "begin", "condition": name, "restarts": restarts}


def share(name: str, value: float) -> dict[str, Any]:
    return {"event": "share", "condition": name, "share": value}


def end(name: str, losses: list[float], *, before: bool = False) -> dict[str, Any]:
    row = summary(name, losses).spread.iloc[0].to_dict()
    return {"event": "end", "condition": name, "row": row, "figures": None, "before": before}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_where_there_is_no_terminal_every_condition_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(12) as progress:
        for name, losses in (("init=normal", [0.5, 2.0, 1.0]), ("init=uniform " + "x" * 200, [0.25])):
            progress.show(begin(name, len(losses)))
            for done in (0.1, 0.5, 1.0):
                progress.show(share(name, done))
            progress.show(end(name, losses))
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == [
        "  1/12 init=normal: best 0.5, median 1 of 3 restarts",
        f"  2/12 init=uniform {'x' * 200}: best 0.25, median 0.25 of 1 restarts",
    ]


def test_what_came_out_of_the_last_condition_is_kept() -> None:
    last = end("b", [1.0], before=True)
    with SweepProgress(2) as progress:
        assert progress.last is None
        for ended in (end("a", [2.0]), last):
            progress.show(ended)
    assert progress.last is last


def test_work_goes_on_when_nobody_hears_of_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that was closed, a pipe into `head`: what has ended, and what failed, is still known in the end."""
    reading, writing = os.pipe()
    failed = {"event": "failed", "condition": "b", "error": "ValueError: odd"}
    with os.fdopen(writing, "w", buffering=1) as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        os.close(reading)
        with SweepProgress(2) as progress:
            for event in (begin("a", 1), end("a", [1.0]), begin("b", 1), failed):
                progress.show(event)
        with suppress(BrokenPipeError):
            pipe.flush()
        monkeypatch.undo()
        os.dup2(nowhere := os.open(os.devnull, os.O_WRONLY), pipe.fileno())
        os.close(nowhere)
    assert progress.last is not None
    assert progress.failures == [failed]


@pytest.mark.parametrize("name", ["problem.path=a[/b].csv", "x[red]y", "[", "a[1, 2]"])
def test_names_that_look_like_markup_are_shown_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(1) as progress:
        progress.show(begin(name, 1))
        progress.show(end(name, [1.0]))
    print_spread(summary(name, [1.0]).spread, ["condition"], "a title")
    written = capsys.readouterr()
    assert f"{name}: best" in written.err
    assert f"\n{name} " in written.out


def test_a_condition_that_has_ended_leaves_no_bar_and_one_that_failed_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    failed = {"event": "failed", "condition": "one that fails", "error": "Traceback\nValueError: odd"}
    with SweepProgress(2) as progress:
        for event in (begin("one that fails", 1), begin("one that ends", 1), failed, end("one that ends", [1.0])):
            progress.show(event)
        tasks = [task.description for task in progress._bars.tasks]
    assert tasks == ["sweep"]
    assert progress.failures == [failed]
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "one that fails: failed: ValueError: odd" in shown


def test_the_same_failure_of_many_conditions_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    failures = [{"condition": name, "error": "OSError: full\n"} for name in ("a", "b")]
    print_failures([*failures, {"condition": "c", "error": "ValueError: odd"}])
    assert capsys.readouterr().err == "\nfailed: a, b\nOSError: full\n\nfailed: c\nValueError: odd\n"


def test_on_a_terminal_bars_show_the_share_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with SweepProgress(4) as progress:
        progress.show(begin("init=normal", 200))
        progress.show(share("init=normal", 0.25))
        time.sleep(0.3)  # it draws ten times a second
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert re.search(r"init=normal .* 25% +50/200", shown)
    assert re.search(r"sweep .* 0% +0/4", shown)


def test_the_spread_is_a_table_with_a_row_for_every_condition(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame(
        {
            "init": ["a"] * 4 + ["b"] * 2,
            "loss": [1.0, 2.0, 3.0, 4.0, 0.125, float("nan")],
            "status": ["arrived"] * 5 + ["diverged"],
            "kind": ["minimum"] * 5 + ["diverged"],
            "minimum": [0, 1, 2, 3, 0, -1],
        }
    )
    print_spread(spread(frame, ["init"]), ["init"], "a title")
    title, header, *rows = capsys.readouterr().out.splitlines()
    assert title.strip() == "a title"
    assert header.split()[:2] == ["init", "restarts"]
    assert re.match(r"a +4 +1 +2\.5 \[1, 4\] +4 +minimum 100 %", rows[0])
    assert re.match(r"b +2 +0\.125 +0\.125 \[0\.125, 0\.125\] +0\.125 +minimum 50 %, diverged 50 %", rows[1])


def test_in_a_narrow_terminal_no_number_and_no_name_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    print_spread(summary("init=xavier_normal", [0.000123, 0.000456, 0.000789]).spread, ["condition"], "")
    assert "…" not in terminal.getvalue()
    assert re.search(r"init=xavier_normal +3 +0\.000123 +0\.000456 \[0\.000123, 0\.000789\]", terminal.getvalue())


def test_a_table_of_conditions_that_have_all_diverged_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"init": "a", "loss": [float("nan")], "status": "diverged", "kind": "diverged", "minimum": -1})
    print_spread(spread(frame, ["init"]), ["init"], "")
    assert "diverged 100 %" in capsys.readouterr().out


def test_accuracies_stand_in_the_table_where_there_are_any_and_a_line_explains_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = pd.DataFrame({"init": "a", "loss": [1.0, 2.0, 3.0], "status": "arrived", "kind": "minimum", "minimum": 0})
    print_spread(spread(frame, ["init"]), ["init"], "a title")
    assert "accuracy" not in capsys.readouterr().out
    frame["accuracy"], frame["accuracy_holdout"] = [0.5, 0.75, 1.0], [0.25, 0.5, 0.5]
    print_spread(spread(frame, ["init"]), ["init"], "a title")
    out = capsys.readouterr().out
    _, heading, row, *_ = out.splitlines()
    assert heading.index("accuracy") < heading.index("held out")
    assert re.search(r" 3 +75 % +50 % +minimum 100 %", row)
    assert "median share of samples in the right class" in " ".join(out.split())
