"""The one style of all figures: colours that colour-blind readers tell apart, sizes that can be read in print."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from basinet.analysis import plot_data
from basinet.foundation.outcomes import ALL_ENDS

# Okabe & Ito (2008), and a grey so dark that colour-blind readers tell it apart from the green and the pink
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#000000"]
GREY = COLOURS[6]
KIND_COLOURS = dict(zip(ALL_ENDS, (COLOURS[i] for i in (0, 1, 2, 4, 5, 6, 7)), strict=True))
RANKS = 6  # colours for the lowest bottoms; the rest is grey
DASHES = ("-", "--", "-.", ":")
STYLE: dict[str, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.constrained_layout.use": True,
    "figure.titlesize": 10,
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.title_fontsize": 8,
    "savefig.dpi": 150,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "basinet",  # the same figure is the same file
}
POINTS_MAX = 200_000  # dots of a figure: beyond, a regular share of the sorted restarts is drawn
LINE_MAX = 2_000  # points of a line: more cannot be seen
_FLOOR, _CEILING = 1e-20, 1e100  # losses beyond are drawn there: neither zero nor 1e300 has a place on a log axis
_LINEAR, _FINE = 0.5, 2.5  # decades up to which an axis is linear, or has ticks at 1, 2 and 5
_TICKS_MAX = 24
LEGEND = 2.4  # inches, of a legend beside the panels
_ACROSS_MAX = 4  # panels in a row
_INCHES_MAX = 60.0  # of a figure: a raster has at most 65,535 pixels a side
_CHARACTERS = 13  # of a title, per inch
_MANY = 8  # levels of a setting that still have colours of their own

_P = ParamSpec("_P")


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw in this style, whatever the settings of matplotlib are."""

    @functools.wraps(draw)
    def within(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return within


def new_figure(width: float, height: float, title: str = "", *, beside: float = 0.0) -> Figure:
    """An empty figure, in inches, with its title above everything but a legend that is `beside` wide."""
    figure = Figure(figsize=(min(width, _INCHES_MAX), min(height, _INCHES_MAX)))
    if title:
        figure.suptitle(wrapped(title, figure.get_figwidth() - beside), x=0.01, ha="left")
    return figure


def one_panel(title: str, width: float = 6.4, height: float = 3.4) -> tuple[Figure, Any]:
    """A figure with room for a legend beside its one panel, and the panel with the title above it."""
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    axes.set_title(wrapped(title, width - LEGEND), fontsize=10, loc="left")
    return figure, axes


def sentence(text: str, title: str = "") -> Figure:
    """A figure that says in words why there is nothing to be drawn."""
    figure = new_figure(5.2, 1.4, title)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, wrapped(text, 5.2), ha="center", va="center", transform=axes.transAxes)
    return figure


def describe(figure: Figure, words: str) -> None:
    """Say in words and numbers what a figure shows: files of it carry that as their description."""
    figure.set_label(words)


def description(figure: Figure) -> str:
    """What `describe` has said; nothing if it has not."""
    return str(figure.get_label())


def why_empty(restarts: int, drawable: int) -> str | None:
    """Why nothing can be drawn of so many restarts, if so many are left; None if there are some."""
    if restarts == 0:
        return "there are no restarts"
    return None if drawable else f"every restart diverged ({count(restarts)})"


def wrapped(text: str, inches: float) -> str:
    """Text in lines that fit a width."""
    return textwrap.fill(plain(text), max(int(_CHARACTERS * inches), 12))


def plain(text: str) -> str:
    """Text that matplotlib neither reads as mathematics nor, for its first letter, keeps out of a legend."""
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")


def count(n: int, *, lost: int = 0) -> str:
    """How many restarts there are, as legends and titles say it."""
    return f"n = {n:,}" + (f", {lost:,} diverged" if lost else "")


def share_drawn(restarts: int) -> tuple[int, str]:
    """One in how many restarts is drawn, and the words for it."""
    every = max(1, -(-restarts // POINTS_MAX))
    return every, "every restart drawn" if every == 1 else f"1 in {every} restarts drawn"


def thinned(frame: pd.DataFrame, most: int = LINE_MAX) -> pd.DataFrame:
    """Evenly spaced rows of an ordered frame, the first and the last among them."""
    if len(frame) <= most:
        return frame
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, most).astype(np.int64))]


def drawable(values: Any) -> Any:
    """Numbers within what a log axis can show."""
    return np.clip(np.asarray(values, dtype=np.float64), _FLOOR, _CEILING)


def percent(number: float) -> str:
    """A share as it is written, in four digits."""
    return f"{100 * number:.4g} %"


