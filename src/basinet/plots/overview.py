"""All figures of a condition, and of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from basinet.plots.barrier import barrier
from basinet.plots.disconnectivity import disconnectivity
from basinet.plots.distribution import distribution
from basinet.plots.fans import fans, loss_fan
from basinet.plots.final_losses import final_losses
from basinet.plots.heat import heat
from basinet.plots.rank_abundance import rank_abundance
from basinet.plots.rarefaction import rarefaction
from basinet.plots.saddle_index import saddle_index
from basinet.plots.sharpness import sharpness
from basinet.plots.trajectories import trajectories
from basinet.plots.waterfall import waterfall

_SIDE_BY_SIDE_MAX = 8  # values of a setting that stand side by side in one panel


def condition_figures(
    restarts: pd.DataFrame, minima: pd.DataFrame, curves: pd.DataFrame, quantiles: pd.DataFrame, title: str
) -> dict[str, Figure]:
    """Every figure of one condition, by name; where there is nothing to be drawn, the figure says why.

    Args:
        restarts: its tables, as `basinet.run` makes them or `basinet.load_restarts` and its sisters read them.
        minima: see `restarts`.
        curves: see `restarts`.
        quantiles: see `restarts`.
        title: what stands above every figure.
    """
    return {
        "loss_fan": loss_fan(quantiles, title),
        "waterfall": waterfall(restarts, title),
        "distribution": distribution(restarts, None, [], title),
        "fans_by_kind": fans(curves, restarts, "kind", title),
        "fans_by_minimum": fans(curves, restarts, "minimum", title),
        "trajectories": trajectories(curves, restarts, title),
        "rank_abundance": rank_abundance(minima, title),
        "rarefaction": rarefaction(minima, title),
        "sharpness": sharpness(minima, title),
    }


def landscape_figures(
    minima: pd.DataFrame, saddles: pd.DataFrame, paths: pd.DataFrame, title: str
) -> dict[str, Figure]:
    """Every figure of what lies between the minima of one condition, by name.

    Args:
        minima: its tables, as `basinet.load_minima` and `basinet.load_saddles` read them.
        saddles: see `minima`.
        paths: the loss on ways between two of them.
        title: what stands above every figure.
    """
    return {
        "disconnectivity": disconnectivity(minima, saddles, title),
        "saddle_index": saddle_index(minima, saddles, title),
        "barrier": barrier(paths, title),
    }


def sweep_figures(
    restarts: pd.DataFrame, minima: pd.DataFrame, spread: pd.DataFrame, varied: Sequence[str]
) -> dict[str, Figure]:
    """Every figure that compares the conditions of a sweep, by name.

    Args:
        restarts: one row per restart of every condition, with its settings.
        minima: one row per bottom of every condition, with its settings.
        spread: one row per condition (`basinet.analysis.spread.spread`), with its settings.
        varied: the settings in which conditions differ.
    """
    x, others = sweep_axes(varied)
    colour = _side_by_side(restarts, others)
    panels = [name for name in others if name != colour]
    settings = " × ".join([*others, x])
    return {
        "final_losses": final_losses(restarts, x, panels, f"Final losses by {settings}", colour),
        "distribution": distribution(restarts, x, others, f"Distribution of the final loss by {settings}"),
        "heat": heat(spread, others, x, ["share_best_known", "minima"], f"Minima by {settings}"),
        "sharpness": sharpness(minima, f"Loss against sharpness by {x}", x if x in minima else "kind"),
    }


def sweep_axes(varied: Sequence[str]) -> tuple[str, list[str]]:
    """What to draw on the x axis and what in panels, for a sweep over the columns `varied`.

    >>> sweep_axes(["descent", "network.depth", "init"])
    ('network.depth', ['descent', 'init'])
    """
    x = "network.depth" if "network.depth" in varied else next(iter(varied), "network.depth")
    return x, [column for column in varied if column != x]


def _side_by_side(restarts: pd.DataFrame, others: Sequence[str]) -> str | None:
    """The setting whose values stand side by side: the init, else the first one with few values; not the problem."""
    for name in sorted(others, key=lambda name: name != "init"):
        if name in restarts and name != "problem" and 1 < restarts[name].nunique(dropna=False) <= _SIDE_BY_SIDE_MAX:
            return name
    return None
