"""What two conditions that began from the same starts say about each other: the luck of a start drops out.

Where some starts are good and others bad whatever is done with them, losses are spread far more by the starts than by
what is compared. Restart by restart the difference shows long before it does between two piles of restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from basinet.foundation import random_streams

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

RESAMPLES = 1_999
"""Of the paired bootstrap: each draws all restarts, where that of one median needs two numbers."""

_SERIES = 1  # of random numbers: not the one that medians of independent conditions are drawn from
_COUNTS = 1 << 21  # of restarts and resamples at a time: 16 MB
_REACH = 5  # times √n ranks, which is ten standard deviations: a resample's median is no farther from the middle


class Signs(NamedTuple):
    """How much more often one restart of a pair ends higher than the other, and how surely."""

    delta: float  # P(a > b) - P(a < b) over the pairs, -1 to 1
    p: float  # of δ = 0, two-sided


def sign_test(a: npt.ArrayLike, b: npt.ArrayLike) -> Signs:
    """Whether restarts of one condition end higher than their partners as often as lower.

        δ = (n₊ - n₋) / n        p = 2 P(Binomial(n₊ + n₋, ½) ≤ min(n₊, n₋)), at most 1

    Pairs that end alike are n₀ = n - n₊ - n₋: they count in δ, and tell the test nothing. It asks for δ = 0 and nothing
    else, whatever the distribution of the differences, and it is exact. NaN where all pairs end alike, or for less than
    two of them.

    Source: Dixon & Mood (1946); δ: Cliff (1993), the paired one.

    Args:
        a: values `[restart]`.
        b: those of the partners `[restart]`; what counts as alike has to be equal.

    >>> sign_test([1, 2, 3, 4, 5, 5], [2, 3, 4, 5, 4, 5])
    Signs(delta=-0.5, p=0.375)
    """
    x, y = np.asarray(a), np.asarray(b)
    if len(x) == 0:
        return Signs(np.nan, np.nan)
    higher, lower = int((x > y).sum()), int((x < y).sum())
    delta = (higher - lower) / len(x)
    if higher + lower == 0 or len(x) < 2:
        return Signs(delta, np.nan)
    return Signs(delta, min(1.0, float(2 * stats.binom.cdf(min(higher, lower), higher + lower, 0.5))))


def signed_rank_test(differences: npt.ArrayLike) -> float:
    """The p-value of Wilcoxon's signed-rank test: whether differences are symmetric about 0; two-sided.

        W₊ = Σ_{d > 0} rank |d|,  W₋ = Σ_{d < 0} rank |d|

    Zeros are ranked with the others and then left out (Pratt, 1959), equal sizes have the mean of their ranks. Without
    either, and up to 50 pairs, the distribution is exact, else normal with the variance corrected for both. An infinite
    difference is larger than any other. It sees sizes, where the sign test sees directions only; but it also answers to
    differences that are skewed about a median of 0. NaN where all are 0, or for less than two of them.

    Source: Wilcoxon (1945); Pratt (1959).

    >>> signed_rank_test([1, 2, 3, 4, -5, 6, 7, 8]) > 0.05
    True
    """
    d = np.asarray(differences, np.float64)
    if len(d) < 2 or not d.any():
        return np.nan
    exact = len(d) <= 50 and d.all() and len(np.unique(np.abs(d))) == len(d)
    return float(stats.wilcoxon(d, zero_method="pratt", method="exact" if exact else "approx").pvalue)


def resampled_together(conditions: Sequence[npt.ArrayLike]) -> list[_Floats]:
    """Medians of 1,999 bootstrap resamples of restarts, of each condition `[resample]`: restarts are drawn, not losses.

    A resample has the same restarts in every condition, so that the differences of two conditions' medians are those of
    the paired bootstrap. The same numbers of restarts, the same resamples.

    Source: Efron & Tibshirani (1993), *An Introduction to the Bootstrap*, section 8.3.

    Args:
        conditions: of each the losses `[restart]`, of the same restarts in the same order, at least one.

    >>> a, b = resampled_together([[1.0, 5.0, 2.0], [2.0, 6.0, 3.0]])
    >>> set((b - a).tolist())
    {1.0}
    """
    losses = [np.asarray(values, np.float64) for values in conditions]
    n = len(losses[0])
    orders = [np.argsort(values, kind="stable") for values in losses]
    result = [np.empty(RESAMPLES) for _ in losses]
    size = max(1, _COUNTS // n)
    for first in range(0, RESAMPLES, size):
        draws = range(first, min(first + size, RESAMPLES))
        counts = _counts(draws, n)
        for medians, values, order in zip(result, losses, orders, strict=True):
            medians[draws.start : draws.stop] = _medians(counts, values[order], order)
    return result


def _counts(draws: range, n: int) -> _Floats:
    """How often each of n restarts is in each resample, `[resample, restart]`."""
    picked = (n * random_streams.uniform(_SERIES, draws, n, random_streams.Purpose.STATISTICS)).astype(np.int64)
    np.minimum(picked, n - 1, out=picked)
    picked += n * np.arange(len(draws))[:, None]
    return np.bincount(picked.reshape(-1), minlength=len(draws) * n).reshape(len(draws), n).astype(np.float64)


def _medians(counts: _Floats, ordered: _Floats, order: _Integers) -> _Floats:
    """The medians of resamples `[resample]`, found by counting: only ranks near the middle have to be looked at."""
    n = len(ordered)
    reach = int(_REACH * np.sqrt(n)) + 1
    first, stop = max(n // 2 - reach, 0), min(n // 2 + reach, n)
    below = np.zeros(n)
    below[order[:first]] = 1
    drawn = np.cumsum(counts[:, order[first:stop]], axis=1) + (counts @ below)[:, None]  # up to each rank
    middle = (_first_reaching(drawn, k) for k in ((n + 1) // 2, n // 2 + 1))
    lower, upper = (ordered[np.minimum(first + rank, n - 1)] for rank in middle)
    result: _Floats = 0.5 * lower + 0.5 * upper
    return result


def _first_reaching(drawn: _Floats, k: int) -> _Integers:
    """The first column of each row that is k or more."""
    columns: _Integers = (drawn < k).sum(axis=1)
    return columns
