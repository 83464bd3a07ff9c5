"""Loss against how sharply a bottom is curved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from basinet.analysis import plot_data
from basinet.plots import style

_MEASURES = {"lambda_max": "largest eigenvalue λ of the Hessian", "trace": "trace of the Hessian"}
_AREA_MAX = 120.0  # of a dot, square points, for the commonest bottom


@style.styled
def sharpness(table: pd.DataFrame, title: str, by: str = "kind") -> Figure:
    """Loss against the Hessian's largest eigenvalue and against its trace: are low minima flat?

    It draws `basinet.analysis.plot_data.sharpness`. The area of a dot is the number of restarts in the bottom.

    Args:
        table: minima, or restarts (whose trace is not known).
        title: what stands above everything.
        by: the column that the colours tell apart.
    """
    if table.empty:
        return style.sentence("there are no bottoms", title)
    known = plot_data.sharpness(table)
    measures = [name for name in _MEASURES if np.isfinite(known[name].to_numpy(np.float64)).any()]
    if not measures:
        return style.sentence("no spectrum was computed, so that no sharpness is known", title)
    every = max(1, -(-len(known) // style.POINTS_MAX))
    figure = style.new_figure(3.0 * len(measures) + style.LEGEND, 3.2, title, beside=style.LEGEND)
    grid = figure.subplots(1, len(measures), squeeze=False, sharey=True)
    groups = _groups(known, by)
    for axes, measure in zip(grid[0], measures, strict=True):
        for rows, colour, _ in groups:
            _dots(axes, known.iloc[rows][::every], measure, colour, known["count"].max())
        axes.set_xlabel(_MEASURES[measure])
        style.scale(axes.xaxis, known[measure])
    grid[0, 0].set_ylabel("loss f")
    style.scale(grid[0, 0].yaxis, known["loss"])  # it is shared
    handles = [style.dot(colour, f"{name}\n({_counted(known.iloc[rows])})") for rows, colour, name in groups]
    notes = [by] if by != "kind" else []
    notes += ["area of a dot: restarts"] if known["count"].max() > 1 else []
    notes += [f"1 in {every} drawn"] if every > 1 else []
    style.legend_beside(figure, handles, "\n".join(notes))
    return figure


def _groups(known: pd.DataFrame, by: str) -> list[tuple[Any, Any, str]]:
    """The rows, the colour and the name of what is told apart."""
    if by == "kind":
        pairs = ((kind, colour, np.flatnonzero(known["kind"] == kind)) for kind, colour in style.KIND_COLOURS.items())
        return [(rows, colour, style.kind_name(kind)) for kind, colour, rows in pairs if len(rows)]
    names, position = plot_data.positions(known[by])
    colours = style.level_colours(names)
    return [(np.flatnonzero(position == number), colours[number], name) for number, name in enumerate(names)]


def _dots(axes: Any, part: pd.DataFrame, measure: str, colour: Any, largest: int) -> None:
    area = np.maximum(_AREA_MAX * part["count"].to_numpy(np.float64) / largest, 6.0) if largest > 1 else 6.0
    x, y = style.drawable(part[measure]), style.drawable(part["loss"])
    axes.scatter(x, y, s=area, color=colour, alpha=0.6, lw=0.4, ec="white", rasterized=True)


def _counted(part: pd.DataFrame) -> str:
    restarts = int(part["count"].sum())
    bottoms = "" if restarts == len(part) else f"{len(part):,} bottom{'s' * (len(part) > 1)}, "
    return bottoms + style.count(restarts)
