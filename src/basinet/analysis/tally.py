"""How many restarts have ended alike: what counts need of the table of restarts, in a few rows for each condition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

NUMBER = "restarts_alike"
"""Column of a tally: for how many restarts a row stands."""

ALIKE = ("status", "kind", "unfinished_because", "minimum", "sweep_minimum", "orbit", "elsewhere")
"""Columns of restarts that are counted, where they are there."""


def tally(restarts: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """One row for each way in which restarts have ended: a table of restarts in which a row stands for many.

    Tallies of parts, one below the other, can be tallied again.

    Args:
        restarts: one row per restart with `loss status kind minimum`, or a tally.
        by: columns that tell conditions apart.

    Returns:
        `by` and those of `status kind unfinished_because minimum sweep_minimum orbit elsewhere` that are there, `loss`
        (the lowest of those alike) and `restarts_alike`.

    >>> frame = pd.DataFrame({"status": "arrived", "kind": "minimum", "minimum": [0, 1, 0], "loss": [0.2, 0.5, 0.1]})
    >>> tally(frame)[["minimum", "loss", "restarts_alike"]].to_numpy().tolist()
    [[0.0, 0.1, 2.0], [1.0, 0.5, 1.0]]
    """
    alike = [*by, *(name for name in ALIKE if name in restarts and name not in by)]
    counted = restarts if NUMBER in restarts else restarts.assign(**{NUMBER: 1})
    groups = counted.groupby(alike, observed=True, dropna=False, sort=True)
    return groups.agg(loss=("loss", "min"), **{NUMBER: (NUMBER, "sum")}).reset_index()


def tallied(tallies: Iterable[pd.DataFrame], by: Sequence[str] = ()) -> pd.DataFrame:
    """One tally of several."""
    return tally(pd.concat(list(tallies), ignore_index=True), by)


def number(rows: pd.DataFrame) -> int:
    """How many restarts the rows of a table of restarts, or of a tally, stand for."""
    return int(rows[NUMBER].sum()) if NUMBER in rows else len(rows)


def counts(rows: pd.DataFrame, column: str) -> pd.Series:
    """How many restarts have each value of a column, the commonest first."""
    if NUMBER not in rows:
        return rows[column].value_counts()
    found: pd.Series[Any] = rows.groupby(column, observed=False)[NUMBER].sum()
    return found.sort_values(ascending=False, kind="stable").astype(np.int64)
