"""Live progress and the tables of the terminal: the only module that imports rich."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from basinet.spread import Summary
from basinet.words import LEGEND, spread_cells

_log = logging.getLogger("basinet")


class _Lines(logging.Handler):
    """What is logged, as lines above the bars; what every condition says is said once."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            self._console.print(message, style="yellow" if record.levelno >= logging.WARNING else "dim", markup=False)


class SweepProgress:
    """A bar for the conditions of a sweep and one for the condition that is being trained, on standard error.

    Where that is not a terminal, only the line of each finished condition is printed.
    """

    def __init__(self, conditions: int) -> None:
        self.console = Console(file=sys.stderr, soft_wrap=not sys.stderr.isatty())
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
        self._lines = _Lines(self.console)
        self._conditions = conditions
        self._done = 0
        self.last: Summary | None = None  # of the condition that finished last
        self._sweep: TaskID | None = None
        self._current: TaskID | None = None

    def __enter__(self) -> SweepProgress:
        self._bars.start()
        _log.addHandler(self._lines)
        _log.setLevel(logging.INFO)
        if self._conditions > 1:
            self._sweep = self._bars.add_task("sweep", total=self._conditions)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _log.removeHandler(self._lines)
        self._bars.stop()

    def begin(self, name: str, restarts: int) -> None:
        """A condition begins."""
        if self._current is not None:  # the one before has failed
            self._bars.remove_task(self._current)
        self._current = self._bars.add_task(escape(name), total=restarts)

    def report(self, share: float) -> None:
        """The share of the current condition's work that is done."""
        if self._current is not None:
            total = self._bars.tasks[-1].total or 0
            self._bars.update(self._current, completed=int(share * total))

    def end(self, summary: Summary) -> None:
        """The current condition is finished, and this is what came out."""
        self._done += 1
        self.last = summary
        if self._current is not None:
            self._bars.remove_task(self._current)
            self._current = None
        if self._sweep is not None:
            self._bars.update(self._sweep, completed=self._done)
        row = summary.spread.iloc[0]
        losses = f"best {row['loss_min']:.3g}, median {row['loss_median']:.3g} of {int(row['restarts']):,} restarts"
        self.console.print(
            f"[dim]{self._done:>3}/{self._conditions}[/dim] {escape(str(row[summary.by[0]]))}: {losses}",
            highlight=False,
        )


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
    console.print(f"[dim]{LEGEND}[/dim]")
