"""Every restart's final loss against a setting: the spread of the minima by initialisation × depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinet.analysis import plot_data
from basinet.plots import style

_FILLED = 0.84  # of the distance between two values of x is filled
_GOLDEN = 0.6180339887


@style.styled
def final_losses(
    restarts: pd.DataFrame, x: str, panels: Sequence[str], title: str, colour: str | None = None
) -> Figure:
    """Every restart's final loss against `x` (usually the depth), one panel per combination of `panels` (the problem).

    Dots are restarts, spread sideways by their rank; the bar is the median, the thick line its 95 % interval, the thin
    one the quartiles (`basinet.analysis.plot_data.medians`). Diverged restarts are counted in the title and not drawn.

    Args:
        restarts: one row per restart with `loss status` and the settings that the other arguments name.
        x: the setting across.
        panels: settings with a panel for each combination; may be empty.
        title: what stands above everything.
        colour: the setting (usually the init) whose values stand side by side, each in its colour; none if None.
    """
    kept = 0 if restarts.empty else len(plot_data.finished(restarts))
    if reason := style.why_empty(len(restarts), kept):
        return style.sentence(reason, title)
    restarts = restarts.reset_index(drop=True)
    columns = _columns(restarts, x, colour)
    cells = style.panels(restarts, panels)
    down, across = style.panel_shape(len(cells))
    width = max(1.1 + max(0.5, 0.24 * len(columns.shades)) * len(columns.ticks), 2.4)
    every, drawn = style.share_drawn(kept)
    heading = f"{title} ({style.count(len(restarts), lost=len(restarts) - kept)}; {drawn})"
    figure = style.new_figure(width * across + style.LEGEND, 2.7 * down + 0.6, heading, beside=style.LEGEND)
    grid = style.panel_grid(figure, len(cells))
    for axes, (caption, rows) in zip(grid.all, cells.items(), strict=True):
        part = columns.placed.iloc[rows]
        _dots(axes, part, columns, every)
        _marks(axes, plot_data.medians(part, ["place"]), columns.slot)
        axes.set_title(style.wrapped(caption, width))
    grid.all[0].set_xlim(-0.6, len(columns.ticks) - 0.4)  # the axes are shared
    style.scale(grid.all[0].yaxis, plot_data.finished(restarts)["loss"])
    style.name_ticks(grid.lowest, columns.ticks)
    grid.label(x, "final loss f")
    style.legend_beside(figure, _entries(columns, colour), colour or "")
    return figure


@dataclass(frozen=True)
class _Columns:
    """Where restarts stand, side by side for each value of x."""

    ticks: list[str]  # labels of x
    shades: list[str]  # labels of the colours
    slot: float  # the width of a column
    placed: pd.DataFrame  # status loss place shade, one row per restart

    @property
    def colours(self) -> list[Any]:
        return style.level_colours(self.shades)


def _columns(restarts: pd.DataFrame, x: str, colour: str | None) -> _Columns:
    ticks, place = plot_data.positions(restarts[x])
    shades, shade = plot_data.positions(restarts[colour]) if colour else ([""], place * 0)
    slot = _FILLED / len(shades)
    middle = (len(shades) - 1) / 2
    placed = restarts[["status", "loss"]].assign(place=place + (shade - middle) * slot, shade=shade)
    return _Columns(ticks, shades, slot, placed)


def _dots(axes: Any, part: pd.DataFrame, columns: _Columns, every: int) -> None:
    kept = plot_data.finished(part).sort_values(["place", "loss"])
    rank = kept.groupby("place").cumcount().to_numpy()
    kept, rank = kept[rank % every == 0], rank[rank % every == 0] // every
    sideways = (rank * _GOLDEN) % 1 - 0.5  # an even scatter without random numbers
    for number, group in kept.assign(x=kept["place"] + 0.85 * columns.slot * sideways).groupby("shade"):
        dots = {"ms": 1.5, "alpha": 0.4, "color": columns.colours[int(number)], "rasterized": True}
        axes.plot(group["x"], style.drawable(group["loss"]), ".", **dots)


def _marks(axes: Any, marks: pd.DataFrame, slot: float) -> None:
    marks = marks.dropna()
    y = {name: style.drawable(marks[name]) for name in ("q25", "median", "q75", "median_low", "median_high")}
    place, half = marks["place"], 0.42 * slot
    axes.vlines(place, y["q25"], y["q75"], color="black", lw=0.8, zorder=3)
    axes.vlines(place, y["median_low"], y["median_high"], color="black", lw=2.4, zorder=3)
    axes.hlines(y["median"], place - half, place + half, color="black", lw=1.6, zorder=3)


def _entries(columns: _Columns, colour: str | None) -> list[Line2D]:
    n = columns.placed["shade"].value_counts()
    dots = [
        style.dot(tint, f"{name} ({style.count(int(n[number]))})" if colour else "one restart")
        for number, (name, tint) in enumerate(zip(columns.shades, columns.colours, strict=True))
    ]
    upright: dict[str, Any] = {"color": "black", "marker": "|", "ls": "", "ms": 9}
    median = Line2D([], [], color="black", lw=1.6, label="median")
    interval = Line2D([], [], mew=2.4, label="its 95 % interval", **upright)
    return [*dots, median, interval, Line2D([], [], mew=0.8, label="quartiles", **upright)]
