"""Example descents into each bottom."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from basinet.analysis import bottoms, plot_data
from basinet.plots import style


@style.styled
def trajectories(curves: pd.DataFrame, restarts: pd.DataFrame, title: str) -> Figure:
    """The losses of a few example restarts over the steps, one small panel for each of the commonest bottoms.

    It draws `basinet.analysis.plot_data.trajectories`; the dashed line is the loss of the bottom itself.

    Args:
        curves: one row per restart and record, of one condition.
        restarts: one row per restart of that condition.
        title: what stands above everything.
    """
    if curves.empty or restarts.empty:
        return style.sentence("no curves were kept", title)
    curves, clock = plot_data.clocked(curves)
    table = plot_data.trajectories(curves, restarts)
    if table.empty:
        return style.sentence("no restart reached a bottom", title)
    rank = bottoms.rank_of(restarts)
    groups = table.groupby("minimum")
    down, across = style.panel_shape(len(groups))
    figure = style.new_figure(max(1.9 * across + 0.4, 4.4), 1.8 * down + 0.9, title)
    grid = style.panel_grid(figure, len(groups))
    for axes, (minimum, group) in zip(grid.all, groups, strict=True):
        colour = style.rank_colour(int(rank[minimum]))
        first = group.iloc[0]
        for _, curve in group.groupby("restart"):
            steps = plot_data.on_log_axis(curve["step"])
            axes.plot(steps, style.drawable(curve["loss"]), color=colour, lw=0.8, alpha=0.8)
        axes.axhline(float(style.drawable(first["loss_final"])), color="black", ls="--", lw=0.8)
        name = f"{style.kind_name(first['kind'])} {minimum}, f = {first['loss_final']:.3g}"
        drawn = f"{group['restart'].nunique()} of {style.count(int(first['restarts']))}"
        axes.set_title(style.plain(f"{name}\n{drawn}"), fontsize=8)
    grid.all[0].set_xscale("log")
    style.scale(grid.all[0].yaxis, table["loss"])
    grid.label(clock, "loss f")
    return figure
