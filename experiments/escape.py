"""The table and the figure of experiments/escape.md, of whatever has been run of the study.

basinet experiment=escape_xor
python experiments/escape.py [folder of the figure]
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

import basinet
from basinet import plots
from basinet.analysis.running_time import running_time, speedups
from basinet.foundation.errors import ConfigError
from basinet.plots import style

LANDSCAPES = ("escape_neuron", "escape_xor", "escape_sine", "escape_teacher", "escape_chain")
METHODS = ("restart", "basin_hopping", "annealing", "langevin", "tunnelling", "stun", "trust")


def main() -> None:
    table = pd.concat([times(name, visits) for name, visits in finished().items()], ignore_index=True)
    print(table.to_string(index=False, float_format="{:,.3g}".format))
    if len(sys.argv) > 1:
        plots.save({"escape": figure(table)}, sys.argv[1])


def finished() -> dict[str, pd.DataFrame]:
    """The visits of each landscape that has been run."""
    found = {}
    for name in LANDSCAPES:
        try:
            found[name] = basinet.load_visits(name)
        except ConfigError as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


def times(name: str, visits: pd.DataFrame) -> pd.DataFrame:
    """What each method needs for the best known minimum of a landscape, and how that compares with restarts.

    Returns:
        `landscape`, the columns of `running_time`, and `ratio ratio_low ratio_high`: how many times fewer gradients
        than restarts a method needs.
    """
    table = running_time(visits, "escape").merge(
        speedups(visits)[["escape", "ratio", "ratio_low", "ratio_high"]], on="escape", how="left"
    )
    table.insert(0, "landscape", name.removeprefix("escape_"))
    order = table["escape"].astype(str).map(METHODS.index)
    return table.assign(_order=order).sort_values("_order").drop(columns="_order")


@style.styled
def figure(table: pd.DataFrame) -> Figure:
    """Expected running times with their intervals, a panel for each landscape; an arrow is a lower bound."""
    landscapes = list(dict.fromkeys(table["landscape"]))
    drawn = style.new_figure(2.5 * len(landscapes) + 1.0, 3.2, "Gradients until the best known minimum")
    panels = drawn.subplots(1, len(landscapes), sharey=True, squeeze=False)[0]
    colours = style.level_colours(METHODS)
    for axes, landscape in zip(panels, landscapes, strict=True):
        rows = table[table["landscape"] == landscape].set_index("escape")
        for place, (method, colour) in enumerate(zip(METHODS, colours, strict=True)):
            if method not in rows.index:
                continue
            row = rows.loc[method]
            if np.isinf(row["ert"]):
                axes.plot(row["ert_low"], place, ">", color=colour, ms=6)
                continue
            axes.hlines(place, row["ert_low"], _end(row), color=colour, lw=1.6)
            axes.plot(row["ert"], place, "o", color=colour, ms=5)
        style.scale(axes.xaxis, [*rows["ert_low"], *rows.apply(_end, axis=1)], EngFormatter(sep=""))
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.set_title(landscape)
    panels[0].set_yticks(range(len(METHODS)), [method.replace("_", " ") for method in METHODS])
    panels[0].invert_yaxis()
    drawn.supxlabel("expected gradients (> : at least)", fontsize="medium")
    return drawn


def _end(row: pd.Series) -> float:
    """Where the line of an interval ends: that of an unbounded one is ten times as long as its middle."""
    if np.isinf(row["ert"]):
        return float(row["ert_low"])
    return float(row["ert_high"] if np.isfinite(row["ert_high"]) else 10 * row["ert"])


if __name__ == "__main__":
    main()
