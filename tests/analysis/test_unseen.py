from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from basinet.analysis import unseen
from basinet.foundation.errors import ConfigError

SHARES = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]  # a population of three minima

samples = st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any)


def sequences(restarts: int) -> Iterator[tuple[Fraction, list[int]]]:
    """Every sequence of minima that the restarts can end in: its probability, and the counts."""
    for sequence in itertools.product(range(len(SHARES)), repeat=restarts):
        counted = Counter(sequence)
        yield math.prod((SHARES[m] for m in sequence), start=Fraction(1)), [counted[m] for m in range(len(SHARES))]


def calibration_shares() -> np.ndarray:
    """The 64 basins of GROUND_TRUTHS 1 with d = 6 from N(0, 10²): p^j (1 - p)^(6 - j)."""
    p = stats.norm.cdf(4.167237823105 / 10)
    return np.array(
        [p ** sum(valleys) * (1 - p) ** (6 - sum(valleys)) for valleys in itertools.product((0, 1), repeat=6)]
    )


@pytest.mark.parametrize("restarts", [1, 2, 5])
def test_good_turing_expects_what_one_restart_fewer_covers(restarts: int) -> None:
    """E[f₁/N] is exactly the expected share that N - 1 restarts miss."""
    estimated = sum(p * Fraction(unseen.coverage(n).value).limit_denominator(10**6) for p, n in sequences(restarts))
    covered = sum(p * sum(s for s, m in zip(SHARES, n, strict=True) if m) for p, n in sequences(restarts - 1))
    assert estimated == covered


