"""The spread of final losses across restarts: statistics of tidy frames, usable without any store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis import unseen
from basinet.analysis.tally import counts, number
from basinet.foundation.outcomes import ENDS
from basinet.foundation.quantiles import QUARTILES, quantiles

_CONFIDENCE = 0.95
_NUMBERS = (10, 100, 1000)  # of restarts, for which expectations are given
SAME_LOSS = 1e-10
"""Losses x of copies of a minimum differ by rounding only, which is far below this, relative to 1 + |x|."""

ACCURACIES = ("accuracy", "accuracy_holdout")
ELSEWHERE = "elsewhere"
"""Columns of restarts where targets name classes, and samples are held out."""

BECAUSE = "unfinished_because"
"""Column of restarts, and of spreads: a `Reason` (`basinet.foundation.outcomes`)."""

OBJECTIVE = ("problem", "network", "objective")
"""Groups of settings that decide what is minimised."""

_SAME_MINIMUM = 1e-6  # minima are merged where their losses agree to this, relative to 1 + |x|
_AT_BEST = "at the best known minimum"  # a column that is added to the restarts


@dataclass(frozen=True)
class Summary:
    """What a launch ends with."""

    spread: pd.DataFrame  # one row per condition
    bottoms: pd.DataFrame  # one row per condition and level (`basinet.analysis.bottoms`)
    by: list[str]  # what tells conditions apart
    run: str  # the id of its run: that of the sweep, or of the only condition
    figures: Path | None  # the folder of the figures, if there is one on this machine
    symmetries: tuple[str, ...] = ()  # of the problem, of every condition, in words (`basinet.analysis.wording`)
    running: pd.DataFrame | None = None  # one row per condition with runs (`basinet.running_time`)
    speedups: pd.DataFrame | None = None  # one row per method that is compared (`basinet.analysis.running_time`)
    landscapes: tuple[tuple[str, str], ...] = ()  # of conditions whose saddles were sought: name, and what was found
    ends: pd.DataFrame | None = None  # of a sweep: one row per condition and bottom (`basinet.analysis.bottoms.ends`)


def spread(restarts: pd.DataFrame, by: Sequence[str], tally: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per condition: how the final losses of its restarts are distributed, and how many bottoms there are.

    Quantiles are over the restarts that have not diverged; of the best of several restarts, one that has diverged is
    the worst there is. `median_low` and `median_high` are the 95 % interval of the median by order statistics (exact
    whatever the distribution; Conover, 1999); other `_low` and `_high` are Wilson's for shares, Esty's for the coverage
    and Chao's lower end for the number of minima (see `unseen`). Counts of minima are of the kind `minimum` only, and
    so is the coverage: it says which share *of the starts that end in a minimum* leads to those found, and nothing of
    the others. Read it with `share_minimum`.

    The best known minimum is the lowest that any restart of the frame has reached on the same objective, which is where
    all columns `problem`, `problem.*`, `network.*` and `objective.*` agree. Minima that a symmetry of the data relates
    have one loss and are the best together.

    Args:
        restarts: one row per restart with `loss status kind minimum` and the columns `by`. `steps` is wanted for the
            steps to arrival; `sweep_minimum` tells minima with nearly the same loss apart across conditions; `orbit` is
            counted where it is known.
        by: the columns that tell conditions apart.
        tally: of all restarts of the same conditions (`tally.tally`), if `restarts` are only some of them: then shares,
            counts and what follows from them are of all, and quantiles of the restarts that are there.

    Returns:
        `by`, then `restarts`, quantiles `loss_*` with `loss_iqr` and the median's interval; `best_of_*` (expected
        lowest loss of so many restarts, infinite where so many or more have diverged: they could be the ones) and
        `best_of_*_median` (half of the draws of so many restarts find a loss at most that); `share_*` of each status
        and kind; `share_best_known` (restarts in the best known minimum; NaN where none is known); `steps_q25`,
        `steps_median` and `steps_q75` (to arrival, of those that arrived); `minima` (distinct ones found), `orbits` (…
        modulo the symmetries of the problem), `coverage` (of the starts that end in a minimum), `minima_low` (a lower
        bound for how many there are; of Chao's `minima_chao1` and `minima_high` only that end can be trusted),
        `minima_of_*` (expected among so many restarts), `minima_expected` and `enough` (Boender & Rinnooy Kan),
        `entropy`, `simpson`; `share_best` (restarts in the condition's own lowest minimum), `restarts_needed` (to reach
        it with 95 %); where targets name classes, `accuracy_median`, and `accuracy_holdout_median` where samples are
        held out; where that is known, `share_elsewhere` (restarts that a more exact descent takes to another point) and
        `unfinished_because`, the most frequent reason of those that are unfinished.

    >>> frame = pd.DataFrame({"init": "a", "loss": [1.0, 1.0, 4.0], "status": "arrived", "kind": "minimum"})
    >>> table = spread(frame.assign(minimum=[0, 0, 1]), ["init"])
    >>> table[["restarts", "loss_median", "minima", "share_best_known"]].round(2).to_numpy().tolist()
    [[3.0, 1.0, 2.0, 0.67]]
    """
    keys = list(by)
    every = restarts if tally is None else tally
    every = every.assign(**{_AT_BEST: _at_best_known(every)})
    counted = [group for _, group in every.groupby(keys, observed=True, sort=True, dropna=False)]
    groups = restarts.groupby(keys, observed=True, sort=True, dropna=False)
    rows = [
        {**dict(zip(keys, key, strict=True)), **_spread_of(group, own)}
        for (key, group), own in zip(groups, counted, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*keys, *_spread_of(restarts.iloc[:0], every.iloc[:0])])


