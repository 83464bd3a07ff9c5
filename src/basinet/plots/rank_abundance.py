"""How often each bottom is reached."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from basinet.analysis import plot_data
from basinet.plots import style

_LARGE_MAX = 60  # bottoms with large dots
_NAMED_MAX = 12  # bottoms with their loss beside them


@style.styled
def rank_abundance(minima: pd.DataFrame, title: str) -> Figure:
    """The share of the restarts in each bottom, from the commonest to the rarest, with Wilson's 95 % interval.

    It draws `basinet.analysis.plot_data.rank_abundance`. `minima` is the table of one condition.
    """
    if minima.empty or not (minima["count"] > 0).any():
        return style.sentence("no restart reached a bottom", title)
    table = plot_data.rank_abundance(minima)
    figure, axes = style.one_panel(title)
    large = len(table) <= _LARGE_MAX
    handles = []
    for kind, colour in style.KIND_COLOURS.items():
        mine = table[(table["kind"] == kind).to_numpy()]
        if len(mine):
            width, strength = (1.2, 1) if large else (0.5, 0.25)  # many intervals would hide their dots
            axes.vlines(mine["rank"], mine["share_low"], mine["share_high"], color=colour, lw=width, alpha=strength)
            axes.plot(mine["rank"], mine["share"], "o", ms=4 if large else 1.5, color=colour, rasterized=not large)
            counted = f"{len(mine):,} found, {style.count(int(mine['count'].sum()))}"
            handles.append(style.dot(colour, f"{style.kind_name(kind)}\n({counted})"))
    axes.set(xlabel="bottom, from the commonest to the rarest", ylabel="share of restarts")
    axes.set_xlim(0.5, len(table) + (0.9 if len(table) <= _NAMED_MAX else 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.scale(axes.yaxis, table[["share_low", "share_high"]], style.percent)
    if len(table) <= _NAMED_MAX:
        _names(axes, table)
    total = round(float((table["count"] / table["share"]).iloc[0]))
    style.legend_beside(figure, handles, f"{style.count(total)}\n95 % intervals (Wilson)")
    return figure


def _names(axes: Any, table: pd.DataFrame) -> None:
    for rank, share, loss in zip(table["rank"], table["share"], table["loss"], strict=True):
        place = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"f = {loss:.3g}", (rank, share), fontsize=7, **place)
