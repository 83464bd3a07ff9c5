"""What the figures show, as tidy frames: every figure can be had as its DataFrame first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis import unseen as estimates
from basinet.analysis.groups import by_settings
from basinet.analysis.spread import median_interval
from basinet.foundation.errors import require
from basinet.foundation.quantiles import INNER, QUANTILES, QUARTILES, quantiles

_START = 0.7  # where step 0 stands on a log axis, in parts of the first one that is recorded

OTHERS = "others"
"""What stands for everything beyond the commonest."""

_LEVEL = 0.05  # one minus the confidence of intervals


def finished(restarts: pd.DataFrame) -> pd.DataFrame:
    """The restarts that have a final loss: those that have not diverged."""
    left = (restarts["status"] != "diverged").to_numpy() & np.isfinite(restarts["loss"].to_numpy(np.float64))
    kept: pd.DataFrame = restarts.loc[left]
    return kept


def medians(restarts: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One row per condition: the quartiles of the final loss and the 95 % interval of its median.

    Args:
        restarts: one row per restart with `loss status` and the columns `by`.
        by: what tells conditions apart.

    Returns:
        `by`, then `restarts diverged q25 median q75 median_low median_high` (`spread.median_interval`).

    >>> frame = pd.DataFrame({"init": "a", "loss": [1.0, 2.0, 9.0], "status": "arrived"})
    >>> medians(frame, ["init"])[["restarts", "median"]].to_numpy().tolist()
    [[3.0, 2.0]]
    """
    rows = []
    for key, group in by_settings(restarts, by):
        losses = np.sort(finished(group)["loss"].to_numpy(np.float64))
        row = {**key, "restarts": len(group), "diverged": len(group) - len(losses)}
        row |= quantiles(losses, QUARTILES)
        row["median_low"], row["median_high"] = median_interval(losses)
        rows.append(row)
    columns = ["restarts", "diverged", *QUARTILES, "median_low", "median_high"]
    return pd.DataFrame(rows, columns=[*by, *columns])


def waterfall(restarts: pd.DataFrame) -> pd.DataFrame:
    """The restarts that have not diverged in ascending order of their final loss, with their `rank` from 1."""
    kept = finished(restarts).sort_values("loss", kind="stable", ignore_index=True)
    kept.insert(0, "rank", np.arange(1, len(kept) + 1))
    return kept


