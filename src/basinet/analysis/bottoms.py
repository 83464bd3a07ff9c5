"""Condition × bottom: at which losses restarts end, and which share of them; degenerate ones and at infinity, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis.groups import by_settings
from basinet.analysis.spread import OBJECTIVE
from basinet.analysis.tally import NUMBER, number
from basinet.foundation.outcomes import ALL_ENDS

WITHOUT = tuple(kind for kind in ALL_ENDS if kind not in ("minimum", "degenerate", "at_infinity"))
"""Kinds of restarts that have ended at no bottom of the table of minima."""

_SAME_LEVEL = 1e-6  # levels are the same where they agree to this, relative to 1 + |x|, as minima are
_SAME_FAR = 2e-2  # … at infinity, relative to the highest


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
    minima = minima[(minima["share"] > 0).to_numpy()]  # the others only runs have visited: no restart ended there
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
    return _merged(losses, _SAME_LEVEL * (1 + losses.abs().to_numpy(np.float64)))


def _merged(losses: pd.Series, apart: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same of losses that agree to `apart` with the next lower one."""
    values = losses.to_numpy(np.float64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.diff(ordered, prepend=-np.inf) > apart[order]
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


def ends(restarts: pd.DataFrame, by: Sequence[str], tally: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per condition and bottom that its restarts end at: the loss there, and which share of them it draws.

    Args:
        restarts: one row per restart with `minimum kind loss` and the columns `by`.
        by: what tells conditions apart; may be empty.
        tally: of all restarts (`tally.tally`), if these are only some: how many there are, and shares, are of all.

    Returns:
        `by`, then `minimum kind loss restarts share rank`, the lowest of each condition first. `loss` is the median of
        those that end there (they agree but on the way to infinity), `share` is of all restarts of the condition, and
        `rank` counts the losses of one objective from the lowest, 0: the same number in every condition.

    >>> frame = pd.DataFrame({"minimum": [1, 0, 0, -1], "kind": "minimum", "loss": [0.3, 0.1, 0.1, 0.2]})
    >>> ends(frame, [])[["minimum", "loss", "share", "rank"]].to_numpy().tolist()
    [[0.0, 0.1, 0.5, 0.0], [1.0, 0.3, 0.25, 1.0]]
    """
    settled = restarts[(restarts["minimum"] >= 0).to_numpy()]
    groups = settled.groupby([*by, "minimum"], observed=True, dropna=False, sort=True)
    table = groups.agg(kind=("kind", "first"), loss=("loss", "median"), restarts=("loss", "size")).reset_index()
    every = restarts if tally is None else tally
    if tally is not None:
        there = tally.groupby([*by, "minimum"], observed=True, dropna=False)[NUMBER].sum().rename("all").reset_index()
        table["restarts"] = table[[*by, "minimum"]].merge(there, on=[*by, "minimum"], how="left")["all"].to_numpy()
    table = table.assign(share=table["restarts"] / _sizes(every, table, by), rank=0)
    for _, rows in by_settings(table, objectives(by)):
        table.loc[rows.index, "rank"] = _ranks(rows)
    ordered = table.sort_values([*by, "loss", "minimum"], kind="stable", ignore_index=True)
    return ordered[[*by, "minimum", "kind", "loss", "restarts", "share", "rank"]]


def rank_of(restarts: pd.DataFrame) -> pd.Series:
    """The rank of each bottom of one condition, by its id: what `ends` calls `rank`."""
    return ends(restarts, []).set_index("minimum")["rank"]


def _sizes(restarts: pd.DataFrame, table: pd.DataFrame, by: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many restarts the condition of each row of the table has."""
    if not by:
        return np.full(len(table), number(restarts))
    weighed = restarts.assign(of=restarts.get(NUMBER, 1))
    counts = weighed.groupby(list(by), observed=True, dropna=False)["of"].sum().reset_index()
    return table[list(by)].merge(counts, on=list(by), how="left")["of"].to_numpy(np.int64)


def _ranks(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The rank of each row's loss among those of one objective, the lowest 0.

    On the way to infinity losses do not agree to rounding: there they are one if they differ by no more than 2 % of
    the highest.
    """
    losses = table["loss"]
    far = (table["kind"] == "at_infinity").to_numpy()
    level = pd.Series(_rounded(losses), index=table.index)
    if far.any():
        level[far] = _merged(losses[far], np.full(far.sum(), _SAME_FAR * losses.max()))
    return pd.factorize(level, sort=True)[0].astype(np.int64)
