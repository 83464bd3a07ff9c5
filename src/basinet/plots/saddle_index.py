"""Where saddles lie: loss against the number of directions in which it falls."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from basinet.plots import style

_HALF = 0.28  # of a level's line
_FEW = 60  # points of one index whose lines are thick


@style.styled
def saddle_index(minima: pd.DataFrame, saddles: pd.DataFrame, title: str) -> Figure:
    """The losses of all critical points above their index; minima have the index 0.

    Every line is a point, whatever its symmetric copies, which the legend counts.

    Args:
        minima: of one condition, as `basinet.load_minima` returns them.
        saddles: of the same condition, as `basinet.load_saddles` returns them; degenerate points are left out.
        title: what stands above it.
    """
    bottoms = minima[minima["kind"] == "minimum"].assign(index=0)
    points = pd.concat([bottoms, saddles[saddles["kind"] == "saddle"]])[["index", "loss", "orbit_size"]]
    if points.empty:
        return style.sentence("there are no critical points", title)
    figure, axes = style.one_panel(title)
    handles = []
    for index in sorted(set(points["index"].tolist())):
        mine = points[points["index"] == index]
        colour = style.rank_colour(index)
        width, strength = (1.4, 0.9) if len(mine) <= _FEW else (0.6, 0.5)
        axes.hlines(mine["loss"], index - _HALF, index + _HALF, color=colour, lw=width, alpha=strength)
        handles.append(style.dot(colour, f"index {index}: {len(mine):,}{_copies(mine)}"))
    axes.set(xlabel="index: directions in which the loss falls", ylabel="loss f")
    axes.set_xlim(-0.6, float(points["index"].max()) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.scale(axes.yaxis, points["loss"])
    style.legend_beside(figure, handles, "critical points\n(with symmetric copies)")
    return figure


def _copies(points: pd.DataFrame) -> str:
    total = points["orbit_size"].sum()
    return f" ({int(total):,})" if np.isfinite(total) and total != len(points) else ""
