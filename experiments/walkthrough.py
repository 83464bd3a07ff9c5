"""A walk through the results of a sweep with pandas alone: every line works on what `basinet.load_*` returns, as it is.

basinet experiment=depth
python experiments/walkthrough.py            # … or the name of another experiment over init and network.depth
"""

from __future__ import annotations

import sys

import pandas as pd

import basinet
from basinet.analysis.bottoms import levels as levels_of_loss
from basinet.analysis.bottoms import shares
from basinet.analysis.compare import differences, levels
from basinet.analysis.spread import spread

pd.set_option("display.width", 140, "display.max_columns", 14)
name = sys.argv[1] if len(sys.argv) > 1 else "depth"

# One row per restart; settings are columns: choices are categories, numbers are numbers.
restarts = basinet.load_restarts(name)
print(restarts.dtypes.filter(["init", "network.depth", "kind", "loss", "steps"]), "\n")

# How the final losses are spread …
by = ["network.depth", "init"]
print(restarts.groupby(by, observed=True)["loss"].describe(percentiles=[0.05, 0.5, 0.95]), "\n")

# … and where they come from: what kind of bottom, and at which loss. That is the table that the terminal shows.
# (`sweep_minimum` is the same for the same minimum, whichever initialisation found it.)
print(restarts.groupby([*by, "kind"], observed=True).size().unstack(fill_value=0), "\n")
minima = restarts[restarts["kind"] == "minimum"]
catalogue = basinet.load_minima(name)
table = spread(restarts, by)
print(shares(levels_of_loss(catalogue, by), table, by).round(3), "\n")
found = minima.groupby(["network.depth", "sweep_minimum", "init"], observed=True).size()
print(found.unstack(fill_value=0).head(12), "\n")

# The catalogue: one row per distinct bottom and condition, with its curvature.
columns = ["network.depth", "init", "minimum", "loss", "count", "share", "share_low", "share_high", "lambda_min"]
print(catalogue[catalogue["kind"] == "minimum"][columns].head(12).to_string(index=False), "\n")

# Is a flat minimum a good one? (rank correlation of loss and largest eigenvalue)
flat = catalogue[catalogue["kind"] == "minimum"]
print(flat.groupby("network.depth", observed=True)[["loss", "lambda_max"]].corr("spearman").iloc[0::2, 1], "\n")

# What the terminal and the report show, as a frame: intervals, coverage, lower bounds for what is unseen.
# (Coverage is of the starts that end in a minimum: it means nothing without their share.)
shown = ["loss_median", "median_low", "median_high", "minima", "share_minimum", "coverage", "share_best_known"]
print(table[[*by, *shown]], "\n")

# Between conditions: which initialisation is better, and is that more than chance?
deepest = restarts[restarts["network.depth"] == restarts["network.depth"].max()]
print(differences(deepest, ["init"])[["init_a", "init_b", "difference", "p_holm", "delta", "paired", "better"]], "\n")
print(levels(restarts, "init", within=["network.depth"]), "\n")

# Losses on the way down, of those that ended in the best minimum and of the others.
curves = basinet.load_curves(name, columns=["run_id", "restart", "step", "loss"])
best = minima.loc[minima["loss"] <= minima.groupby("network.depth")["loss"].transform("min") * (1 + 1e-9)]
ended = curves.merge(best[["run_id", "restart"]].assign(best=True), how="left").fillna({"best": False})
print(ended.groupby(["best", "step"])["loss"].median().unstack(0).iloc[::8])
