"""Condition × bottom: at which losses restarts end, and which share of them; degenerate ones and at infinity, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis.spread import OBJECTIVE
from basinet.foundation.outcomes import ALL_ENDS

WITHOUT = tuple(kind for kind in ALL_ENDS if kind not in ("minimum", "degenerate", "at_infinity"))
"""Kinds of restarts that have ended at no bottom of the table of minima."""

_SAME_LEVEL = 1e-6  # levels are the same where they agree to this, relative to 1 + |x|, as minima are


def levels(minima: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One row per condition, kind and loss: the bottoms of one loss taken together.

    That of bottoms at infinity is `level`, what the loss falls to on the way there. Bottoms that have one loss without
    being the same (a symmetry of the data relates them, or they fail on different samples) are one row.

    Args:
        minima: one row per bottom and condition, as `basinet.load_minima` returns them, with the columns `by`.
        by: what tells conditions apart.

    Returns:
        `by`, then `kind loss share bottoms orbits`, the lowest first; `share` is of all restarts of the condition,
        `loss` the same number in every condition, `bottoms` how many have it, `orbits` how many minima these are modulo
        the symmetries of the problem: 0 of other kinds, NaN where that was not kept.

    >>> found = pd.DataFrame({"init": "a", "kind": "minimum", "loss": [0.1, 0.1, 0.2], "share": [0.5, 0.25, 0.125]})
    >>> levels(found, ["init"])[["loss", "share", "bottoms"]].to_numpy().tolist()
    [[0.1, 0.75, 2.0], [0.2, 0.125, 1.0]]
    """
    loss = minima["loss"].to_numpy(np.float64)
    level = minima["level"].to_numpy(np.float64) if "level" in minima else loss  # older tables have none
    level = np.where(np.isnan(level), loss, level)
    kind = minima["kind"].astype(str).to_numpy()
    frame = minima[[*by, "share"]].assign(kind=kind, loss=level)
    frame["loss"] = frame.groupby("kind")["loss"].transform(_rounded)
    orbit = minima["orbit"] if "orbit" in minima else pd.Series(np.nan, minima.index)  # older tables have none
    frame = frame.assign(orbit=orbit.where(orbit >= 0), known=orbit.notna())
    groups = frame.groupby([*by, "loss", "kind"], observed=True, dropna=False, sort=True)
    table = groups.agg(
        share=("share", "sum"), bottoms=("share", "size"), orbits=("orbit", "nunique"), known=("known", "all")
    ).reset_index()
    table["orbits"] = table["orbits"].astype(np.float64).where(table["known"])
    return table[[*by, "kind", "loss", "share", "bottoms", "orbits"]]


def _rounded(losses: pd.Series) -> npt.NDArray[np.float64]:
    """Losses with all that agree made equal: the lowest of them stands for them."""
    values = losses.to_numpy(np.float64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.diff(ordered, prepend=-np.inf) > _SAME_LEVEL * (1 + np.abs(ordered))
    result = np.empty_like(values)
    result[order] = ordered[np.maximum.accumulate(np.where(begins, np.arange(len(ordered)), 0))]
    return result


def shares(table: pd.DataFrame, conditions: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Condition × bottom: the share of each condition's restarts that end at each loss.

    Args:
        table: what `levels` returns.
        conditions: one row per condition with the columns `by`, such as the spread; each becomes a row, in this order.
        by: what tells conditions apart.

    Returns:
        Indexed by `by`, a column for each `(loss, kind)`, the lowest first; 0 where no restart of a condition ends.
    """
    keys = pd.concat([conditions[list(by)].astype(object), table[list(by)].astype(object)], ignore_index=True)
    row = keys.groupby(list(by), dropna=False, sort=False).ngroup().iloc[len(conditions) :].to_numpy()
    ends = pd.MultiIndex.from_frame(table[["loss", "kind"]])
    columns = ends.unique().sort_values()
    wide = np.zeros((len(conditions), len(columns)))
    np.add.at(wide, (row, columns.get_indexer(ends)), table["share"].to_numpy(np.float64))
    return pd.DataFrame(wide, index=pd.MultiIndex.from_frame(conditions[list(by)]), columns=columns)


def objectives(by: Sequence[str]) -> list[str]:
    """The settings among `by` that decide what is minimised: bottoms are compared where these agree."""
    return [key for key in by if key.partition(".")[0] in OBJECTIVE]
