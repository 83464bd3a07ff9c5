"""The table and the figure of experiments/student_teacher.md, of whatever has been run of the study.

basinet experiment=student_teacher restarts=1000
python experiments/student_teacher.py [folder of the figure]
"""

from __future__ import annotations

import sys

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

import basinet
from basinet import plots
from basinet.analysis.unseen import wilson
from basinet.plots import style

SPURIOUS = 1e-3  # losses from here on are spurious, as published: those of global minima are rounding
PUBLISHED = {6: 0.003, 7: 0.055, 8: 0.126, 9: 0.218, 10: 0.346}  # n = k, 1,000 starts each (Safran & Shamir, 2018)
UNITS = ["problem.units", "network.width"]


def main() -> None:
    table = shares(basinet.load_restarts("student_teacher"))
    print(table.round(3).to_string(index=False))
    if len(sys.argv) > 1:
        plots.save({"student_teacher": figure(table)}, sys.argv[1])


def shares(restarts: pd.DataFrame) -> pd.DataFrame:
    """How many restarts end in a spurious minimum, by the units of teacher and student, and in how many of them.

    Returns:
        `problem.units network.width restarts spurious share low high minima orbits losses`: the share of spurious ones
        with Wilson's 95 % interval, how many different ones there are, also modulo the teacher's permutations, and
        their losses.
    """
    bad = (restarts["kind"] == "minimum") & (restarts["loss"] >= SPURIOUS)
    table = restarts.assign(spurious=bad).groupby(UNITS)["spurious"].agg(restarts="size", spurious="sum")
    interval = wilson(table["spurious"].to_numpy(), table["restarts"].to_numpy())
    table = table.assign(share=table["spurious"] / table["restarts"], low=interval.low, high=interval.high)
    found = restarts[bad].groupby(UNITS)
    for column, counted in (("minima", "minimum"), ("orbits", "orbit")):
        table[column] = found[counted].nunique()
    lowest = restarts[bad].groupby([*UNITS, "orbit"])["loss"].min().round(9)
    table["losses"] = lowest.astype(str).groupby(level=UNITS).agg(", ".join)
    return table.fillna({"minima": 0, "orbits": 0, "losses": ""}).astype({"minima": int, "orbits": int}).reset_index()


@style.styled
def figure(table: pd.DataFrame) -> Figure:
    """The shares with their intervals against the units of the teacher, and the published ones."""
    drawn, axes = style.one_panel("Starts that end in a spurious minimum")
    more = table["network.width"] - table["problem.units"]
    for extra, group in table.groupby(more):
        errors = [group["share"] - group["low"], group["high"] - group["share"]]
        label = f"n = k{f' + {extra}' * (extra != 0)}"
        axes.errorbar(group["problem.units"], group["share"], errors, fmt="o-", capsize=3, ms=4, label=label)
    axes.plot(list(PUBLISHED), list(PUBLISHED.values()), "x", color="black", ms=7, label="published, n = k")
    axes.set(xlabel="units of the teacher, k", ylabel="share of the starts")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(0, None)
    style.legend_beside(drawn, axes.get_legend_handles_labels()[0], "student of n units")
    return drawn


if __name__ == "__main__":
    main()
