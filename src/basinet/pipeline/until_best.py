"""Runs up to where they have come to the best of all: what `escape.target=best` leaves of their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from basinet.analysis.running_time import reached


def lowest_certified(visits: pd.DataFrame) -> float:
    """The loss of the best bottom that runs have come to and that is certified; infinite if there is none."""
    return float(visits.loc[visits["minimum"] >= 0, "loss"].min()) if (visits["minimum"] >= 0).any() else np.inf


def until_best(
    restarts: pd.DataFrame, visits: pd.DataFrame, level: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of restarts and of visits as if every run had ended where it first came to the best bottom of all.

    Which one that is depends on all runs, and so nobody can stop there: a run that has the best so far may find a
    better one. Runs spend their budgets, the level is the lowest certified bottom of them all, and what came after the
    first visit there is left out. Nothing depends on the order in which runs are computed, and a larger budget, which
    may find a lower level, has what it needs in the blocks.

    Args:
        restarts: one row per run, with `restart rounds spent`.
        visits: one row per visit, in the order of runs and rounds.
        level: `lowest_certified` of all runs; that of these if None.

    Returns:
        The same columns; `spent` and `rounds` are those at the last visit that is left of a run that has come there.
    """
    best = lowest_certified(visits) if level is None else level
    there = reached(visits, best) if np.isfinite(best) else pd.Series(False, index=visits.index)
    run = visits["restart"]
    earlier = there.groupby(run).cumsum() - there  # hits of the run before this visit
    last = visits[there & (earlier == 0)].set_index("restart")
    kept = visits[earlier == 0].reset_index(drop=True)
    return _ended(restarts, last), kept.assign(spent=_known(kept["restart"], last["gradients"], kept["spent"]))


def _ended(restarts: pd.DataFrame, last: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs that have ended at a visit."""
    number = restarts["restart"]
    return restarts.assign(
        rounds=_known(number, last["round"] + 1, restarts["rounds"]).astype(restarts["rounds"].dtype),
        spent=_known(number, last["gradients"], restarts["spent"]),
    )


def _known(number: pd.Series, values: pd.Series, otherwise: pd.Series) -> pd.Series:
    """Of each run the value that is known by its number, or what stands there otherwise."""
    own = number.map(values)
    return pd.Series(np.where(own.isna(), otherwise, own), index=number.index)