def _at_best_known(restarts: pd.DataFrame) -> npt.NDArray[np.float64]:
    """1 for a restart in the best known minimum of its objective, 0 for another, NaN where none is known, `[restart]`.

    Ids hold within one sweep only, so it is the losses that decide: that of the minimum, and the restart's own.
    """
    loss = restarts["loss"].to_numpy(dtype=np.float64)
    loss = np.where((restarts["kind"] == "minimum") & np.isfinite(loss), loss, np.inf)
    minimum = restarts["sweep_minimum"].to_numpy() if "sweep_minimum" in restarts else -1
    frame = pd.DataFrame({"objective": _objectives(restarts), "minimum": minimum, "loss": loss})
    of_minimum = frame.groupby(["objective", "minimum"])["loss"].transform("min").to_numpy()
    best = frame.groupby("objective")["loss"].transform("min").to_numpy()
    size = 1 + np.abs(best)
    at_best = (of_minimum <= best + SAME_LOSS * size) & (loss <= best + _SAME_MINIMUM * size)
    return np.where(np.isfinite(best), at_best, np.nan)


def _objectives(restarts: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The same number for restarts that minimise the same function, `[restart]`."""
    settings = [name for name in restarts.columns if str(name).partition(".")[0] in OBJECTIVE]
    varied = [name for name in settings if restarts[name].nunique(dropna=False) > 1]
    if not varied:
        return np.zeros(len(restarts), np.int64)
    return restarts.groupby(varied, observed=True, dropna=False).ngroup().to_numpy().astype(np.int64)


def _spread_of(group: pd.DataFrame, every: pd.DataFrame) -> dict[str, Any]:
    """The row of a condition: quantiles of a `group` of its restarts, and counts of `every` one of them."""
    total = number(every)
    losses = np.sort(final_losses(group))
    losses = losses[np.isfinite(losses)]
    row: dict[str, Any] = {"restarts": total}
    row.update({f"loss_{name}": value for name, value in quantiles(losses).items()})
    row["loss_iqr"] = row["loss_q75"] - row["loss_q25"]
    row["median_low"], row["median_high"] = median_interval(losses)
    row |= _best_of(final_losses(group))
    for column, names in (("status", ("arrived", "diverged")), ("kind", ENDS)):
        for name in names:
            row |= _share(f"share_{name}", number(every[(every[column] == name).to_numpy()]), total)
    known, at_best = every[every[_AT_BEST].notna().to_numpy()], every[(every[_AT_BEST] == 1).to_numpy()]
    row |= _share("share_best_known", number(at_best), number(known))
    if ELSEWHERE in every:
        row |= _share("share_elsewhere", number(every[(every[ELSEWHERE] == True).to_numpy()]), total)  # noqa: E712
    return row | _steps_of(group) | _counts_of(every) | _accuracies_of(group) | _unfinished_because(every)


def final_losses(restarts: pd.DataFrame, column: str = "loss") -> npt.NDArray[np.float64]:
    """A column of the restarts, `[restart]`: infinite where one has diverged or has no finite value."""
    losses = restarts[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where((restarts["status"] == "diverged") | ~np.isfinite(losses), np.inf, losses)


def _best_of(losses: npt.NDArray[np.float64]) -> dict[str, float]:
    """What the best of some restarts is; NaN for more than there are."""
    row: dict[str, float] = {}
    for r in _NUMBERS:
        known = r <= len(losses)
        row[f"best_of_{r}"] = float(unseen.expected_best(losses, r)) if known else np.nan
        row[f"best_of_{r}_median"] = float(unseen.median_best(losses, r)) if known else np.nan
    return row


def _steps_of(group: pd.DataFrame) -> dict[str, float]:
    """How long the restarts that arrived took; nothing where that was not kept."""
    if "steps" not in group:
        return {}
    steps = group.loc[group["status"] == "arrived", "steps"].to_numpy(dtype=np.float64)
    return {f"steps_{name}": value for name, value in quantiles(steps, QUARTILES).items()}


def _accuracies_of(group: pd.DataFrame) -> dict[str, float]:
    """How often the restarts are right; nothing where targets name no classes."""
    kept = group[group["status"] != "diverged"]
    return {f"{name}_median": float(kept[name].median()) for name in ACCURACIES if name in group}


def _unfinished_because(group: pd.DataFrame) -> dict[str, Any]:
    """Why most of the unfinished restarts are; nothing where that was not kept, None where all have finished."""
    if BECAUSE not in group:
        return {}
    why = group[(group["kind"] == "unfinished").to_numpy()]
    most = counts(why.assign(**{BECAUSE: why[BECAUSE].astype(object)}), BECAUSE)
    return {BECAUSE: most.index[0] if len(most) else None}


def _share(name: str, count: int, total: int) -> dict[str, float]:
    if total == 0:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    interval = unseen.wilson(count, total, _CONFIDENCE)
    return {name: count / total, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def _counts_of(group: pd.DataFrame) -> dict[str, float]:
    """What the restarts that reached a minimum say about how many there are."""
    reached = group[group["kind"] == "minimum"]
    there, ended, total = counts(reached, "minimum").to_numpy(), number(reached), number(group)
    seen = unseen.coverage(there, _CONFIDENCE)
    bound = unseen.chao1(there, _CONFIDENCE) if len(there) else unseen.Estimate(np.nan, np.nan, np.nan)
    lowest = reached.groupby("minimum", observed=True)["loss"].min()
    ties = lowest.index[lowest <= lowest.min() + SAME_LOSS * (1 + abs(lowest.min()))]
    best = number(reached[reached["minimum"].isin(ties).to_numpy()])
    row = {
        "minima": len(there),
        **_orbits_of(reached),
        "coverage": seen.value,
        "coverage_low": seen.low,
        "coverage_high": seen.high,
        "minima_low": bound.low,
        "minima_chao1": bound.value,
        "minima_high": bound.high,
        "minima_expected": unseen.expected_number(len(there), ended) if len(there) else np.nan,
        "enough": unseen.enough(len(there), ended),
        "entropy": unseen.entropy(there) if len(there) else np.nan,
        "simpson": unseen.simpson(there),
    }
    for n in _NUMBERS:
        row[f"minima_of_{n}"] = float(unseen.rarefaction(there, [n])[0]) if n <= ended else np.nan
    shares = _share("share_best", best, total if ended else 0)
    needed = float(unseen.restarts_needed(best / total)) if ended else np.nan
    return {**row, **shares, "restarts_needed": max(needed, 1.0)}


def _orbits_of(reached: pd.DataFrame) -> dict[str, float]:
    """How many minima there are modulo the symmetries of the problem; nothing where that was not kept."""
    if "orbit" not in reached:
        return {}
    kept = reached["orbit"].notna().all()  # older tables beside newer ones have none
    return {"orbits": float(reached["orbit"].nunique()) if kept else np.nan}


def median_interval(ordered: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """The 95 % interval of the median from sorted values: from the k-th smallest to the k-th largest.

    k is the largest rank with P(Binomial(n, ½) < k) ≤ 2.5 %. With fewer than six values there is no such interval and
    the smallest and largest are returned; NaN for none.
    """
    n = len(ordered)
    if n == 0:
        return np.nan, np.nan
    from scipy import stats  # which takes half a second: not everybody who words something counts

    k = max(int(stats.binom.ppf((1 - _CONFIDENCE) / 2, n, 0.5)), 1)
    return float(ordered[k - 1]), float(ordered[n - k])
