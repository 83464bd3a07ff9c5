"""Empirical distribution functions of the final loss, by condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinet.analysis import plot_data
from basinet.plots import style

_BANDS_MAX = 4  # lines of a panel that still have their bands drawn


@style.styled
def distribution(restarts: pd.DataFrame, lines: str | None, panels: Sequence[str], title: str) -> Figure:
    """Which share of the restarts ended at or below a loss, one line per value of `lines`, with its 95 % band.

    Steps are levels that many restarts end on. It draws `plot_data.distribution`, of each line 2,000 points at
    even shares.

    Args:
        restarts: one row per restart with `loss status` and the settings that the other arguments name.
        lines: the setting whose values are lines; one line for all if None.
        panels: settings with a panel for each combination; may be empty.
        title: what stands above everything.
    """
    kept = 0 if restarts.empty else len(plot_data.finished(restarts))
    if reason := style.why_empty(len(restarts), kept):
        return style.sentence(reason, title)
    restarts = restarts.reset_index(drop=True)
    names, shade = plot_data.positions(restarts[lines]) if lines else (["all"], pd.Series(0, index=restarts.index))
    placed = restarts[["status", "loss"]].assign(shade=shade)
    colours = style.level_colours(names)
    cells = style.panels(restarts, panels)
    down, across = style.panel_shape(len(cells))
    width = 4.2 if len(cells) == 1 else 2.4
    figure = style.new_figure(
        width * across + style.LEGEND, (3.2 if len(cells) == 1 else 2.4) * down + 0.5, title, beside=style.LEGEND
    )
    grid = style.panel_grid(figure, len(cells))
    highest = style.beyond(plot_data.finished(restarts)["loss"])
    for axes, (caption, rows) in zip(grid.all, cells.items(), strict=True):
        axes.set_title(style.wrapped(caption, width))
        _lines(axes, plot_data.distribution(placed.iloc[rows], ["shade"]), colours, highest)
    grid.all[0].set_ylim(0, 1.02)
    style.scale(grid.all[0].xaxis, plot_data.finished(restarts)["loss"])
    grid.label("final loss f", "share of restarts ≤ f")
    style.legend_beside(figure, _entries(placed, names, colours), lines or "")
    return figure


def _lines(axes: Any, table: pd.DataFrame, colours: Sequence[Any], highest: float) -> None:
    for number in table["shade"].unique().tolist():
        line = style.thinned(table[table["shade"] == number])
        loss = style.drawable(line["loss"])
        x = np.concatenate([loss[:1], loss, [highest]])  # up from zero, and on to beyond the highest loss of all
        y = {name: _from_zero(line[name]) for name in ("share", "share_low", "share_high")}
        axes.plot(x, y["share"], drawstyle="steps-post", color=colours[number], ls=style.DASHES[number % 4], lw=1.4)
        if len(colours) <= _BANDS_MAX:
            band = {"color": colours[number], "alpha": 0.15, "lw": 0}
            axes.fill_between(x, y["share_low"], y["share_high"], step="post", **band)


def _from_zero(values: pd.Series) -> np.ndarray:
    array = values.to_numpy(np.float64)
    return np.concatenate([[0.0], array, array[-1:]])


def _entries(placed: pd.DataFrame, names: Sequence[str], colours: Sequence[object]) -> list[Line2D]:
    n = placed["shade"].value_counts()
    left = plot_data.finished(placed)["shade"].value_counts()
    entries = []
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        counted = style.count(int(n[number]), lost=int(n[number] - left.get(number, 0)))
        entries.append(
            Line2D([], [], color=colour, ls=style.DASHES[number % 4], label=style.plain(f"{name} ({counted})"))
        )
    return entries