def scale(axis: Any, values: Any, form: Callable[[float], str] = "{:g}".format) -> None:
    """A log axis for numbers that span more than half a decade, a linear one for others; ticks as people write them."""
    numbers = drawable(values)
    low, high = _ends(numbers)
    decades = np.log10(high / low)
    axis.axes.set(**{f"{axis.axis_name}scale": "linear" if decades < _LINEAR else "log"})
    plainly = FuncFormatter(lambda number, _: form(number))
    if decades < _LINEAR:
        axis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axis.set_major_formatter(plainly)
    elif decades < _FINE:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(plainly)
        axis.set_minor_formatter(NullFormatter())


def limits(values: Any, room: float) -> tuple[float, float]:
    """Where the axis that `scale` chooses begins and ends, with a share of it as room on both sides."""
    low, high = _ends(drawable(values))
    if high <= low:
        return low * (1 - room), high * (1 + room)
    if np.log10(high / low) < _LINEAR:
        return low - room * (high - low), high + room * (high - low)
    return low * (low / high) ** room, high * (high / low) ** room


def beyond(values: Any) -> float:
    """A number a little above all values, on the axis that `scale` chooses for them."""
    low, high = _ends(drawable(values))
    return float(high * (high / low) ** 0.04) if high > low else float(1.04 * high)


def _ends(numbers: Any) -> tuple[float, float]:
    finite = numbers[np.isfinite(numbers)]
    return (float(finite.min()), float(finite.max())) if finite.size else (1.0, 1.0)


def rank_colour(rank: int) -> str:
    """The colour of a bottom, by its rank from the lowest, 0."""
    return COLOURS[rank] if 0 <= rank < RANKS else GREY


def ordinal(number: int) -> str:
    """How a number counts.

    >>> ordinal(2), ordinal(5)
    ('2nd', '5th')
    """
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"


def rank_name(rank: int) -> str:
    """What the bottoms of a rank are called."""
    if rank >= RANKS:
        return "higher losses"
    return "lowest loss of its network" if rank == 0 else f"{ordinal(rank + 1)} lowest"


def level_colours(levels: Sequence[str]) -> list[Any]:
    """A colour for each value of a setting; of many values, along one scale."""
    if len(levels) <= _MANY:
        return [*COLOURS[:6], COLOURS[7], COLOURS[6]][: len(levels)]
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.95, len(levels))))


def kind_name(kind: object) -> str:
    """A kind as it is written."""
    return str(kind).replace("_", " ")


def dot(colour: Any, label: str) -> Line2D:
    """A legend's entry for dots of a colour, larger and less transparent than they are."""
    return Line2D([], [], ls="", marker="o", ms=4, color=colour, label=plain(label))


def legend_beside(figure: Figure, handles: Sequence[Any], title: str = "") -> None:
    """A legend to the right of all panels, where it hides nothing."""
    where = {"loc": "outside right upper", "alignment": "left"}
    figure.legend(handles=list(handles), title=plain(title) or None, **where)


def name_ticks(row: Iterable[Any], labels: Sequence[str]) -> None:
    """Labels at the integers of the x axes, no more of them than can be read."""
    ticks = range(0, len(labels), max(-(-len(labels) // _TICKS_MAX), 1))
    shown = [plain(labels[index]) for index in ticks]
    turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(map(len, shown), default=0) > 6 else {}
    for axes in row:
        axes.set_xticks(ticks, shown, **turned)


def panels(table: pd.DataFrame, by: Sequence[str]) -> dict[str, Any]:
    """What stands above each panel, and at which positions of the table its rows are."""
    if not by:
        return {"": np.arange(len(table))}
    groups = table[list(by)].reset_index(drop=True).groupby(list(by), observed=True, dropna=False)
    pairs = ((zip(by, key, strict=True), group.index.to_numpy()) for key, group in groups)
    return {", ".join(f"{name} {plot_data.label(value)}" for name, value in titles): rows for titles, rows in pairs}


class Panels(NamedTuple):
    """Panels that share their axes."""

    all: list[Any]  # [panel]
    lowest: list[Any]  # of each column: they have labels below
    leftmost: list[Any]

    def label(self, x: str, y: str) -> None:
        """What the axes show, written below and to the left of all."""
        for axes in self.lowest:
            axes.set_xlabel(plain(x))
        for axes in self.leftmost:
            axes.set_ylabel(plain(y))


def panel_shape(count: int) -> tuple[int, int]:
    """In how many rows and columns so many panels stand; at most four stand in a row."""
    rows = max(-(-count // _ACROSS_MAX), 1)
    return rows, -(-count // rows)


def panel_grid(figure: Figure, count: int) -> Panels:
    """So many panels with the same axes; places that are left over stay empty."""
    grid = figure.subplots(*panel_shape(count), squeeze=False, sharex=True, sharey=True)
    chosen = list(grid.flat[:count])
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    lowest = [next(axes for axes in column[::-1] if axes.get_visible()) for column in grid.T]
    for axes in lowest:
        axes.tick_params(labelbottom=True)
    return Panels(chosen, lowest, list(grid[:, 0]))
