"""The spread of final losses across restarts: statistics of tidy frames, usable without any store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """What a launch ends with."""

    spread: pd.DataFrame  # one row per condition
    by: list[str]  # what tells conditions apart
    figures: Path | None  # the folder of the figures, if there is one on this machine


def spread(restarts: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One row per condition: how the final losses of its restarts are distributed.

    Quantiles are over the restarts that have not diverged. `median_low` and `median_high` are the 95 % interval of the
    median by order statistics (exact whatever the distribution; Conover, 1999); `share_*_low` and `_high` are Wilson's.

    Args:
        restarts: one row per restart with `loss`, `status` and the columns `by`.
        by: the columns that tell conditions apart.

    Returns:
        `by`, then `restarts loss_min loss_q05 loss_q25 loss_median loss_q75 loss_q95 loss_max loss_iqr median_low
        median_high share_arrived share_arrived_low share_arrived_high share_diverged …`; rows in the order of `by`.

    >>> frame = pd.DataFrame({"init": ["a"] * 3, "loss": [1.0, 2.0, 4.0], "status": ["arrived", "budget", "budget"]})
    >>> spread(frame, ["init"])[["init", "restarts", "loss_median", "share_arrived"]].round(2).values.tolist()
    [['a', 3, 2.0, 0.33]]
    """
    keys = list(by)
    groups = restarts.groupby(keys, observed=True, sort=True, dropna=False)
    rows = [{**dict(zip(keys, key, strict=True)), **_spread_of(group)} for key, group in groups]
    return pd.DataFrame(rows)


def _spread_of(group: pd.DataFrame) -> dict[str, float]:
    losses = np.sort(group.loc[group["status"] != "diverged", "loss"].to_numpy(dtype=np.float64))
    points = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
    values = np.quantile(losses, list(points.values())) if len(losses) else np.full(len(points), np.nan)
    row: dict[str, float] = {"restarts": len(group)}
    row.update({f"loss_{name}": float(value) for name, value in zip(points, values, strict=True)})
    row["loss_iqr"] = row["loss_q75"] - row["loss_q25"]
    row["median_low"], row["median_high"] = median_interval(losses)
    for status in ("arrived", "diverged"):
        count = int((group["status"] == status).sum())
        interval = stats.binomtest(count, len(group)).proportion_ci(_CONFIDENCE, method="wilson")
        row[f"share_{status}"] = count / len(group)
        row[f"share_{status}_low"], row[f"share_{status}_high"] = float(interval.low), float(interval.high)
    return row


def median_interval(ordered: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """The 95 % interval of the median from sorted values: from the k-th smallest to the k-th largest.

    k is the largest rank with P(Binomial(n, ½) < k) ≤ 2.5 %. With fewer than six values there is no such interval and
    the smallest and largest are returned; NaN for none.
    """
    n = len(ordered)
    if n == 0:
        return np.nan, np.nan
    k = max(int(stats.binom.ppf((1 - _CONFIDENCE) / 2, n, 0.5)), 1)
    return float(ordered[k - 1]), float(ordered[n - k])


def varying(restarts: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Those of `columns` in which the conditions of a frame differ."""
    return [column for column in columns if restarts[column].nunique(dropna=False) > 1]