def test_estys_interval_as_he_writes_it() -> None:
    counts = [1] * 12 + [2] * 4 + [3, 5, 11, 40]
    n, n1, n2 = sum(counts), 12, 4
    half = 1.959963984540054 * math.sqrt((n1 / n + 2 * n2 / n - (n1 / n) ** 2) / n)
    assert unseen.coverage(counts) == pytest.approx((1 - n1 / n, 1 - n1 / n - half, 1 - n1 / n + half), rel=1e-14)
    narrow, wide = unseen.coverage(counts, 0.5), unseen.coverage(counts, 0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_coverage_claims_no_certainty_and_stays_a_share() -> None:
    value, low, high = unseen.coverage([])
    assert math.isnan(value)
    assert (low, high) == (0, 1)
    everything, nothing = unseen.coverage([50, 50]), unseen.coverage([1] * 100)
    assert everything.value == everything.high == 1
    assert 0.95 < everything.low < 1
    assert nothing.value == nothing.low == 0
    assert 0 < nothing.high < 0.05
    assert unseen.coverage([1]) == (0, 0, 1)


def test_chao1_gives_the_numbers_of_estimates() -> None:
    """The example of scikit-bio's tests, whose expected values come from EstimateS."""
    value, low, high = unseen.chao1([0, 1, 1, 4, 2, 5, 2, 4, 1, 2])
    assert value == 9.75
    assert (round(low, 2), round(high, 2)) == (9.07, 17.45)


@given(samples)
def test_chao1_is_never_below_what_was_seen(counts: list[int]) -> None:
    seen = sum(n > 0 for n in counts)
    value, low, high = unseen.chao1(counts)
    assert seen <= low <= high
    assert seen <= value <= high
    f1, f2 = counts.count(1), counts.count(2)
    assert value == pytest.approx(seen + f1 * (f1 - 1) / (2 * (f2 + 1)))


def test_chao1_of_nothing_and_of_minima_seen_often() -> None:
    assert unseen.chao1([]) == (0, 0, math.inf)
    value, low, high = unseen.chao1([1000, 1000])
    assert (value, low) == (2, 2)
    assert high == pytest.approx(2)


@pytest.mark.parametrize("restarts", [50, 100, 200])
def test_intervals_hold_the_truth_on_sixty_four_unequal_basins(restarts: int) -> None:
    shares, repeats = calibration_shares(), 2000
    assert shares.sum() == pytest.approx(1)
    draws = np.random.default_rng(0).multinomial(restarts, shares, size=repeats)
    covered = [float(shares[n > 0].sum()) for n in draws]
    esty, chao = [unseen.coverage(n) for n in draws], [unseen.chao1(n) for n in draws]
    held = np.mean([e.low <= truth <= e.high for e, truth in zip(esty, covered, strict=True)])
    below = np.mean([bound.low <= 64 for bound in chao])
    two_sided = np.mean([bound.low <= 64 <= bound.high for bound in chao])
    print(f"N = {restarts}: coverage {np.mean(covered):.3f}, Esty {held:.3f}, Chao1 {below:.3f} (both {two_sided:.3f})")
    assert 0.92 <= held <= 0.98
    assert np.mean(covered) > 0.9 or below >= 0.95


@pytest.mark.parametrize(("found", "restarts"), [(1, 10), (2, 12), (3, 30), (5, 25)])
def test_the_expected_number_is_the_mean_of_its_posterior(found: int, restarts: int) -> None:
    """With uniform priors, P(k minima | w of them in N restarts) ∝ k!/(k - w)! · (k - 1)!/(N + k - 1)!, k ≥ w."""
    numbers = range(found, 40_000)
    weights = np.exp(
        [
            math.lgamma(k + 1) - math.lgamma(k - found + 1) + math.lgamma(k) - math.lgamma(restarts + k)
            + math.lgamma(restarts + found)
            for k in numbers
        ]
    )  # fmt: skip
    # The tail falls like k^(w - N) at least: beyond 40,000 nothing is left.
    mean = float(weights @ np.array(numbers) / weights.sum())
    assert unseen.expected_number(found, restarts) == pytest.approx(mean, rel=1e-9)


def test_with_hardly_more_restarts_than_minima_the_expected_number_is_infinite() -> None:
    assert [unseen.expected_number(3, n) for n in (3, 5)] == [math.inf, math.inf]
    assert unseen.expected_number(3, 6) == 15


@given(st.integers(1, 300), st.integers(0, 200_000))
def test_enough_is_when_the_expected_number_is_half_above_the_found(found: int, restarts: int) -> None:
    for n in (restarts, 2 * found**2 + 3 * found + 1, 2 * found**2 + 3 * found + 2):
        expected = Fraction(found * (n - 1), n - found - 2) if n > found + 2 else math.inf
        assert unseen.enough(found, n) == (expected <= found + Fraction(1, 2))


def test_nothing_found_is_never_enough() -> None:
    assert not unseen.enough(0, 10**6)


@given(st.integers(1, 500), st.data(), st.sampled_from([0.5, 0.95, 0.999]))
def test_wilson_intervals_equal_scipys(trials: int, data: st.DataObject, confidence: float) -> None:
    successes = data.draw(st.integers(0, trials))
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, "wilson")
    low, high = unseen.wilson(successes, trials, confidence)
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), rel=1e-12, abs=1e-15)


def test_wilson_takes_arrays_and_knows_nothing_without_trials() -> None:
    low, high = unseen.wilson([0, 3, 10, 0], [10, 10, 10, 0])
    assert low.shape == high.shape == (4,)
    assert (low[0], high[2], low[3], high[3]) == (0, 1, 0, 1)
    assert 0 < high[0] < 0.3
    assert low[1] < 0.3 < high[1]
    with pytest.raises(ConfigError, match="between 0 and the number of trials"):
        unseen.wilson(11, 10)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8))
def test_the_expected_best_is_the_mean_over_all_subsets(losses: list[float]) -> None:
    restarts = range(1, len(losses) + 1)
    expected = [np.mean([min(part) for part in itertools.combinations(losses, r)]) for r in restarts]
    assert unseen.expected_best(losses, list(restarts)).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_expected_best_of_many_restarts_and_of_some_without_a_loss() -> None:
    R = 20_000
    losses = np.random.default_rng(1).permutation(R) + 1.0  # 1 … R: the best of r is (R + 1)/(r + 1) on average
    r = np.array([[1, 2, 10], [500, 19_999, 20_000]])
    np.testing.assert_allclose(unseen.expected_best(losses, r), (R + 1) / (r + 1), rtol=1e-10)
    assert unseen.expected_best([1, 2, np.inf], [1, 2]).tolist() == [math.inf, pytest.approx(4 / 3)]
    with pytest.raises(ConfigError, match="not a number"):
        unseen.expected_best([1, np.nan], 1)
    with pytest.raises(ConfigError, match="r from 1 to 2"):
        unseen.expected_best([1, 2], 3)


