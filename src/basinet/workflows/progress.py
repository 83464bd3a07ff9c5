"""Live progress: bars for what is running, and a line for each condition that has ended."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Column
from rich.text import Text

_BAR = 20  # columns
_MINUTE = 60.0  # seconds
_COMPILING = "compiling"  # what is said of a kernel begins so


class SweepProgress:
    """A bar for the conditions of a launch and one for each that is being trained, on standard error.

    Where that is not a terminal, only the lines above the bars are printed: one for each finished condition.
    """

    def __init__(self, conditions: int) -> None:
        self.console = Console(file=_Heard(sys.stderr), soft_wrap=not sys.stderr.isatty())
        name = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # what the others leave of the terminal
        self._bars = Progress(
            TextColumn("{task.description}", table_column=name),
            BarColumn(bar_width=_BAR),
            _Done(table_column=Column(no_wrap=True)),
            Remaining(table_column=Column(no_wrap=True)),
            expand=True,
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._conditions = conditions
        self._done = 0
        self._sweep: TaskID | None = None
        self._running: dict[str, tuple[TaskID, int]] = {}
        self._said: set[str] = set()
        self._paced = time.monotonic()  # when workers were last spoken of
        self.last: dict[str, Any] | None = None  # the event of the condition that finished last
        self.failures: list[dict[str, Any]] = []  # the events of those that failed

    def __enter__(self) -> SweepProgress:
        self._bars.start()
        if self._conditions > 1:
            self._sweep = self._bars.add_task("sweep", total=self._conditions)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, event: dict[str, Any]) -> None:
        """What a condition's journal says (`journal`): `begin`, `share`, `pace`, `said`, `end`, `skipped`, `failed`."""
        name = event["condition"]
        if event["event"] == "begin":
            task = self._bars.add_task(escape(name), total=None, doing="preparing")  # no share: it would be 0 %
            self._running[name] = (task, event["restarts"])
        elif event["event"] == "share" and name in self._running:
            task, restarts = self._running[name]
            if event["share"] < 1:
                self._bars.update(task, doing="", total=restarts, completed=int(event["share"] * restarts))
            else:  # the last descents have ended, and what they have come to may take longer
                self._bars.update(task, doing="examining")
        elif event["event"] == "pace":
            self._pace(event)
        elif event["event"] == "said":
            self._say(event)
        elif event["event"] in _ENDS:
            self._end(event)

    def _say(self, event: dict[str, Any]) -> None:
        if event["message"].startswith(_COMPILING):  # which passes: a bar says it
            for task, _ in [self._running[name] for name in (event["condition"],) if name in self._running]:
                self._bars.update(task, doing="compiling the kernel")
        elif event["message"] not in self._said:  # every condition says the same
            self._said.add(event["message"])
            self.console.print(event["message"], style="yellow" if event["warning"] else "dim", markup=False)

    def _pace(self, event: dict[str, Any]) -> None:
        """How many workers there are, and how much they do: beside the bar of the sweep, else a line each minute."""
        told = f"{event['condition']}: {event['workers']} workers, {event['rate']:,.0f} restarts/s"
        if self._sweep is not None:
            self._bars.update(self._sweep, description=f"sweep, {escape(told)}")
        if not self.console.is_terminal and time.monotonic() - self._paced > _MINUTE:
            self._paced = time.monotonic()
            self.console.print(f"{told}, {self._done} of {self._conditions} conditions", style="dim", markup=False)

    def _end(self, event: dict[str, Any]) -> None:
        self._done += 1
        task = self._running.pop(event["condition"], None)
        if task is not None:
            self._bars.remove_task(task[0])
        if self._sweep is not None:
            self._bars.update(self._sweep, completed=self._done)
        if event["event"] == "end":
            self.last = event
        if event["event"] == "failed":
            self.failures.append(event)
        room = self.console.width if self.console.is_terminal else None
        self.console.print(ended_line(event, self._done, self._conditions, room), highlight=False)


class _Done(ProgressColumn):
    """How many restarts of how many are done; before that is known, what is being done."""

    def render(self, task: Task) -> Text:
        if task.fields.get("doing"):
            return Text(task.fields["doing"])
        total = str(int(task.total or 0))
        return Text(f"{task.percentage:>3.0f}% {int(task.completed):>{len(total)}}/{total}")


def ended_line(event: dict[str, Any], done: int, conditions: int, room: int | None) -> Text:
    """What is said of a condition that has ended: as much as fits `room` columns, everything if that is None.

    A failure is said as a whole.
    """
    counter, told = f"{done:>3}/{conditions} ", _ENDS[event["event"]](event)
    texts = [f"{event['condition']}: {text}" for text in told]
    if room is None or event["event"] == "failed":
        text = texts[0]
    else:
        room -= len(counter)
        text = next((text for text in texts if cell_len(text) <= room), _cut(texts[-1], room))
    return Text.assemble((counter, "dim"), (text, "red" if event["event"] == "failed" else ""))


def _cut(text: str, room: int) -> str:
    return f"{set_cell_size(text, max(room - 1, 1)).rstrip()}…"


class _Heard(io.StringIO):
    """A stream for those who tell of their work: it goes on when nobody hears of it any more."""

    def __init__(self, stream: TextIO) -> None:  # as it is now: while bars are drawn, rich puts itself in its place
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


def _finished(event: dict[str, Any]) -> list[str]:
    """All there is to say, and less and less of it."""
    row = event["row"]
    before = " (finished before)" if event["before"] else ""
    best = f"best {row['loss_min']:.3g}"
    both = f"{best}, median {row['loss_median']:.3g}"
    return [f"{both} of {int(row['restarts']):,} restarts{before}", f"{both}{before}", both, best]


_ENDS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "end": _finished,
    "skipped": lambda event: ["failed before; rerun=failed does it again", "failed before"],
    "failed": lambda event: [f"failed: {event['error'].strip().splitlines()[-1]}"],
}


def print_failures(failures: Sequence[dict[str, Any]]) -> None:
    """What went wrong, condition by condition, on standard error."""
    by_error: dict[str, list[str]] = {}
    for event in failures:
        by_error.setdefault(event["error"].rstrip(), []).append(event["condition"])
    for error, conditions in by_error.items():
        print(f"\nfailed: {', '.join(conditions)}\n{error}", file=sys.stderr)
