"""The final losses of a condition in ascending order."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from basinet.analysis import plot_data
from basinet.plots import style


@style.styled
def waterfall(restarts: pd.DataFrame, title: str) -> Figure:
    """The final losses of all restarts of a condition in ascending order, coloured by kind: plateaus are levels.

    It draws `basinet.analysis.plot_data.waterfall`; diverged restarts are counted in the legend.
    """
    kept = restarts if restarts.empty else plot_data.waterfall(restarts)
    if reason := style.why_empty(len(restarts), len(kept)):
        return style.sentence(reason, title)
    every, drawn = style.share_drawn(len(kept))
    figure, axes = style.one_panel(title)
    handles = []
    for kind, colour in style.KIND_COLOURS.items():
        chosen = kept[(kept["kind"] == kind).to_numpy()]
        if len(chosen):
            x, y = chosen["rank"][::every], style.drawable(chosen["loss"])[::every]
            axes.plot(x, y, ".", ms=3, color=colour, rasterized=True)
            handles.append(style.dot(colour, f"{style.kind_name(kind)} ({style.count(len(chosen))})"))
    axes.set(xlabel="restart, by final loss", ylabel="final loss f")
    style.scale(axes.yaxis, kept["loss"])
    axes.set_xlim(0, len(kept) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.legend_beside(figure, handles, f"{style.count(len(restarts), lost=len(restarts) - len(kept))}\n{drawn}")
    return figure
