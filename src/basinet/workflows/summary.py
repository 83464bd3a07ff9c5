"""What a launch ends with on standard output: the spread, where the restarts ended, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from basinet.analysis import bottoms, unseen
from basinet.analysis.advice import PAGE, Settings, advice
from basinet.analysis.spread import Summary
from basinet.analysis.wording import (
    bottom_loss,
    condition_label,
    legend,
    percent,
    running_cells,
    speedup_sentence,
    spread_cells,
    symmetries,
)

_PIPE = 160  # columns where nobody looks: lines may be long there, but not endless
_GAP = 2  # blanks between two columns

_IMPORTANCE = (
    *("median [95 %]", "best loss", "minima", "orbits", "held out", "accuracy", "at the best"),
    *("coverage", "worst", "needed", "restarts", "ended at"),
)
"""Headings of the spread, in the order in which they are given room."""

_MOST = 12  # bottoms of one condition that are listed: the most frequent


class _Column(NamedTuple):
    """A column of a table before it is known whether there is room for it."""

    heading: str
    cells: list[str]
    importance: float  # of those that do not fit the least important one goes first
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        """In a terminal."""
        return max(cell_len(line) for text in (self.heading, *self.cells) for line in text.split("\n"))


def print_summary(summary: Summary, settings: Settings) -> None:
    """Everything a launch has to say about what came out, no wider than the terminal.

    Args:
        summary: what came out.
        settings: of every condition, for the advice.
    """
    print_spread(summary.spread, summary.by)
    print()
    print_bottoms(summary)
    for sentence in symmetries(summary.symmetries):
        console().print(escape(sentence), soft_wrap=not console().is_terminal)
    print_running(summary)
    print_landscapes(summary)
    print_advice(advice(summary.spread, summary.by, settings))


def console() -> Console:
    """Standard output: as wide as the terminal, and plain text where it is none."""
    return Console(width=None if sys.stdout.isatty() else _PIPE, highlight=False)


def print_spread(table: pd.DataFrame, by: Sequence[str]) -> None:
    """The spread of the final losses, one row per condition.

    In a terminal what is the same in all conditions is said once, below, and columns without a number are left out; of
    the others, those are shown for which there is room, the most important ones first.
    """
    screen = console()
    columns, title = _numbers(table), "Spread of the final losses over random restarts"
    if len(table) == 1:
        restarts = int(table["restarts"].iloc[0])
        title = f"{_name(table.iloc[0], by)}: {restarts:,} random restart{'s' * (restarts != 1)}"
    same: list[_Column] = []
    if screen.is_terminal:
        columns = [one for one in columns if set(one.cells) != {"-"} and (len(table) > 1 or one.heading != "restarts")]
        same = _same_everywhere(columns)
    settings, varied = _settings(table, by), [column for column in columns if column not in same]
    shown = _fitting(varied, screen.width - _taken(settings)) if screen.is_terminal else varied
    _print(screen, title, [*settings, *shown])
    told = [f"The same everywhere: {', '.join(f'{one.heading} {one.cells[0]}' for one in same)}."] if same else []
    told += [legend([column.heading for column in (*shown, *same)])]
    missing = [column.heading for column in varied if column not in shown]
    told += [f"In a wider terminal: {', '.join(missing)}."] if missing else []
    for sentence in filter(None, told):
        screen.print(f"[dim]{escape(sentence)}[/dim]")


def _numbers(table: pd.DataFrame) -> list[_Column]:
    """The statistics of the spread, as columns."""
    if "orbits" in table and (table["orbits"].isna() | (table["orbits"] == table["minima"])).all():
        table = table.drop(columns="orbits")  # no symmetry of a problem makes a difference
    rows = [spread_cells(row) for _, row in table.iterrows()]
    return [
        _Column(
            heading,
            [row[heading] for row in rows],
            -float(_IMPORTANCE.index(heading)),
            "left" if heading == "ended at" else "right",
        )
        for heading in rows[0]
    ]


def _same_everywhere(columns: Sequence[_Column]) -> list[_Column]:
    """Columns of several conditions that have the same in every row."""
    return [column for column in columns if len(column.cells) > 1 and len(set(column.cells)) == 1]


def print_bottoms(summary: Summary) -> None:
    """Where the restarts ended: condition × bottom, with loss and share.

    Conditions that minimise the same function are one table; where no two do, every condition is a line. Of a single
    condition, every bottom is a line.
    """
    screen = console()
    if len(summary.spread) == 1:
        _print(screen, "Where they ended", _of_one(summary.spread.iloc[0], summary.bottoms))
        return
    objective = bottoms.objectives(summary.by)
    free = [key for key in summary.by if key not in objective]
    wide = bottoms.shares(summary.bottoms, summary.spread, summary.by)
    groups = _groups(summary.spread, objective)
    if all(len(rows) == 1 for rows in groups):
        alone = [_ends(summary.spread.iloc[rows], wide.iloc[rows]) for rows in groups]
        told = _Column("loss and share", [_in_words(ends) for ends in alone], 0.0, "left")
        _print(screen, "Where they ended", [*_settings(summary.spread, summary.by), told])
        return
    for rows in groups:
        spread = summary.spread.iloc[rows]
        where = condition_label(spread.iloc[0], objective)
        settings = _settings(spread, free)
        title = f"Where they ended: share of the restarts{' at ' * bool(where)}{where}"
        room = screen.width - _taken(settings)
        _print(screen, title, [*settings, *_side_by_side(spread, wide.iloc[rows], room)])


def _groups(spread: pd.DataFrame, objective: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """The rows of conditions that minimise the same function, in their order."""
    if not objective:
        return [np.arange(len(spread))]
    numbers = spread.groupby(list(objective), observed=True, dropna=False, sort=False).ngroup().to_numpy()
    return [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]


class _End(NamedTuple):
    """A way to end: at a loss, or at no bottom."""

    kind: str
    loss: str  # as it is written; empty where restarts end at no bottom
    shares: npt.NDArray[np.float64]  # [condition]

    @property
    def heading(self) -> str:
        """Of a column."""
        return f"{self.kind.replace('_', ' ')}\n{self.loss}"


def _ends(spread: pd.DataFrame, wide: pd.DataFrame) -> list[_End]:
    """All ways in which some restart of these conditions has ended, the lowest loss first, then those without."""
    found = [
        _End(str(kind), bottom_loss({"kind": kind, "loss": loss}), column)
        for loss, kind, column in zip(
            wide.columns.get_level_values("loss"), wide.columns.get_level_values("kind"), wide.to_numpy().T, strict=True
        )
    ]
    found += [_End(kind, "", spread[f"share_{kind}"].to_numpy(np.float64)) for kind in bottoms.WITHOUT]
    return [end for end in found if end.shares.max() > 0]


def _side_by_side(spread: pd.DataFrame, wide: pd.DataFrame, room: int) -> list[_Column]:
    """A column for each way to end, as many as there is room for: the most frequent; the others are taken together."""
    ends = _ends(spread, wide)
    frequent = sorted(ends, key=lambda end: -end.shares.sum())
    for count in range(min(len(ends), room // _GAP), 0, -1):
        kept = {id(end) for end in frequent[:count]}
        shown = [end for end in ends if id(end) in kept]
        if count < len(ends):
            shown.append(_End("others", "", np.sum([end.shares for end in frequent[count:]], axis=0)))
        columns = [_Column(end.heading, [_share(value) for value in end.shares], 0.0) for end in shown]
        if _width(columns) <= room or count == 1:
            return columns
    return []


def _in_words(ends: Sequence[_End]) -> str:
    """The ways in which the restarts of one condition ended, in a cell that can be broken between any two."""
    shares = [float(end.shares[0]) for end in ends]
    told = [f"{' '.join(end.heading.split())} {_share(share)}" for end, share in zip(ends, shares, strict=True)][:_MOST]
    told += [f"others {_share(sum(shares[_MOST:]))}"] if len(ends) > _MOST else []
    return ", ".join(text.replace(" ", "\N{NO-BREAK SPACE}") for text in told)


def _of_one(row: pd.Series, levels: pd.DataFrame) -> list[_Column]:
    """Every bottom of a condition by loss, share and how many bottoms have that loss; then those that ended at none."""
    total = int(row["restarts"])
    shown = levels.nlargest(_MOST, "share").sort_index()
    lines = [(one["kind"], bottom_loss(one), one["share"], *_counts(one)) for _, one in shown.iterrows()]
    rest = levels.drop(index=shown.index)
    if len(rest):
        lines.append((f"{len(rest):,} others", "", rest["share"].sum(), *_counts(rest[["bottoms", "orbits"]].sum())))
    lines += [(kind, "", row[f"share_{kind}"], "", "") for kind in bottoms.WITHOUT if row[f"share_{kind}"] > 0]
    kinds, losses, shares, counts, orbits = zip(*lines, strict=True)
    differ = bool((levels["orbits"].between(1, levels["bottoms"], inclusive="left")).any())
    return [
        _Column("ended at", [kind.replace("_", " ") for kind in kinds], 0.0, "left"),
        _Column("loss", list(losses), 0.0),
        _Column("share [95 %]", [_with_interval(float(share), total) for share in shares], 0.0),
        _Column("bottoms", list(counts), 0.0),
        *([_Column("orbits", list(orbits), 0.0)] if differ else []),
    ]


def _counts(level: pd.Series) -> tuple[str, str]:
    """How many bottoms there are, and how many orbits of minima, where there are any."""
    return f"{level['bottoms']:,.0f}", f"{level['orbits']:,.0f}" if level["orbits"] > 0 else ""


def _with_interval(share: float, total: int) -> str:
    between = unseen.wilson(round(share * total), total)
    low, high = (percent(float(end)).removesuffix(" %") for end in (between.low, between.high))
    return f"{percent(share)} [{low}, {high}]"


def _share(value: float) -> str:
    return percent(value) if value > 0 else "-"


def print_running(summary: Summary) -> None:
    """What it takes runs to reach the best known minimum, and which method pays."""
    if summary.running is None:
        return
    screen = console()
    screen.print()
    rows = [running_cells(row) for _, row in summary.running.iterrows()]
    columns = [_Column(name, [row[name] for row in rows], 0.0) for name in rows[0]]
    _print(
        screen,
        "Runs: what it takes to reach the best known minimum",
        [*_settings(summary.running, summary.by), *columns],
    )
    told = [] if summary.speedups is None else [_told(row, summary.by) for _, row in summary.speedups.iterrows()]
    for sentence in told:
        screen.print(escape(f"{sentence[:1].upper()}{sentence[1:]}."), soft_wrap=not screen.is_terminal)


def _told(row: pd.Series, by: Sequence[str]) -> str:
    return speedup_sentence(row, [key for key in by if key in row.index and not key.startswith("escape")])


def print_landscapes(summary: Summary) -> None:
    """What lies between the minima, where that was asked for."""
    screen = console()
    for name, told in summary.landscapes:
        before = f"{name}: " if len(summary.spread) > 1 else ""
        screen.print(f"\nBetween the minima: {escape(before)}{escape(told)}.", soft_wrap=not screen.is_terminal)


def print_advice(sentences: Sequence[str]) -> None:
    """What to do about restarts that ended at no minimum."""
    if not sentences:
        return
    screen = console()
    screen.print()
    for sentence in sentences:
        screen.print(escape(sentence), soft_wrap=not screen.is_terminal)
    screen.print(f"[dim]more about that: {PAGE}[/dim]")


def _settings(table: pd.DataFrame, by: Sequence[str]) -> list[_Column]:
    """What tells the conditions of a table apart, which is always shown."""
    varied = [key for key in by if table[key].nunique(dropna=False) > 1]
    cells = {key: ["-" if pd.isna(value) else _setting(value) for value in table[key]] for key in varied}
    return [_Column(key, values, np.inf, "left") for key, values in cells.items()]


def _name(row: pd.Series, by: Sequence[str]) -> str:
    """What the only condition of a launch is called."""
    return str(row["condition"]) if list(by) == ["condition"] else condition_label(row, by)


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fitting(columns: Sequence[_Column], room: int) -> list[_Column]:
    """Those of the columns for which there is room, in their order: the most important ones are asked first."""
    chosen: list[_Column] = []
    for column in sorted(columns, key=lambda column: -column.importance):
        if _width([*chosen, column]) <= room:
            chosen.append(column)
    return [column for column in columns if column in chosen]


def _taken(columns: Sequence[_Column]) -> int:
    """What columns take of the width, with the gap to those that follow."""
    return _width(columns) + _GAP if columns else 0


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def _print(screen: Console, title: str, columns: Sequence[_Column]) -> None:
    """A table; where even that does not fit, lines go on below in a terminal: no number is cut."""
    view = Table(header_style="bold", box=None, pad_edge=False, padding=(0, _GAP // 2))
    for column in columns:
        view.add_column(escape(column.heading), justify=column.justify, vertical="bottom", overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        view.add_row(*(escape(cell) for cell in cells))
    screen.print(f"[italic]{escape(title)}[/italic]")
    wide = screen if screen.is_terminal else Console(width=max(_PIPE, _width(columns)), highlight=False)
    wide.print(view)