def test_the_expected_best_is_infinite_however_rare_it_is_that_all_have_no_loss() -> None:
    """(1/20)^1000 and less: a chance that no floating-point number holds."""
    losses = np.where(np.arange(20_000) < 1000, np.inf, 1.0)
    assert unseen.expected_best(losses, [999, 1000, 1001]).tolist() == [math.inf, math.inf, pytest.approx(1.0)]
    assert unseen.median_best(losses, [1, 1000]).tolist() == [1.0, 1.0]


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, math.inf]), min_size=1, max_size=9), st.data())
def test_the_median_best_is_that_of_all_draws(losses: list[float], data: st.DataObject) -> None:
    """The lower one of the two in the middle."""
    r = data.draw(st.integers(1, len(losses)))
    best = sorted(min(draw) for draw in itertools.combinations(losses, r))
    assert float(unseen.median_best(losses, r)) == best[(len(best) - 1) // 2]


@given(st.floats(1e-6, 0.999), st.floats(0.01, 0.99))
def test_as_many_restarts_as_needed_succeed_just_so(rate: float, success: float) -> None:
    needed = float(unseen.restarts_needed(rate, success))
    assert 1 - (1 - rate) ** needed == pytest.approx(success, rel=1e-9)


def test_restarts_needed_at_the_ends() -> None:
    assert unseen.restarts_needed([0, 1]).tolist() == [math.inf, 0]
    with pytest.raises(ConfigError, match="a rate is a probability"):
        unseen.restarts_needed(1.5)
    with pytest.raises(ConfigError, match="success=1"):
        unseen.restarts_needed(0.5, 1)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any))
def test_rarefaction_is_the_mean_over_all_parts_of_the_restarts(counts: list[int]) -> None:
    ends = [m for m, n in enumerate(counts) for _ in range(n)]
    numbers = range(len(ends) + 1)
    expected = [np.mean([len(set(part)) for part in itertools.combinations(ends, n)]) for n in numbers]
    assert unseen.rarefaction(counts, list(numbers)).tolist() == pytest.approx(expected, rel=1e-11, abs=1e-11)


def test_rarefaction_of_many_restarts_rises_from_one_to_all() -> None:
    counts = np.random.default_rng(2).geometric(0.01, size=1000)
    curve = unseen.rarefaction(counts, np.linspace(1, counts.sum(), 50).astype(int))
    assert curve[0] == pytest.approx(1, rel=1e-7)  # logarithms of factorials of 10⁵ keep 9 digits
    assert curve[-1] == 1000
    assert bool((np.diff(curve) > 0).all())
    with pytest.raises(ConfigError, match="a part of 3 restarts is needed"):
        unseen.rarefaction([2, 1], 4)


@given(samples)
def test_entropy_and_simpson_are_sums_over_shares(counts: list[int]) -> None:
    shares = [n / sum(counts) for n in counts if n]
    assert unseen.entropy(counts) == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-12)
    assert unseen.simpson(counts) == pytest.approx(sum(p * p for p in shares))
    together = sum(a == b for a, b in itertools.product([m for m, n in enumerate(counts) for _ in range(n)], repeat=2))
    assert unseen.simpson(counts) == pytest.approx(together / sum(counts) ** 2)


def test_nothing_has_no_entropy_and_no_index() -> None:
    assert unseen.entropy([]) == unseen.entropy([7]) == 0
    assert math.isnan(unseen.simpson([]))
    assert unseen.simpson([7]) == 1


@pytest.mark.parametrize("counts", [[[1, 2]], [1, -1]])
def test_counts_are_a_list_of_numbers(counts: list[int]) -> None:
    with pytest.raises(ConfigError, match="counts are a list of numbers, 0 or more"):
        unseen.coverage(counts)


def test_a_confidence_is_a_probability() -> None:
    with pytest.raises(ConfigError, match="confidence=95"):
        unseen.coverage([3, 1], confidence=95)