def distribution(restarts: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The empirical distribution function of the final loss in every condition, with its 95 % band.

        F(x) = (restarts that ended at a loss ≤ x) / n        F ± √(ln(2 / 0.05) / 2n)

    A diverged restart is one of the n and never gets below any loss, so that F ends below 1 where there are some.

    Source: the band of Dvoretzky, Kiefer & Wolfowitz (1956) with Massart's constant (1990).

    Args:
        restarts: one row per restart with `loss status` and the columns `by`.
        by: what tells conditions apart; may be empty.

    Returns:
        `by`, then `restarts loss share share_low share_high`, one row per condition and distinct loss.

    >>> frame = pd.DataFrame({"loss": [2.0, 1.0, 1.0, np.nan], "status": ["arrived"] * 3 + ["diverged"]})
    >>> distribution(frame, [])[["loss", "share"]].to_numpy().tolist()
    [[1.0, 0.5], [2.0, 0.75]]
    """
    parts = []
    for key, group in by_settings(restarts, by):
        n = len(group)
        losses, counts = np.unique(finished(group)["loss"].to_numpy(np.float64), return_counts=True)
        share, half = np.cumsum(counts) / n, np.sqrt(np.log(2 / _LEVEL) / (2 * n))
        band = {"share_low": np.maximum(share - half, 0), "share_high": np.minimum(share + half, 1)}
        parts.append(pd.DataFrame({"restarts": n, "loss": losses, "share": share, **band}).assign(**key))
    columns = [*by, "restarts", "loss", "share", "share_low", "share_high"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def commonest(restarts: pd.DataFrame, by: str, most: int) -> list[Any]:
    """The `most` commonest values of a column, the commonest first and the smaller of equals; no -1 (no minimum).

    >>> commonest(pd.DataFrame({"minimum": [-1, -1, -1, 2, 2, 0, 1, 1]}), "minimum", 2)
    [1, 2]
    """
    counts = restarts[by].value_counts()
    counts = counts[counts > 0]
    values = [value for value in counts.index if not (isinstance(value, int | np.integer) and value == -1)]
    return sorted(values, key=lambda value: (-counts[value], *sort_key(value)))[:most]


def clocked(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A table of records with times for steps, where restarts make steps of their own; and what the axis is called.

    >>> clocked(pd.DataFrame({"step": [0, 7], "time": [0.0, 0.5]}))[0]["step"].tolist()
    [0.0, 0.5]
    """
    if "time" in table and table["time"].notna().all():
        return table.assign(step=table["time"]), "time"
    return table, "step"


def on_log_axis(steps: pd.Series) -> pd.Series:
    """Steps, or times, the start being a little before the first of them.

    >>> on_log_axis(pd.Series([0, 1, 10])).tolist()
    [0.7, 1.0, 10.0]
    """
    later = steps[steps > 0]
    return steps.clip(lower=_START * (later.min() if len(later) else 1))


def fans(curves: pd.DataFrame, restarts: pd.DataFrame, by: str, most: int = 6) -> pd.DataFrame:
    """How the loss falls over the steps, apart for restarts that end differently: quantiles of those that end alike.

    Args:
        curves: one row per restart and record: `restart step loss` (and `run_id`, where there are several conditions).
        restarts: one row per restart: `restart` (and `run_id`) and the column `by`.
        by: `kind`, `minimum`, or any other column of the restarts.
        most: values of `by` that get a fan of their own, the commonest; the rest is pooled as `others`.

    Returns:
        `by step restarts q05 q25 median q75 q95`, one row per value and step; `restarts` are those that have a loss
        at this step.
    """
    own = {*commonest(restarts, by, most), -1}
    ends = restarts[by].astype(object)
    ends = ends.where(ends.isin(own), OTHERS)
    keys = _address(curves, restarts)
    joined = curves[[*keys, "step", "loss"]].merge(restarts[keys].assign(**{by: ends}), on=keys)
    joined = joined[joined["loss"].notna()]
    # Groups are sorted by their code: values of mixed types have no order.
    groups = joined["loss"].astype(np.float64).groupby([pd.factorize(joined[by])[0], joined["step"]])
    table = pd.DataFrame({"restarts": groups.size(), **{name: groups.quantile(QUANTILES[name]) for name in INNER}})
    table = table.rename_axis(index=[by, "step"]).reset_index()
    return table.assign(**{by: pd.factorize(joined[by])[1].take(table[by].to_numpy(np.int64))})


def trajectories(curves: pd.DataFrame, restarts: pd.DataFrame, per_minimum: int = 8, most: int = 12) -> pd.DataFrame:
    """The loss curves of a few example restarts of one condition for each of its commonest bottoms.

    Args:
        curves: one row per restart and record: `restart step loss`.
        restarts: one row per restart: `restart minimum kind loss`.
        per_minimum: restarts of each bottom, the first that have a curve.
        most: bottoms, the commonest.

    Returns:
        `minimum kind restarts loss_final restart step loss`, in the order of `minimum`; `restarts` is how many of all
        restarts end in that bottom, and `loss_final` the lowest of their losses.
    """
    ended = restarts[restarts["minimum"].isin(commonest(restarts, "minimum", most))]
    groups = ended.groupby("minimum")
    about = pd.DataFrame(
        {"kind": groups["kind"].first(), "restarts": groups.size(), "loss_final": groups["loss"].min()}
    )
    known = ended[ended["restart"].isin(curves["restart"].unique())]
    examples = known.sort_values("restart").groupby("minimum").head(per_minimum)[["restart", "minimum"]]
    joined = examples.join(about, on="minimum").merge(curves[["restart", "step", "loss"]], on="restart")
    columns = ["minimum", "kind", "restarts", "loss_final", "restart", "step", "loss"]
    return joined[columns].sort_values(["minimum", "restart", "step"], ignore_index=True)


def rank_abundance(minima: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """The bottoms of every condition from the commonest to the rarest, with their `rank` from 1.

    Args:
        minima: one row per bottom with `minimum kind loss count share share_low share_high` and the columns `by`.
        by: what tells conditions apart; may be empty.
    """
    columns = ["minimum", "kind", "loss", "count", "share", "share_low", "share_high"]
    if minima.empty:
        return pd.DataFrame(columns=[*by, "rank", *columns])
    reached = minima[(minima["count"] > 0).to_numpy()]  # others only runs have visited, or searches found
    ordered = reached.sort_values("count", ascending=False, kind="stable")
    parts = [group.assign(rank=np.arange(1, len(group) + 1)) for _, group in by_settings(ordered, by)]
    table = pd.concat(parts, ignore_index=True) if parts else reached.assign(rank=0)
    return table[[*by, "rank", *columns]]


def rarefaction(minima: pd.DataFrame, points: int = 100) -> pd.DataFrame:
    """The number of distinct minima to be expected among fewer restarts, and among up to twice as many.

        n ≤ N:  Σ_m (1 - C(N - n_m, n) / C(N, n))        n > N:  w + f₀ (1 - (1 - f₁ / (N f₀ + f₁))^(n - N))

    f₀ = Chao1 - w are the minima that the singletons f₁ and the pairs prove to be unseen: a lower bound, and so is what
    lies beyond N. Only bottoms of the kind `minimum` count.

    Source: Hurlbert (1971); Colwell et al. (2012), equation 9.

    Args:
        minima: one row per bottom of one condition with `kind count`.
        points: about how many numbers n, log-spaced.

    Returns:
        `restarts minima extrapolated`, one row per n.

    >>> rarefaction(pd.DataFrame({"kind": "minimum", "count": [3, 1]}), 3)["minima"].round(2).tolist()
    [1.0, 1.5, 2.0]
    """
    counts = minima_counts(minima)
    total = int(counts.sum())
    if total == 0:
        return pd.DataFrame({"restarts": [], "minima": [], "extrapolated": []})
    seen = np.unique(np.rint(np.geomspace(1, total, points)).astype(np.int64))
    missing, singletons = estimates.chao1(counts).value - len(counts), int((counts == 1).sum())
    beyond = np.unique(np.rint(np.geomspace(total, 2 * total, max(points // 5, 2))).astype(np.int64))[1:]
    if missing == 0:
        beyond = beyond[:0]
    still_unseen = (1 - singletons / (total * missing + max(singletons, 1))) ** (beyond - total)
    found = np.concatenate([estimates.rarefaction(counts, seen), len(counts) + missing * (1 - still_unseen)])
    restarts = np.concatenate([seen, beyond])
    return pd.DataFrame({"restarts": restarts, "minima": found, "extrapolated": restarts > total})


def unseen(minima: pd.DataFrame) -> pd.DataFrame:
    """One row about how many minima of one condition were not seen; no row if none was seen.

    Returns:
        `restarts` that reached a minimum, `share_minimum` (of all restarts; NaN without shares), `minima` found,
        `coverage` (of the starts that end in a minimum) and its interval, `minima_low` (a lower bound for how many
        there are, 95 %) and `minima_chao1`.
    """
    counts = minima_counts(minima)
    names = ("restarts", "share_minimum", "minima", "coverage", "coverage_low", "coverage_high")
    columns = [*names, "minima_low", "minima_chao1"]
    if len(counts) == 0:
        return pd.DataFrame(columns=columns)
    seen, bound = estimates.coverage(counts), estimates.chao1(counts)
    share = minima.loc[(minima["kind"] == "minimum").to_numpy(), "share"].sum() if "share" in minima else np.nan
    row = (counts.sum(), share, len(counts), seen.value, seen.low, seen.high, bound.low, bound.value)
    return pd.DataFrame([row], columns=columns)


def minima_counts(minima: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Restarts per bottom of the kind `minimum`."""
    count = minima.loc[(minima["kind"] == "minimum").to_numpy(), "count"].to_numpy(np.int64)
    return count[count > 0]


def heat(spread: pd.DataFrame, rows: Sequence[str], columns: str, value: str) -> pd.DataFrame:
    """One column of the spread table as a matrix: combinations of settings down, the setting `columns` across.

    Index and columns are labels in the order of the settings' values; NaN where there is no such condition.

    Raises:
        ConfigError: if two conditions fall on one place, because they differ in a setting that is not named.

    >>> table = pd.DataFrame({"init": ["a", "b", "a"], "depth": [2, 2, 10], "minima": [1.0, 2.0, 3.0]})
    >>> heat(table, ["init"], "depth", "minima")
         2   10
    a  1.0  3.0
    b  2.0  NaN
    """
    across, column = positions(spread[columns])
    down, row = _combined(spread, rows)
    places = pd.DataFrame({"row": row, "column": column})
    require(not places.duplicated().any(), f"conditions differ in more than {', '.join([*rows, columns])}")
    matrix = np.full((len(down), len(across)), np.nan)
    matrix[places["row"], places["column"]] = spread[value].to_numpy(np.float64)
    return pd.DataFrame(matrix, index=pd.Index(down), columns=pd.Index(across))


def sharpness(table: pd.DataFrame) -> pd.DataFrame:
    """Loss against the Hessian's largest eigenvalue and trace, of minima or of restarts, where they are known.

    Returns:
        The rows with a finite loss and at least one of `lambda_max` and `trace`; `trace` is NaN and `count` 1 where the
        table has no such column (the table of restarts).
    """
    full = table.assign(**{name: fill for name, fill in (("trace", np.nan), ("count", 1)) if name not in table})
    known = np.isfinite(full["lambda_max"].to_numpy(np.float64)) | np.isfinite(full["trace"].to_numpy(np.float64))
    kept: pd.DataFrame = full.loc[known & np.isfinite(full["loss"].to_numpy(np.float64))]
    return kept.reset_index(drop=True)


def positions(values: pd.Series) -> tuple[list[str], pd.Series]:
    """The labels of a setting's values in their order, and for each row the position of its own.

    >>> positions(pd.Series([10, 2, 10]))[0]
    ['2', '10']
    """
    codes, found = pd.factorize(values, use_na_sentinel=False)
    order = sorted(range(len(found)), key=lambda code: sort_key(found[code]))
    places = np.argsort(order).astype(np.int64)[codes] if order else codes
    return [label(found[code]) for code in order], pd.Series(places, index=values.index)


def label(value: Any) -> str:
    """A setting's value as it is written at axes and in legends."""
    return "-" if pd.isna(value) else str(value)


def _combined(table: pd.DataFrame, columns: Sequence[str]) -> tuple[list[str], pd.Series]:
    """Like `positions`, for the combinations of several settings."""
    if not columns:
        return [""], pd.Series(0, index=table.index)
    parts = [positions(table[column]) for column in columns]
    places = pd.DataFrame({number: position for number, (_, position) in enumerate(parts)})
    keys = places.apply(tuple, axis=1)
    order = sorted(set(keys))
    names = [", ".join(labels[place] for (labels, _), place in zip(parts, key, strict=True)) for key in order]
    return names, keys.map({key: place for place, key in enumerate(order)})


def _address(curves: pd.DataFrame, restarts: pd.DataFrame) -> list[str]:
    """What names a restart in both frames."""
    return [key for key in ("run_id", "restart") if key in curves and key in restarts]


def sort_key(value: Any) -> tuple[int, float, str]:
    """Orders a setting's values: numbers first, then texts, and last what is missing."""
    if pd.isna(value):
        return 2, 0.0, ""
    return (0, float(value), "") if isinstance(value, int | float | np.number) else (1, 0.0, str(value))
