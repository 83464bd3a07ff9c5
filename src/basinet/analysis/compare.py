"""Which conditions are better, and by how much: statistics of tidy frames, usable without any store.

Every restart counts: one that has diverged, or has no finite loss, has an infinite loss and is the worst there is, also
in the medians. To leave it out would reward a condition for losing its bad restarts. (`analysis.spread` gives quantiles
of what has not diverged, and the share that has beside them.)

Losses that only rounding tells apart are ties (`SAME_LOSS`): two restarts in one minimum differ in their last digits,
which ranks would take for a difference.

Two conditions that began from the same starts, to the bit, are compared restart by restart (`analysis.paired`): two
descents from one init and seed, say. Whether they did is no matter of settings: the column `start` says it of every
restart. All others are treated as independent; those of one seed whose inits differ begin from points that have
something to do with each other, so that their intervals may be wider and the alarms rarer than stated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from basinet.analysis.paired import resampled_together, sign_test, signed_rank_test
from basinet.analysis.spread import SAME_LOSS, final_losses, median_interval
from basinet.foundation import random_streams

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

_SIGNIFICANCE = 0.05
_CONFIDENCE = 0.95
_RESAMPLES = 9_999


class Dominance(NamedTuple):
    """How much one sample tends to exceed another."""

    delta: float  # Cliff's δ, -1 to 1
    p: float  # of δ = 0, two-sided


@dataclass(frozen=True)
class _Shared:
    """The restarts of a condition in the order of their starts, which other conditions began from, too."""

    starts: bytes  # the same for all of them
    losses: _Floats  # [restart]
    places: _Integers  # [restart], see `places`
    medians: _Floats  # [resample], of the paired bootstrap


@dataclass(frozen=True)
class _Sample:
    """The restarts of one condition."""

    key: tuple[object, ...]  # its settings
    ordered: _Floats  # [restart], losses from the lowest
    places: _Integers  # [restart], see `places`, ascending
    medians: _Floats  # [resample], of the bootstrap
    shared: _Shared | None  # None where no other condition has its starts

    @property
    def median(self) -> float:
        n = len(self.ordered)
        return float(0.5 * self.ordered[(n - 1) // 2] + 0.5 * self.ordered[n // 2])


def differences(restarts: pd.DataFrame, by: Sequence[str], column: str = "loss") -> pd.DataFrame:
    """One row per pair of conditions: the difference of their medians, and which one is better.

        difference = median(a) - median(b)        δ = P(a > b) - P(a < b)

    Where the conditions began from the same starts they are compared restart by restart, `paired`. Then the interval of
    the difference is the 95 % percentile bootstrap with the same restarts drawn in both (`paired.resampled_together`;
    wide rather than narrow, as few restarts near the middle decide about it), P in δ is over the pairs, and p is that
    of the sign test (`paired.sign_test`: pairs that end alike, to rounding, say nothing). The median of the pairs' own
    differences is `pair_difference`, with the exact 95 % interval that goes with that test (`spread.median_interval`).
    `p_signed_rank` is Wilcoxon's, not corrected, which sees the sizes of differences (`paired.signed_rank_test`, zeros
    as Pratt has them). All that is so if the column `start` has the same numbers in both, each of them once.

    Otherwise restarts are drawn within each condition (Efron, 1979; see `resampled_medians`), P is over all pairs of
    restarts (δ is Cliff's, 1993), and p is Brunner and Munzel's (2000; see `dominance`).

    p is corrected for the number of pairs by Holm's method. `better` is the condition with the lower losses by δ, if
    that is certain to 5 % over all pairs together: with no differences anywhere, at most 5 % of such tables name one.

    Only conditions of one problem are worth comparing. Both interval and test need about ten restarts in a condition;
    what less than two cannot tell is NaN. So is p where all values are equal, and an interval where medians of both
    conditions can be infinite.

    Args:
        restarts: one row per restart with `status`, `column` and the columns `by`. Without `start` nothing is paired.
        by: the columns that tell conditions apart.
        column: what is compared: numbers of the size of losses, of which less is better.

    Returns:
        Pairs in the order of the settings: `by` with `_a` and with `_b` behind their names, then `restarts_a`,
        `restarts_b`, `median_a`, `median_b`, `difference`, `difference_low`, `difference_high`, `delta`, `p`,
        `paired`, `pair_difference`, `pair_difference_low`, `pair_difference_high` and `p_signed_rank` (NaN where not
        paired), `p_holm` and `better` (a, b or neither). No rows for fewer than two conditions.

    Raises:
        KeyError: if a column is missing.

    >>> frame = pd.DataFrame({"init": ["x"] * 20 + ["y"] * 20, "status": "arrived", "loss": range(40)})
    >>> differences(frame, ["init"])[["init_a", "init_b", "difference", "delta", "better"]].to_numpy().tolist()
    [['x', 'y', -20.0, -1.0, 'a']]
    """
    keys = list(by)
    pairs = itertools.combinations(_samples(restarts, keys, column), 2)
    names = [f"{key}_{side}" for side in "ab" for key in keys]
    table = pd.DataFrame([(*a.key, *b.key, *_difference(a, b)) for a, b in pairs], columns=[*names, *_DIFFERENCE])
    table["p_holm"] = holm(table["p"].to_numpy(np.float64))
    certain, lower = table["p_holm"] <= _SIGNIFICANCE, table["delta"] < 0
    table["better"] = np.select([certain & lower, certain & ~lower], ["a", "b"], "neither")
    return table


_DIFFERENCE = [
    *("restarts_a", "restarts_b", "median_a", "median_b"),
    *("difference", "difference_low", "difference_high", "delta", "p", "paired"),
    *("pair_difference", "pair_difference_low", "pair_difference_high", "p_signed_rank"),
]


def _difference(a: _Sample, b: _Sample) -> tuple[float, ...]:
    medians = (len(a.ordered), len(b.ordered), a.median, b.median, a.median - b.median)
    if a.shared is None or b.shared is None or a.shared.starts != b.shared.starts:
        unpaired = (False, np.nan, np.nan, np.nan, np.nan)
        return (*medians, *_interval(a.medians, b.medians, a, b), *dominance(a.places, b.places), *unpaired)
    interval = _interval(a.shared.medians, b.shared.medians, a, b)
    return (*medians, *interval, *sign_test(a.shared.places, b.shared.places), True, *_of_pairs(a.shared, b.shared))


def _interval(of_a: _Floats, of_b: _Floats, a: _Sample, b: _Sample) -> tuple[float, float]:
    """The 95 % percentile interval of the difference of resampled medians; NaN where it cannot be told."""
    with np.errstate(invalid="ignore"):  # where neither median is finite, their difference is not a number
        resampled = np.sort(of_a - of_b)
    beyond = round((1 - _CONFIDENCE) / 2 * (len(resampled) + 1))
    if min(len(a.ordered), len(b.ordered)) < 2 or np.isnan(resampled[-1]):
        return np.nan, np.nan
    return float(resampled[beyond - 1]), float(resampled[-beyond])


def _of_pairs(a: _Shared, b: _Shared) -> tuple[float, ...]:
    """The median of the pairs' differences, its interval, and p by signed ranks; only rounding is no difference."""
    alike, n = a.places == b.places, len(a.losses)
    with np.errstate(invalid="ignore"):  # ∞ - ∞, of two that are lost, or of a median between those of a and of b
        differences = np.where(alike, 0.0, a.losses - b.losses)
        ordered = np.sort(differences)
        median = float(0.5 * ordered[(n - 1) // 2] + 0.5 * ordered[n // 2])
    ranked = np.where(alike, 0, np.sign(differences) * (1 + places(np.abs(differences))))
    return (median, *median_interval(ordered), signed_rank_test(ranked))


def _samples(restarts: pd.DataFrame, keys: list[str], column: str) -> list[_Sample]:
    """The conditions in the order of their settings, each with a stream of random numbers of its own."""
    columns = [*keys, "status", column, *(["start"] if "start" in restarts else [])]
    groups = [*restarts[columns].groupby(keys, observed=True, sort=True, dropna=False)]
    if not groups:
        return []
    losses = [final_losses(group, column) for _, group in groups]
    ranked = np.split(places(np.concatenate(losses)), np.cumsum([len(values) for values in losses])[:-1])
    shared = _shared([group for _, group in groups], losses, ranked)
    samples = []
    for i, (key, _) in enumerate(groups):
        ordered = np.sort(losses[i])
        samples.append(_Sample(key, ordered, np.sort(ranked[i]), resampled_medians(ordered, i), shared.get(i)))
    return samples


def _shared(groups: list[pd.DataFrame], losses: list[_Floats], ranked: list[_Integers]) -> dict[int, _Shared]:
    """Of each condition that has the same starts as another one, its restarts in their order."""
    alike: dict[bytes, dict[int, _Integers]] = {}
    for i, group in enumerate(groups):
        known = _distinct_starts(group)
        if known is not None:
            order = np.argsort(known)
            alike.setdefault(known[order].tobytes(), {})[i] = order
    result = {}
    for starts, members in alike.items():
        if len(members) > 1:
            medians = resampled_together([losses[i][order] for i, order in members.items()])
            for (i, order), resampled in zip(members.items(), medians, strict=True):
                result[i] = _Shared(starts, losses[i][order], ranked[i][order], resampled)
    return result


def _distinct_starts(group: pd.DataFrame) -> npt.NDArray[np.generic] | None:
    """The numbers of a condition's starts, `[restart]`; None where one is unknown, or not the only one of its kind."""
    if "start" not in group or bool(group["start"].isna().any()) or not group["start"].is_unique:
        return None
    return group["start"].to_numpy()


def places(losses: npt.ArrayLike) -> _Integers:
    """The place of each value in the order of the distinct ones, `[value]`, where only rounding does not make distinct.

    Values are cut apart where, in their order, the next one is greater by more than `SAME_LOSS` · (1 + |x|).

    >>> places([0.5, 0.25, 0.5 + 1e-15, np.inf, np.inf]).tolist()
    [1, 0, 1, 2, 2]
    """
    values = np.asarray(losses, np.float64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    apart = ordered[1:] > ordered[:-1] + SAME_LOSS * (1 + np.abs(ordered[:-1]))
    result = np.zeros(len(values), np.int64)
    result[order[1:]] = np.cumsum(apart)
    return result


def resampled_medians(ordered: npt.ArrayLike, stream: int) -> _Floats:
    """Medians of 9,999 bootstrap resamples of n values, `[resample]`, without drawing n values for any of them.

    To draw n of n values with replacement is to draw n uniform numbers u and take for each the value of rank ⌈n u⌉. The
    rank rises with u, so the k-th smallest value drawn is the one of rank ⌈n u₍ₖ₎⌉, and the k-th smallest of n uniform
    numbers is one draw:

        u₍ₖ₎ ~ Beta(k, n - k + 1)        1 - u₍ₖ₊₁₎ = (1 - u₍ₖ₎) v^(1 / (n - k)),  v uniform

    The second, for the upper middle of an even n, is the smallest of the n - k numbers that lie above u₍ₖ₎. The medians
    have the very distribution that resampling gives (no approximation), at a cost that n does not enter.

    Source: Efron (1979), section 3, for the median; David & Nagaraja (2003), *Order Statistics*, chapter 2.

    Args:
        ordered: the values from the lowest to the highest, at least one.
        stream: which of the independent series of random numbers is used; the same one, the same medians.

    >>> resampled_medians([1.0, 2.0, 6.0], 0)[:8].tolist()
    [2.0, 2.0, 2.0, 6.0, 2.0, 1.0, 2.0, 2.0]
    """
    values = np.asarray(ordered, np.float64)
    n, k = len(values), (len(values) + 1) // 2
    draws = range(stream * _RESAMPLES, (stream + 1) * _RESAMPLES)
    u, v = random_streams.uniform(0, draws, 2, random_streams.Purpose.STATISTICS).T
    lower = special.betaincinv(k, n - k + 1, u)
    if n % 2:
        return _quantile(values, lower)
    upper = 1 - (1 - lower) * v ** (1 / (n - k))
    return 0.5 * _quantile(values, lower) + 0.5 * _quantile(values, upper)


def _quantile(ordered: _Floats, share: _Floats) -> _Floats:
    """The values of ranks ⌈n u⌉."""
    n = len(ordered)
    result: _Floats = ordered[np.minimum((n * share).astype(np.int64), n - 1)]
    return result


def dominance(a: npt.ArrayLike, b: npt.ArrayLike) -> Dominance:
    """How much the values of `a` tend to exceed those of `b`, and how surely: Cliff's δ, Brunner and Munzel's test.

        δ = P(a > b) - P(a < b)        t = δ / 2 / √(var_i(U_i) / n_a + var_j(V_j) / n_b)
        U_i = P(b < a_i) + ½ P(b = a_i)        V_j = P(a < b_j) + ½ P(a = b_j)

    Probabilities are shares in the samples; t has Student's distribution with Welch's degrees of freedom. The test asks
    for δ = 0 and nothing else. The one of Mann and Whitney asks for equal distributions: its false alarms are not as
    rare as stated where the samples differ in width, which is the rule between initialisations, and ties are too.

    Where the samples do not overlap the variance is 0 and t says nothing; p is then that of the permutation test, which
    is 2 / C(n_a + n_b, n_a). It is NaN where all values are equal or a sample has fewer than two. Sorting costs
    O(n log n), where all pairs would cost n_a n_b.

    Source: Cliff (1993); Brunner & Munzel (2000).

    Args:
        a: values `[restart]`.
        b: values `[restart]`, not as many.

    >>> dominance([1, 2, 3, 9], [2, 4, 5, 6, 7]).delta
    -0.35
    """
    x, y = np.sort(np.asarray(a)), np.sort(np.asarray(b))
    if min(len(x), len(y)) == 0:
        return Dominance(np.nan, np.nan)
    U, V = _twice_below(x, y), _twice_below(y, x)
    delta = float(U.sum() / (len(x) * len(y)) - 1)
    return Dominance(delta, _p_of(delta, U / (2 * len(y)), V / (2 * len(x))))


def _twice_below(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> _Integers:
    """How many of y are below each of x, twice: a tie is half of one."""
    return np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right")


def _p_of(delta: float, U: _Floats, V: _Floats) -> float:
    """Of δ = 0, two-sided."""
    n, m = len(U), len(V)
    if min(n, m) < 2:
        return np.nan
    u, v = U.var(ddof=1) / n, V.var(ddof=1) / m
    if u + v == 0:
        return np.nan if delta == 0 else float(min(1.0, 2 / special.binom(n + m, n)))
    freedom = (u + v) ** 2 / (u**2 / (n - 1) + v**2 / (m - 1))
    return float(2 * special.stdtr(freedom, -abs(delta) / 2 / np.sqrt(u + v)))


def holm(p: npt.ArrayLike) -> _Floats:
    """p-values `[test]` corrected for how many they are: to reject those ≤ α errs anywhere with probability ≤ α.

        p̃₍ᵢ₎ = max_{j ≤ i} min(1, (m - j + 1) p₍ⱼ₎),   p₍₁₎ ≤ p₍₂₎ ≤ …

    Whatever the tests have to do with each other. NaN is no test, and stays. Source: Holm (1979).

    >>> holm([0.04, 0.01, np.nan, 0.03]).tolist()
    [0.06, 0.03, nan, 0.06]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)[: np.isfinite(values).sum()]  # NaN is sorted behind
    corrected = np.full(len(values), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return corrected


def levels(restarts: pd.DataFrame, factor: str, within: Sequence[str] = (), column: str = "loss") -> pd.DataFrame:
    """One row per setting of the other columns: whether the losses differ between the levels of a factor at all.

        H = (12 / (N (N + 1)) Σ_l R_l² / n_l - 3 (N + 1)) / (1 - Σ_t (t³ - t) / (N³ - N))        ε² = H / (N - 1)

    R_l is the sum of the ranks of the n_l restarts at level l, t how many share a rank. ε² is the share of the variance
    of the ranks that lies between levels: 0 for none, 1 if each level is one value of its own. The test is for equal
    distributions; which level is better, and by how much, is for `differences`.

    Source: Kruskal & Wallis (1952); ε²: Kelley (1935), Tomczak & Tomczak (2014).

    Args:
        restarts: one row per restart with `status`, `column`, `factor` and the columns `within`.
        factor: the column whose levels are compared.
        within: the columns that are held fixed; all restarts are one group if there are none.
        column: what is compared, as for `differences`.

    Returns:
        `within`, then `restarts`, `levels` (how many there are), `H`, `epsilon_squared`, `p` and `p_holm` (corrected
        for the number of rows). All but the first two are NaN for one level, or where all values are equal.

    Raises:
        KeyError: if a column is missing.

    >>> frame = pd.DataFrame({"init": ["x"] * 20 + ["y"] * 20, "status": "arrived", "loss": range(40)})
    >>> levels(frame, "init")[["restarts", "levels", "epsilon_squared"]].round(3).to_numpy().tolist()
    [[40.0, 2.0, 0.75]]
    """
    keys = list(within)
    frame = restarts[[*keys, factor]].assign(place=places(final_losses(restarts, column)))
    groups: Iterable[tuple[tuple[object, ...], pd.DataFrame]] = [((), frame)]
    if keys:
        groups = frame.groupby(keys, observed=True, sort=True, dropna=False)
    rows = [(*key, len(group), *_kruskal(group, factor)) for key, group in groups]
    table = pd.DataFrame(rows, columns=[*keys, "restarts", "levels", "H", "epsilon_squared", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(np.float64)))


def _kruskal(group: pd.DataFrame, factor: str) -> tuple[float, ...]:
    """The number of levels, H, ε² and p."""
    samples = [sample.to_numpy() for _, sample in group.groupby(factor, observed=True, dropna=False)["place"]]
    if len(samples) < 2 or group["place"].nunique() < 2:
        return len(samples), np.nan, np.nan, np.nan
    H = max(float(stats.kruskal(*samples).statistic), 0.0)  # equal samples give -2e-12
    p = float(stats.chi2.sf(H, len(samples) - 1))
    return len(samples), H, H / (len(group) - 1), p
