"""Live progress and the tables of the terminal: the only module that imports rich."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from basinet.analysis.wording import ACCURACY_LEGEND, LEGEND, spread_cells


class SweepProgress:
    """A bar for the conditions of a launch and one for each that is being trained, on standard error.

    Where that is not a terminal, only the lines above the bars are printed: one for each finished condition.
    """

    def __init__(self, conditions: int) -> None:
        self.console = Console(file=_Heard(sys.stderr), soft_wrap=not sys.stderr.isatty())
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            Remaining(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._conditions = conditions
        self._done = 0
        self._sweep: TaskID | None = None
        self._running: dict[str, tuple[TaskID, int]] = {}
        self._said: set[str] = set()
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
        """What a condition's journal says (`journal`): `begin`, `share`, `said`, `end`, `skipped`, `failed`."""
        name = event["condition"]
        if event["event"] == "begin":
            self._running[name] = (self._bars.add_task(escape(name), total=event["restarts"]), event["restarts"])
        elif event["event"] == "share" and name in self._running:
            task, restarts = self._running[name]
            self._bars.update(task, completed=int(event["share"] * restarts))
        elif event["event"] == "said" and event["message"] not in self._said:  # every condition says the same
            self._said.add(event["message"])
            self.console.print(event["message"], style="yellow" if event["warning"] else "dim", markup=False)
        elif event["event"] in _ENDS:
            self._end(event)

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
        counter = f"[dim]{self._done:>3}/{self._conditions}[/dim]"
        self.console.print(f"{counter} {escape(event['condition'])}: {_ENDS[event['event']](event)}", highlight=False)


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


def _finished(event: dict[str, Any]) -> str:
    row = event["row"]
    before = " [dim](finished before)[/dim]" if event["before"] else ""
    return f"best {row['loss_min']:.3g}, median {row['loss_median']:.3g} of {int(row['restarts']):,} restarts{before}"


_ENDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "end": _finished,
    "skipped": lambda event: "failed before; rerun=failed does it again",
    "failed": lambda event: f"[red]failed[/red]: {escape(event['error'].strip().splitlines()[-1])}",
}


def print_spread(table: pd.DataFrame, by: list[str], title: str) -> None:
    """The spread table, as a person reads it, on standard output."""
    view = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for key in by:
        view.add_column(escape(key))
    rows = [spread_cells(row) for _, row in table.iterrows()]
    for heading in rows[0]:
        view.add_column(heading, justify="left" if heading == "ended at" else "right")
    for (_, row), cells in zip(table.iterrows(), rows, strict=True):
        view.add_row(*(escape(str(row[key])) for key in by), *cells.values())
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    natural = Console(width=10_000).measure(view).maximum  # in a narrower terminal lines go on below: no number is cut
    Console(width=max(console.width, natural), highlight=False).print(view)
    with_accuracy = f" {ACCURACY_LEGEND}" if "accuracy" in rows[0] else ""
    console.print(f"[dim]{LEGEND}{with_accuracy}[/dim]")


def print_failures(failures: Sequence[dict[str, Any]]) -> None:
    """What went wrong, condition by condition, on standard error."""
    by_error: dict[str, list[str]] = {}
    for event in failures:
        by_error.setdefault(event["error"].rstrip(), []).append(event["condition"])
    for error, conditions in by_error.items():
        print(f"\nfailed: {', '.join(conditions)}\n{error}", file=sys.stderr)
