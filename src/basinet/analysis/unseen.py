"""What a sample of restarts says about the minima that were not seen: arrays in, numbers out.

`counts` is always the number of restarts that ended in each distinct minimum; only restarts certified as minima count.
N is their sum, w the number of minima seen, f_j the number of minima seen exactly j times. Minima with count 0 are
ignored. A restart is a draw, with replacement, of a minimum with the share of its basin as probability.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import entr, gammaln, ndtri

from basinet.foundation.errors import require

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

_ROUNDING = 1e-12  # of sums of chances


class Estimate(NamedTuple):
    """A number and its interval."""

    value: float
    low: float
    high: float


class Intervals(NamedTuple):
    """The ends of many intervals."""

    low: _Floats
    high: _Floats


def coverage(counts: npt.ArrayLike, confidence: float = 0.95) -> Estimate:
    """Of the starts that end in a minimum, the share that leads to the minima seen so far.

        C = 1 - f₁ / N        C ± z √(f₁ (1 - f₁ / N) + 2 f₂) / N

    Where the variance is 0 (no singletons and no pairs, or nothing but singletons) one pair is assumed, so that the
    interval does not claim certainty. Without restarts nothing is known: NaN in [0, 1].

    Restarts that ended in no minimum are not among the N: where nine of ten are unfinished, full coverage is of the
    tenth only. Whoever shows it has to show that share with it.

    Source: Good (1953) for the value, Esty (1983) for the interval.

    >>> coverage([60, 30, 8, 1, 1]).value
    0.98
    """
    n = _seen(counts)
    N, f1, f2 = int(n.sum()), _times(n, 1), _times(n, 2)
    if N == 0:
        return Estimate(np.nan, 0.0, 1.0)
    variance = f1 * (1 - f1 / N) + 2 * f2
    half = _z(confidence) * np.sqrt(variance if variance > 0 else 2.0) / N
    value = 1 - f1 / N
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def chao1(counts: npt.ArrayLike, confidence: float = 0.95) -> Estimate:
    """A lower bound for the number of minima, bias-corrected.

        S = w + f₁ (f₁ - 1) / (2 (f₂ + 1))        T = S - w        [w + T / K, w + T K],  K = exp(z √log(1 + var / T²))

    It estimates what the singletons and the pairs prove to exist, not what there is: of the interval only the lower end
    can be trusted. On minima with unequal basins its two ends hold the number in far less than 95 % of samples.

    Source: Chao (1987); variances and intervals as in Colwell (2013), *EstimateS 9*, equations 5 to 14.

    >>> chao1([0, 1, 1, 4, 2, 5, 2, 4, 1, 2]).value
    9.75
    """
    n = _seen(counts)
    w, f1, f2 = len(n), _times(n, 1), _times(n, 2)
    if w == 0:
        return Estimate(0.0, 0.0, np.inf)
    unseen = f1 * (f1 - 1) / (2 * (f2 + 1))
    if unseen == 0:
        return _nothing_unseen(n, confidence)
    if f2 > 0:
        variance = (
            unseen + f1 * (2 * f1 - 1) ** 2 / (4 * (f2 + 1) ** 2) + f1**2 * f2 * (f1 - 1) ** 2 / (4 * (f2 + 1) ** 4)
        )
    else:
        variance = unseen + f1 * (2 * f1 - 1) ** 2 / 4 - f1**4 / (4 * (w + unseen))
    K = np.exp(_z(confidence) * np.sqrt(np.log1p(variance / unseen**2)))
    return Estimate(w + unseen, float(w + unseen / K), float(w + unseen * K))


def _nothing_unseen(n: _Integers, confidence: float) -> Estimate:
    """At most one singleton: an interval from the chance e^-n_m of missing a minimum that was seen n_m times."""
    w, missed = len(n), np.exp(-n)
    variance = float((missed - missed**2).sum() - (n * missed).sum() ** 2 / n.sum())
    P = float(missed.mean())
    half = _z(confidence) * np.sqrt(max(variance, 0.0)) / (1 - P)
    return Estimate(float(w), max(float(w), w / (1 - P) - half), w / (1 - P) + half)


def expected_number(found: int, restarts: int) -> float:
    """The expected number of minima after `restarts` that found `found`, if nothing was known before.

        E[number] = w (N - 1) / (N - w - 2),  infinite for N ≤ w + 2

    The number and the shares of the basins have a uniform prior. Source: Boender & Rinnooy Kan (1987).

    >>> expected_number(4, 100)
    4.212765957446808
    """
    return found * (restarts - 1) / (restarts - found - 2) if restarts > found + 2 else np.inf


def enough(found: int, restarts: int) -> bool:
    """Whether to stop: the expected number of minima is at most half a minimum above what was found.

        N ≥ 2 w² + 3 w + 2

    Source: Boender & Rinnooy Kan (1987). Never before something was found.
    """
    return found >= 1 and restarts >= 2 * found**2 + 3 * found + 2


def wilson(successes: npt.ArrayLike, trials: npt.ArrayLike, confidence: float = 0.95) -> Intervals:
    """Score intervals of probabilities; [0, 1] without trials.

        (p + z²/2n ± z √(p (1 - p)/n + z²/4n²)) / (1 + z²/n)

    Source: Wilson (1927).

    >>> wilson([0, 5], 10).high.round(3)
    array([0.278, 0.763])
    """
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    require(bool(((k >= 0) & (k <= n)).all()), "successes must be between 0 and the number of trials")
    z, tried = _z(confidence), np.maximum(n, 1)
    p = k / tried
    centre, half = p + z**2 / (2 * tried), z * np.sqrt(p * (1 - p) / tried + z**2 / (4 * tried**2))
    low, high = (centre - half) / (1 + z**2 / tried), (centre + half) / (1 + z**2 / tried)
    # At the ends the terms cancel, but for rounding.
    return Intervals(np.where((k == 0) | (n == 0), 0.0, low), np.where((k == n) | (n == 0), 1.0, high))


def expected_best(losses: npt.ArrayLike, restarts: npt.ArrayLike) -> _Floats:
    """The expected lowest loss among r restarts, drawn without replacement from the R that were made.

        E[min of r] = Σ_i L₍ᵢ₎ C(R - i, r - 1) / C(R, r),   L₍₁₎ ≤ L₍₂₎ ≤ …

    It is infinite as soon as r restarts or more have no finite loss, however rarely they would all be drawn together:
    `median_best` still says something then.

    Args:
        losses: of all R restarts; infinite where a restart has none.
        restarts: numbers r, 1 to R.

    Returns:
        One expectation for each r.

    >>> expected_best([1.0, 2.0, 6.0], [1, 2, 3])
    array([3.        , 1.33333333, 1.        ])
    """
    return _of_best(losses, restarts, _mean_of_best)


def median_best(losses: npt.ArrayLike, restarts: npt.ArrayLike) -> _Floats:
    """The median of the lowest loss among r restarts, drawn without replacement from the R that were made.

        L₍ᵢ₎ with the first i for which 1 - C(R - i, r) / C(R, r) ≥ ½,   L₍₁₎ ≤ L₍₂₎ ≤ …

    At least half of all draws of r restarts find a loss at most that. It is finite unless more than half of them find
    no finite loss at all.

    Args:
        losses: of all R restarts; infinite where a restart has none.
        restarts: numbers r, 1 to R.

    Returns:
        One median for each r.

    >>> median_best([1.0, 2.0, 6.0, np.inf], [1, 2, 3])
    array([2., 1., 1.])
    """
    return _of_best(losses, restarts, _median_of_best)


def _of_best(losses: npt.ArrayLike, restarts: npt.ArrayLike, statistic: Callable[[_Floats, int], float]) -> _Floats:
    ordered = np.sort(np.asarray(losses, np.float64))
    wanted = np.asarray(restarts, np.int64)
    R = len(ordered)
    require(not np.isnan(ordered).any(), "a loss is not a number: give infinity to restarts without one")
    require(bool(((wanted >= 1) & (wanted <= R)).all()), f"the best of r restarts needs r from 1 to {R}")
    values = [statistic(ordered, int(r)) for r in wanted.reshape(-1)]
    return np.array(values, np.float64).reshape(wanted.shape)


def _mean_of_best(ordered: _Floats, r: int) -> float:
    weights = _chance_of_being_best(len(ordered), r)
    candidates = ordered[: len(weights)]
    if np.isinf(candidates[-1]):  # its chance may be too small for a floating-point number; it is not 0
        return np.inf
    return float((candidates * weights).sum())


def _median_of_best(ordered: _Floats, r: int) -> float:
    reached = np.cumsum(_chance_of_being_best(len(ordered), r))
    return float(ordered[np.searchsorted(reached, 0.5 - _ROUNDING)])


def _chance_of_being_best(R: int, r: int) -> _Floats:
    """C(R - i, r - 1) / C(R, r) for i = 1 … R - r + 1, which is the last that can be the best of r."""
    i = np.arange(1, R - r + 1)
    weights: _Floats = np.cumprod(np.concatenate([[r / R], (R - i - r + 1) / (R - i)]))
    return weights


def restarts_needed(rate: npt.ArrayLike, success: float = 0.95) -> _Floats:
    """How many restarts reach, with probability `success`, a minimum that one restart reaches with probability `rate`.

        ln(1 - q) / ln(1 - p),  infinite at p = 0 and 0 at p = 1

    Not rounded; whole restarts are the next integer, at least 1.

    >>> restarts_needed([0.5, 0.05]).round(2)
    array([ 4.32, 58.4 ])
    """
    p = np.asarray(rate, np.float64)
    require(bool(((p >= 0) & (p <= 1)).all()), "a rate is a probability, 0 to 1")
    require(0 < success < 1, f"success={success:g}: must be a probability between 0 and 1")
    with np.errstate(divide="ignore"):
        needed: _Floats = np.asarray(np.log1p(-success) / np.log1p(-p))
    return np.where(p == 0, np.inf, needed)


def rarefaction(counts: npt.ArrayLike, restarts: npt.ArrayLike) -> _Floats:
    """The expected number of distinct minima among n of the N restarts.

        Σ_m (1 - C(N - n_m, n) / C(N, n))

    Source: Hurlbert (1971).

    Args:
        counts: restarts per minimum.
        restarts: numbers n, 0 to N.

    Returns:
        One expectation for each n.

    >>> rarefaction([3, 1], [0, 1, 2, 4])
    array([0. , 1. , 1.5, 2. ])
    """
    seen, wanted = _seen(counts), np.asarray(restarts, np.int64)
    N = int(seen.sum())
    require(bool(((wanted >= 0) & (wanted <= N)).all()), f"a part of {N} restarts is needed")
    values, multiplicities = np.unique(seen, return_counts=True)  # at most √(2 N) different ones
    n = wanted[..., None]
    left = N - values - n
    logarithm = gammaln(N - values + 1) - gammaln(np.maximum(left, 0) + 1) - gammaln(N + 1) + gammaln(N - n + 1)
    missed = np.where(left >= 0, np.exp(np.minimum(logarithm, 0)), 0.0)
    result: _Floats = np.asarray((multiplicities * (1 - missed)).sum(-1))
    return result


def entropy(counts: npt.ArrayLike) -> float:
    """H = -Σ_m p_m ln p_m of the shares p_m = n_m / N, in nats: e^H is an effective number of minima; 0 for nothing.

    >>> round(entropy([5, 5]), 4)
    0.6931
    """
    n = _seen(counts)
    return float(entr(n / max(n.sum(), 1)).sum())


def simpson(counts: npt.ArrayLike) -> float:
    """Σ_m p_m² of the shares p_m = n_m / N: the chance that two restarts end alike; NaN for nothing. Simpson (1949).

    >>> simpson([5, 5])
    0.5
    """
    n = _seen(counts)
    return float(((n / n.sum()) ** 2).sum()) if len(n) else np.nan


def _seen(counts: npt.ArrayLike) -> _Integers:
    array = np.asarray(counts)
    require(array.ndim == 1 and bool((array >= 0).all()), "counts are a list of numbers, 0 or more")
    return array[array > 0].astype(np.int64)


def _times(n: _Integers, j: int) -> int:
    """f_j"""
    return int((n == j).sum())


def _z(confidence: float) -> float:
    require(0 < confidence < 1, f"confidence={confidence:g}: must be between 0 and 1")
    return float(ndtri((1 + confidence) / 2))
