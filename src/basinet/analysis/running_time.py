"""What it costs to reach a level: expected running times of runs, and how many have reached it by when.

The measures are those of the COCO benchmarks of black-box optimisers: Hansen, Auger, Finck & Ros (2010),
*Real-parameter black-box optimization benchmarking*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis import unseen
from basinet.analysis.spread import OBJECTIVE
from basinet.foundation.errors import require, unknown
from basinet.foundation.random_streams import Purpose, uniform

_Floats = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]
Target = float | Literal["best"] | None
"""A level: a loss, or the best known; None: likewise."""

RESAMPLES = 1_999
"""Of the bootstrap over runs."""

_SERIES = 2  # of random numbers: neither of the two that medians are drawn from
_COUNTS = 1 << 21  # of runs and resamples at a time
_SAME = 1e-6  # levels are the same where they agree to this, relative to 1 + |x|, as minima are


class Runs(NamedTuple):
    """When runs reached a level, one row each."""

    restart: npt.NDArray[np.int64]  # [run]
    hit: _Flags  # [run]
    spent: _Floats  # [run], gradients until then; of one that has not reached it, all that it has spent


def running_time(
    visits: pd.DataFrame, by: str | Sequence[str], target: Target = None, confidence: float = 0.95
) -> pd.DataFrame:
    """The expected running time to a level, by method or by whatever else tells runs apart.

        ERT = (gradients spent by all runs until they reach the level, or end) / (number of runs that reach it)

    That is the mean cost of the runs that it takes until one succeeds. For independent restarts it is c / p: the mean
    cost of a descent over the share of the starts that lead there. Only bottoms that are certified count, and not a
    descent's own word. The interval is that of the bootstrap over runs (percentiles). Where no run has reached the
    level the time is infinite, and `ert_low` is what it would be if the share of successful runs were the largest that
    is compatible with none: 1 - (1 - confidence)^(1/runs).

    Args:
        visits: one row per visit, as `basinet.load_visits` returns them.
        by: the columns whose values are compared, such as `"escape"`.
        target: the level, a loss; "best" or None: the best minimum of the objective that any run of the frame has
            visited, an objective being where all columns `problem`, `network`, `objective` and below agree.
        confidence: of the interval, between 0 and 1.

    Returns:
        `by`, then `runs successes ert ert_low ert_high success_share target`, a row for each combination that is there.

    Raises:
        ConfigError: if there is no such column, or the confidence or the target is none.

    >>> visits = pd.DataFrame({"escape": "restart", "restart": [0, 0, 1], "gradients": [10.0, 30.0, 20.0],
    ...                        "loss": [2.0, 1.0, 2.0], "minimum": [1, 0, 1], "spent": [30.0, 30.0, 50.0]})
    >>> running_time(visits, "escape")[["runs", "successes", "ert", "success_share"]].iloc[0].tolist()
    [2.0, 1.0, 80.0, 0.5]
    """
    keys = [by] if isinstance(by, str) else list(by)
    for key in keys:
        if key not in visits.columns:
            raise unknown("column of the visits", key, visits.columns)
    require(0 < confidence < 1, f"confidence={confidence:g}: must be between 0 and 1")
    rows = []
    for place, runs, level in _groups(visits, keys, target):
        low, high = _interval(runs, confidence)
        total, successes = float(runs.spent.sum()), int(runs.hit.sum())
        rows.append(
            {
                **place,
                "runs": len(runs.hit),
                "successes": successes,
                "ert": total / successes if successes else np.inf,
                "ert_low": low,
                "ert_high": high,
                "success_share": successes / len(runs.hit),
                "target": level,
            }
        )
    columns = [*keys, "runs", "successes", "ert", "ert_low", "ert_high", "success_share", "target"]
    return pd.DataFrame(rows, columns=columns)


def hit_shares(
    visits: pd.DataFrame, by: str | Sequence[str], target: Target = None, confidence: float = 0.95
) -> pd.DataFrame:
    """Which share of the runs has reached a level, against the gradients that each has spent, with Wilson's band.

    It ends at the least that a run has spent which has not reached the level: beyond, not all have been watched.

    Arguments and errors are those of `running_time`.

    Returns:
        `by`, then `gradients share share_low share_high runs target`, a row wherever the share changes, and the ends.
    """
    keys = [by] if isinstance(by, str) else list(by)
    parts = []
    for place, runs, level in _groups(visits, keys, target):
        n = len(runs.hit)
        watched = runs.spent[~runs.hit].min() if not runs.hit.all() else runs.spent.max()
        times = np.sort(runs.spent[runs.hit & (runs.spent <= watched)])
        gradients, last = np.unique(times, return_index=True)
        counts = np.append(last[1:], len(times))[: len(gradients)]
        gradients, counts = np.concatenate([[0.0], gradients, [watched]]), np.concatenate([[0], counts, [len(times)]])
        low, high = unseen.wilson(counts, n, confidence)
        band = {"gradients": gradients, "share": counts / n, "share_low": low, "share_high": high}
        parts.append(pd.DataFrame({**band, "runs": n, "target": level}).assign(**place))
    columns = [*keys, "gradients", "share", "share_low", "share_high", "runs", "target"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def speedups(
    visits: pd.DataFrame, method: str = "escape", base: str = "restart", confidence: float = 0.95
) -> pd.DataFrame:
    """How many times fewer gradients each method needs than one of them, where everything else is the same.

        ERT(base) / ERT(method)

    Runs of the same number begin from the same start, so that they are drawn together: a paired bootstrap. The target
    is the best known minimum of the objective.

    Args:
        visits: one row per visit, with the column `method` and the settings.
        method: the column whose values are compared.
        base: the value that the others are compared with.
        confidence: of the interval.

    Returns:
        What else differs, then `method` and `ratio ratio_low ratio_high runs target`; a ratio is NaN where both are
        infinite, and its interval is NaN where one of them is.
    """
    others = [key for key in _settings(visits) if key.partition(".")[0] != method.partition(".")[0]]
    varied = [key for key in others if visits[key].nunique(dropna=False) > 1]
    groups = list(_groups(visits, [*varied, method], None))
    bases = {_values(place, varied): runs for place, runs, _ in groups if place[method] == base}
    rows = []
    for place, runs, level in groups:
        other = bases.get(_values(place, varied))
        if other is None or place[method] == base:
            continue
        ratio = _ratio(_ert(other.spent.sum(), other.hit.sum()), _ert(runs.spent.sum(), runs.hit.sum()))
        low, high = _ratio_interval(other, runs, confidence)
        found = {"ratio": ratio, "ratio_low": low, "ratio_high": high, "runs": len(runs.hit), "target": level}
        rows.append({**place, **found})
    return pd.DataFrame(rows, columns=[*varied, method, "ratio", "ratio_low", "ratio_high", "runs", "target"])


def _values(place: dict[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(place[key] for key in keys)


def _settings(visits: pd.DataFrame) -> list[str]:
    """Columns that are settings, not what came out."""
    groups = (*OBJECTIVE, "init", "descent", "escape", "polish", "certify", "seed", "dtype")
    return [name for name in visits.columns if str(name).partition(".")[0] in groups]


def _groups(visits: pd.DataFrame, keys: Sequence[str], target: Target) -> Iterator[tuple[dict[str, Any], Runs, float]]:
    """Each combination of `keys`, its runs, and the level that they are to reach."""
    objective = [name for name in visits.columns if str(name).partition(".")[0] in OBJECTIVE]
    known = None if target == "best" else _level(target)
    levels = _levels(visits, objective) if known is None else pd.Series(known, index=visits.index)
    there = reached(visits, levels)
    conditions = ["run_id"] if "run_id" in visits.columns else []
    frame = visits.assign(_level=levels, _until=visits["gradients"].where(there, np.inf))
    grouped = frame.groupby(list(keys), observed=True, sort=True, dropna=False) if keys else [((), frame)]
    for place, group in grouped:
        names = place if isinstance(place, tuple) else (place,)
        each = group.groupby([*conditions, "restart"], observed=True, sort=True)
        first, spent = each["_until"].min(), each["spent"].max()
        hit = np.isfinite(first.to_numpy())
        restart = first.index.get_level_values("restart").to_numpy()
        until = np.where(hit, first.to_numpy(), spent.to_numpy())
        level = group["_level"].max() if known is None else known
        yield dict(zip(keys, names, strict=True)), Runs(restart, hit, until), float(level)


def reached(visits: pd.DataFrame, level: float | pd.Series) -> pd.Series:
    """Which visits are to a certified bottom that is as low as a level, to rounding."""
    same: pd.Series = visits["loss"] <= level + _SAME * (1 + np.abs(level))
    return same & (visits["minimum"] >= 0)


def _level(target: float | None) -> float | None:
    if target is None:
        return None
    fits = isinstance(target, int | float | np.number) and np.isfinite(target)
    require(bool(fits), f'target={target!r}: must be a finite loss, "best" or None')
    return float(target)


def _levels(visits: pd.DataFrame, objective: Sequence[str]) -> pd.Series:
    """The lowest certified bottom of the objective of each visit; NaN where there is none."""
    certified = visits["loss"].where(visits["minimum"] >= 0)
    if not objective:
        return pd.Series(certified.min(), index=visits.index)
    keys = [visits[name] for name in objective]
    lowest: pd.Series = certified.groupby(keys, observed=True, dropna=False).transform("min")
    return lowest


def _ert(spent: Any, hits: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.divide(spent, hits)


def _ratio(time: Any, other: Any) -> Any:
    with np.errstate(invalid="ignore"):  # neither has arrived: ∞/∞ is NaN
        return np.divide(time, other)


def _interval(runs: Runs, confidence: float) -> tuple[float, float]:
    n, hits = len(runs.hit), int(runs.hit.sum())
    if hits == 0:
        return float(runs.spent.sum()) / (n * (1 - (1 - confidence) ** (1 / n))), np.inf
    times = np.concatenate([_ert(spent, hit) for (spent, hit) in _resampled(runs)])
    return _ends(times, confidence)


def _ratio_interval(base: Runs, runs: Runs, confidence: float) -> tuple[float, float]:
    if not runs.hit.any() or not base.hit.any():
        return np.nan, np.nan
    pairs = zip(_resampled(base), _resampled(runs), strict=False)
    ratios = np.concatenate([_ratio(_ert(*one), _ert(*other)) for one, other in pairs])
    return _ends(np.nan_to_num(ratios, nan=1.0, posinf=np.inf), confidence)


def _ends(values: _Floats, confidence: float) -> tuple[float, float]:
    """The percentiles that a share of the values lies between; infinite ones are larger than any other."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    return float(low), float(high)


def _resampled(runs: Runs) -> Iterator[tuple[_Floats, _Floats]]:
    """Gradients and successes of resamples of the runs, `[resample]` each: the same numbers of runs, the same draws."""
    n = len(runs.hit)
    size = max(1, _COUNTS // n)
    for first in range(0, RESAMPLES, size):
        draws = range(first, min(first + size, RESAMPLES))
        picked = np.minimum((n * uniform(_SERIES, draws, n, Purpose.STATISTICS)).astype(np.int64), n - 1)
        yield runs.spent[picked].sum(1), runs.hit[picked].sum(1).astype(np.float64)
