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

from basinet.analysis.spread import spread
from basinet.workflows.progress import SweepProgress, ended_line, print_failures


def row_of(losses: list[float]) -> dict[str, Any]:
    frame = pd.DataFrame({"condition": "a", "loss": losses, "status": "arrived", "kind": "minimum", "minimum": 0})
    return spread(frame, ["condition"]).iloc[0].to_dict()


def begin(name: str, restarts: int) -> dict[str, Any]:
    return {"event": "begin", "condition": name, "restarts": restarts}


def share(name: str, value: float) -> dict[str, Any]:
    return {"event": "share", "condition": name, "share": value}


def end(name: str, losses: list[float], *, before: bool = False) -> dict[str, Any]:
    return {"event": "end", "condition": name, "row": row_of(losses), "figures": None, "before": before}


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


def pace(workers: int, rate: float) -> dict[str, Any]:
    return {"event": "pace", "condition": "dask", "workers": workers, "restarts": 10, "rate": rate}


def test_of_workers_it_is_said_how_many_there_are_and_what_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with SweepProgress(2) as progress:
        progress.show(pace(3, 1240.4))
        assert [task.description for task in progress._bars.tasks] == ["sweep, dask: 3 workers, 1,240 restarts/s"]


def test_where_there_is_no_terminal_workers_are_spoken_of_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with SweepProgress(2) as progress:
        progress.show(pace(3, 5.0))
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 61)
        progress.show(pace(2, 4.0))
        progress.show(pace(1, 3.0))
    assert capsys.readouterr().err.splitlines() == ["dask: 2 workers, 4 restarts/s, 0 of 2 conditions"]


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
    assert f"{name}: best" in capsys.readouterr().err


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


def test_a_bar_says_what_is_done_while_no_share_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    compiling = {"event": "said", "condition": "a", "message": "compiling the kernel, which is kept", "warning": False}
    with SweepProgress(1) as progress:

        def shown(*events: dict[str, Any]) -> str:
            for event in events:
                progress.show(event)
            terminal.truncate(terminal.seek(0))
            progress._bars.refresh()
            return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())

        seen = [shown(begin("a", 200)), shown(compiling), shown(share("a", 0.25)), shown(share("a", 1.0))]
    for text, doing in zip(seen, ("preparing", "compiling the kernel", " 25%  50/200", "examining"), strict=True):
        assert doing in text
    assert not any("0%" in text for text in (*seen[:2], seen[3]))


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_what_is_said_of_a_condition_that_ended_fits_one_line(width: int) -> None:
    event = end("init=orthogonal network.depth=3", [0.000123, 0.000456, 0.000789], before=True)
    line = ended_line(event, 7, 12, width).plain
    assert len(line) <= width
    assert line.startswith("  7/12 init=orthogonal")
    assert ("best 0.000123" in line) == (width >= 60)


def test_a_failure_is_said_as_a_whole_however_narrow_the_terminal() -> None:
    event = {"event": "failed", "condition": "init=normal", "error": "ValueError: " + "long " * 30 + "end"}
    assert ended_line(event, 1, 1, 20).plain.endswith("long end")
