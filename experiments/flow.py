"""The table and the figure of experiments/flow.md, of whatever has been run of the study.

basinet experiment=flow
basinet experiment=flow descent=gradient_descent descent.learning_rate=0.5,2,6,12,20
python experiments/flow.py [folder of the figure]
"""

from __future__ import annotations

import sys

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import basinet
from basinet import plots
from basinet.analysis.unseen import wilson
from basinet.plots import style
from basinet.tracking.results import Results
from basinet.workflows.sweep import merge_sweep

LANDSCAPE = ["network.depth"]
START = [*LANDSCAPE, "init", "seed", "restart"]
CONDITION = [*LANDSCAPE, "init", "descent.learning_rate"]
SHARES = {"another": "o-", "no_minimum": "x:"}  # and how they are drawn


def main() -> None:
    results = basinet.open("flow")
    places = bottoms(results)
    table = shares(ends(results.restarts, places))
    print(table.round(4).to_string(index=False))
    if len(sys.argv) > 1:
        plots.save({"flow": figure(table, stable_up_to(places))}, sys.argv[1])


def bottoms(results: Results) -> pd.DataFrame:
    """The minima of every condition with the number `place` of each, the same wherever it was found.

    The flow and the descents are two sweeps: what is the same in both is asked of all their minima at once.
    """
    found = results.catalogues()
    studies = [results.study(run) for run in found["run_id"].unique()]
    merged = merge_sweep(found, studies).rename(columns={"sweep_minimum": "place"})
    depths = results.runs[["run_id", *LANDSCAPE]]
    columns = ["run_id", "minimum", "kind", "lambda_max"]
    return found[columns].merge(merged, on=["run_id", "minimum"]).merge(depths, on="run_id")


def ends(restarts: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Each restart of a descent beside the flow from the same start.

    Returns:
        `CONDITION`, then `another no_minimum no_flow`: whether it has arrived in another minimum than the flow, in none
        at all, and whether the flow has in none, so that nothing is said. Where polishing takes those is not asked.
    """
    found = restarts.merge(places[["run_id", "minimum", "place"]], on=["run_id", "minimum"], how="left")
    settled = (found["status"] == "arrived") & (found["kind"] == "minimum")
    found = found.assign(place=found["place"].where(settled))
    is_flow = found["descent"] == "gradient_flow"
    flow = found[is_flow].set_index([*START, "start"])["place"].rename("flow")
    pairs = found[~is_flow].join(flow, on=[*START, "start"], how="inner")
    no_minimum, no_flow = pairs["place"].isna(), pairs["flow"].isna()
    another = ~no_minimum & ~no_flow & (pairs["place"] != pairs["flow"])
    return pairs[CONDITION].assign(another=another, no_minimum=no_minimum, no_flow=no_flow)


def shares(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per condition: `starts no_flow`, and each of `SHARES` with Wilson's 95 % interval, `…_low …_high`."""
    groups = pairs.groupby(CONDITION, observed=True)
    table = groups["no_flow"].agg(starts="size", no_flow="sum")
    for name in SHARES:
        count = groups[name].sum()
        interval = wilson(count.to_numpy(), table["starts"].to_numpy())
        table[name] = count / table["starts"]
        table[f"{name}_low"], table[f"{name}_high"] = interval.low, interval.high
    return table.reset_index()


def stable_up_to(places: pd.DataFrame) -> pd.Series:
    """The rate 2 / λ_max beyond which gradient descent leaves a minimum, by `LANDSCAPE` and minimum."""
    sharpest = places[places["kind"] == "minimum"].groupby([*LANDSCAPE, "place"])["lambda_max"].max()
    return 2 / sharpest


@style.styled
def figure(table: pd.DataFrame, limits: pd.Series) -> Figure:
    """A panel per depth: both shares against the learning rate, and the rates up to which minima are stable."""
    depths = table["network.depth"].unique()
    drawn = style.new_figure(3.2 * len(depths) + style.LEGEND, 3.4, "Where gradient descent ends, beside the flow")
    panels = drawn.subplots(1, len(depths), sharey=True, squeeze=False)[0]
    for axes, depth in zip(panels, depths, strict=True):
        _panel(axes, table[table["network.depth"] == depth])
        rates = limits.loc[depth].to_numpy()
        axes.plot(rates, [0] * len(rates), "|", color="black", ms=12, label="2 / λ of a minimum")
        axes.set(xlabel="learning rate", title=f"{depth} layers", xscale="log")
        axes.set_xticks(sorted(table["descent.learning_rate"].unique()))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    panels[0].set_ylabel("share of the starts")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    style.legend_beside(drawn, panels[0].get_legend_handles_labels()[0], "")
    return drawn


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    labels = {"another": "another minimum", "no_minimum": "no minimum"}
    for colour, (init, group) in zip(style.COLOURS, table.groupby("init", observed=True), strict=False):
        for name, form in SHARES.items():
            errors = [group[name] - group[f"{name}_low"], group[f"{name}_high"] - group[name]]
            label = f"{init}: {labels[name]}"
            rates = group["descent.learning_rate"]
            axes.errorbar(rates, group[name], errors, fmt=form, color=colour, capsize=3, ms=4, label=label)


if __name__ == "__main__":
    main()
