from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from basinet.foundation.random_streams import Purpose, normal, permutation, uniform

_MASK = 2**64 - 1


def philox_4x64(counter: int, key: int) -> list[int]:
    """Philox4x64-10 as printed by Salmon et al. (2011), with Python's whole numbers: four words of 64 bits."""
    c0, c1, c2, c3 = ((counter >> shift) & _MASK for shift in (0, 64, 128, 192))
    k0, k1 = key & _MASK, key >> 64
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & _MASK, (p0 >> 64) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & _MASK, (k1 + 0xBB67AE8584CAA73B) & _MASK
    return [c0, c1, c2, c3]


def naive_uniform(seed: int, restart: int, size: int, purpose: int) -> list[float]:
    """Restart r owns the B = ⌈size/4⌉ counters from r·B on (numpy counts from 1), 52 bits a number."""
    blocks = math.ceil(size / 4)
    words = [philox_4x64(restart * blocks + k + 1, seed + (purpose << 64)) for k in range(blocks)]
    return [((word >> 12) + 0.5) / 2**52 for word in list(itertools.chain(*words))[:size]]


def test_philox_reproduces_the_known_answer_of_its_authors() -> None:
    # Random123, kat_vectors: philox4x64-10 with counter 0 and key 0.
    expected = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox_4x64(0, 0) == expected


@given(
    seed=st.integers(0, 2**63 - 1),
    first=st.integers(0, 10**9),
    count=st.integers(1, 5),
    size=st.integers(1, 13),
    purpose=st.sampled_from(Purpose),
)
def test_uniform_draws_are_the_counters_of_a_naive_philox(
    seed: int, first: int, count: int, size: int, purpose: Purpose
) -> None:
    draws = uniform(seed, range(first, first + count), size, purpose)
    assert draws.tolist() == [naive_uniform(seed, r, size, int(purpose)) for r in range(first, first + count)]


@pytest.mark.parametrize("draw", [uniform, normal])
@given(first=st.integers(0, 300), count=st.integers(0, 60), size=st.integers(1, 30), seed=st.integers(0, 2**63 - 1))
def test_any_range_of_restarts_is_the_same_rows_of_the_whole_to_the_bit(
    draw: object, first: int, count: int, size: int, seed: int
) -> None:
    whole = draw(seed, range(360), size)  # type: ignore[operator]
    part = draw(seed, range(first, first + count), size)  # type: ignore[operator]
    assert part.shape == (count, size)
    np.testing.assert_array_equal(part, whole[first : first + count])


def test_normal_draws_are_the_inverse_distribution_function_of_the_uniform_ones() -> None:
    u, z = uniform(5, range(2000), 7), normal(5, range(2000), 7)
    # Φ(z) = u, where Φ is evaluated with a relative error of some 1e-15 in each tail.
    np.testing.assert_allclose(scipy.stats.norm.cdf(z), u, rtol=1e-13)
    np.testing.assert_allclose(scipy.stats.norm.sf(z), 1 - u, rtol=1e-13)


def test_streams_of_different_purposes_seeds_and_restarts_share_no_number() -> None:
    draws = [uniform(seed, range(50), 40, purpose) for purpose in Purpose for seed in (0, 1, 2**63 - 1)]
    every = np.concatenate([part.ravel() for part in draws])
    # Two equal ones by chance among 36,000 draws of 52 bits: a probability of 1e-7.
    assert len(np.unique(every)) == len(every)
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose)


def test_even_the_extreme_words_of_the_generator_give_numbers_inside_the_open_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Extreme:
        def __init__(self, key: int) -> None:
            pass

        def advance(self, counters: int) -> Extreme:
            return self

        def random_raw(self, words: int) -> np.ndarray:
            return np.resize(np.array([0, 2**64 - 1], dtype=np.uint64), words)

    monkeypatch.setattr(np.random, "Philox", Extreme)
    assert uniform(0, range(1), 2).tolist() == [[2.0**-53, 1 - 2.0**-53]]
    assert np.isfinite(normal(0, range(1), 2)).all()


def test_uniform_draws_are_uniform_and_normal_ones_normal() -> None:
    size = 10**5
    u, z = uniform(1, range(size), 1)[:, 0], normal(2, range(size), 1)[:, 0]
    # Bounds at 4 standard errors: the mean of u has 1/√(12 n), its variance 1/√(180 n); of z, 1/√n and √(2/n).
    assert abs(u.mean() - 1 / 2) < 4 / math.sqrt(12 * size)
    assert abs(u.var() - 1 / 12) < 4 / math.sqrt(180 * size)
    assert abs(z.mean()) < 4 / math.sqrt(size)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / size)
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-3


def test_neither_neighbouring_restarts_nor_parameters_are_correlated() -> None:
    z = normal(3, range(10**5), 2)
    for a, b in ((z[:-1, 0], z[1:, 0]), (z[:, 0], z[:, 1]), (z[:-1, 1], z[1:, 0])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(10**5)  # 4 standard errors


@given(seed=st.integers(0, 2**63 - 1), index=st.integers(0, 10**6), size=st.integers(1, 50))
def test_a_permutation_has_every_index_once_and_depends_on_its_address_only(seed: int, index: int, size: int) -> None:
    order = permutation(seed, index, size, Purpose.BATCHES)
    assert sorted(order.tolist()) == list(range(size))
    assert order.tolist() == permutation(seed, index, size, Purpose.BATCHES).tolist()
    draws = naive_uniform(seed, index, size, int(Purpose.BATCHES))
    assert order.tolist() == sorted(range(size), key=lambda i: draws[i])


def test_all_permutations_of_four_are_equally_likely() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for index in range(24 * 200):
        order = tuple(permutation(0, index, 4, Purpose.HOLDOUT).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-3
