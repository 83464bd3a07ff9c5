"""Conditions that began from the same starts: restart by restart, against naive enumeration and by simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basinet.analysis.compare import differences
from basinet.analysis.paired import RESAMPLES, resampled_together, sign_test, signed_rank_test

stress = pytest.mark.stress


def frame(losses: dict[str, Sequence[float]], starts: Sequence[int] | None = None) -> pd.DataFrame:
    """Conditions of the same restarts; restart i began from start i where none are given."""
    parts = []
    for name, values in losses.items():
        own = range(len(values)) if starts is None else starts
        parts.append(pd.DataFrame({"descent": name, "start": own, "status": "arrived", "loss": values}))
    return pd.concat(parts, ignore_index=True)


def luck(random: np.random.Generator, restarts: int, better: float, noise: float = 0.02) -> dict[str, Sequence[float]]:
    """Two conditions whose restarts differ by their starts far more than by what is compared, which is `better`."""
    of_start = random.exponential(1.0, restarts)
    first, second = random.normal(0, noise, (2, restarts))
    return {"a": of_start + first, "b": of_start + second - better}


# --- The tests -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=9))
def test_the_sign_test_is_that_of_all_coins(pairs: list[tuple[int, int]]) -> None:
    """Pairs that end alike left out, the others are as likely higher as lower, each for itself."""
    a, b = zip(*pairs, strict=True)
    higher, lower = sum(x > y for x, y in pairs), sum(x < y for x, y in pairs)
    delta, p = sign_test(a, b)
    assert delta == pytest.approx((higher - lower) / len(pairs))
    if higher + lower == 0:
        assert np.isnan(p)
        return
    coins = [sum(coin) for coin in itertools.product([0, 1], repeat=higher + lower)]
    middle, seen = Fraction(higher + lower, 2), abs(higher - Fraction(higher + lower, 2))
    assert p == pytest.approx(sum(abs(heads - middle) >= seen for heads in coins) / len(coins))


@given(st.permutations(range(1, 9)), st.lists(st.booleans(), min_size=8, max_size=8))
def test_signed_ranks_are_those_of_all_signs(sizes: list[int], signs: list[bool]) -> None:
    """Wilcoxon's null distribution by enumeration: every difference had the other sign with probability ½."""
    d = [size if sign else -size for size, sign in zip(sizes, signs, strict=True)]
    total = 8 * 9 // 2
    sums = [sum(r for r, up in zip(range(1, 9), ups, strict=True) if up) for ups in itertools.product([0, 1], repeat=8)]
    seen = min(sum(x for x in d if x > 0), total - sum(x for x in d if x > 0))
    expected = min(1, 2 * sum(value <= seen for value in sums) / len(sums))
    assert signed_rank_test(d) == pytest.approx(expected)


def test_ties_and_zeros_of_signed_ranks_are_as_pratt_has_them() -> None:
    """By hand: sizes 0 0 1 1 2 3 have ranks 1.5 1.5 3.5 3.5 5 6; z = (W₊ - W₋) / √Σ r² over what is not 0."""
    d = [0.0, 0.0, 1.0, -1.0, 2.0, 3.0] * 4  # four times as many: ranks r become 4 r - 1.5
    ranks = {0.0: 6 - 1.5, 1.0: 14 - 1.5, 2.0: 20 - 1.5, 3.0: 24 - 1.5}
    W = 4 * (ranks[2.0] + ranks[3.0])
    z = W / math.sqrt(4 * (2 * ranks[1.0] ** 2 + ranks[2.0] ** 2 + ranks[3.0] ** 2))
    assert signed_rank_test(d) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-9)


def test_what_pairs_cannot_tell_is_not_a_number() -> None:
    assert np.isnan(sign_test([], [])).all()
    assert np.isnan([sign_test([1], [2]).p, sign_test([1, 1], [1, 1]).p]).all()
    assert np.isnan([signed_rank_test([1.0]), signed_rank_test([0.0, 0.0]), signed_rank_test([])]).all()
    assert signed_rank_test([math.inf, 1.0, 2.0]) == signed_rank_test([9.0, 1.0, 2.0])


# --- The bootstrap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_pairs_of_resampled_medians_are_as_frequent_as_among_all_resamples(n: int) -> None:
    a, b = np.array([3.0, 1.0, 4.0, 1.5])[:n], np.array([10.0, 50.0, 20.0, 80.0])[:n]
    drawn = np.stack(resampled_together([a, b]), 1)
    exact: dict[tuple[float, float], float] = {}
    for rows in itertools.product(range(n), repeat=n):
        medians = float(np.median(a[list(rows)])), float(np.median(b[list(rows)]))
        exact[medians] = exact.get(medians, 0) + n**-n
    assert {(x, y) for x, y in drawn.tolist()} <= set(exact)
    for medians, share in exact.items():
        error = 4 * math.sqrt(share * (1 - share) / RESAMPLES)
        assert np.all(drawn == medians, axis=1).mean() == pytest.approx(share, abs=error + 1e-12)


def test_medians_of_many_restarts_are_found_by_looking_near_the_middle_alone() -> None:
    """The same restarts are in a resample of a condition whose losses are the numbers of its restarts."""
    n = 3001
    random = np.random.default_rng(0)
    losses, flat = random.exponential(size=n), np.repeat([0.25, 0.5], [n // 2 - 20, n - n // 2 + 20])
    medians, numbers, of_flat = resampled_together([losses, np.argsort(np.argsort(losses)).astype(float), flat])
    np.testing.assert_array_equal(medians, np.sort(losses)[numbers.astype(int)])
    assert set(of_flat) == {0.25, 0.5}
    # The median's rank has the standard deviation √n / 2, within its own error.
    assert np.std(numbers) == pytest.approx(math.sqrt(n) / 2, rel=4 / math.sqrt(2 * RESAMPLES))


# --- Conditions ----------------------------------------------------------------------------------------------------


def test_pairing_finds_a_difference_that_the_luck_of_the_starts_hides() -> None:
    """Losses are spread by 1, the conditions differ by .03, and a pair by .03 with an error of .03."""
    table = frame(luck(np.random.default_rng(1), 300, better=0.03))
    (pairwise,) = differences(table, ["descent"]).to_dict("records")
    (whole,) = differences(table.drop(columns="start"), ["descent"]).to_dict("records")
    assert (pairwise["paired"], whole["paired"]) == (True, False)
    assert pairwise["difference"] == whole["difference"]
    assert (pairwise["better"], whole["better"]) == ("b", "neither")
    assert pairwise["p_signed_rank"] < 1e-6
    assert np.isnan(whole["p_signed_rank"])
    width = {key: row["difference_high"] - row["difference_low"] for key, row in (("by", pairwise), ("all", whole))}
    assert width["all"] > 4 * width["by"]
    assert 0 < pairwise["difference_low"] < 0.03 < pairwise["difference_high"]
    assert whole["difference_low"] < 0 < whole["difference_high"]
    assert np.isnan([whole[f"pair_difference{end}"] for end in ("", "_low", "_high")]).all()
    assert pairwise["pair_difference"] == pytest.approx(np.median(table["loss"][:300] - table["loss"][300:].to_numpy()))
    of_pairs = pairwise["pair_difference_high"] - pairwise["pair_difference_low"]
    assert width["by"] > 4 * of_pairs  # of 300 differences the median is known better than one of them
    assert 0 < pairwise["pair_difference_low"] < 0.03 < pairwise["pair_difference_high"]


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("trials", [300, pytest.param(4000, marks=stress)])
def test_the_paired_intervals_cover_the_difference_as_often_as_they_say(noise: float, trials: int) -> None:
    """Medians of conditions that add the same noise to the same starts differ by .03, and so do the pairs' own."""
    random = np.random.default_rng(2)
    rows = [differences(frame(luck(random, 60, better=0.03, noise=noise)), ["descent"]).iloc[0] for _ in range(trials)]
    covered = {
        name: np.mean([row[f"{name}_low"] <= 0.03 <= row[f"{name}_high"] for row in rows])
        for name in ("difference", "pair_difference")
    }
    print(noise, covered)
    error = 3 * math.sqrt(0.05 * 0.95 / trials)
    # By the binomial distribution: the interval between the 22nd and the 39th of 60 holds the median in 97.3 %.
    exact = 1 - 2 * sum(math.comb(60, k) for k in range(22)) / 2**60
    assert covered["pair_difference"] == pytest.approx(exact, abs=error)
    # Few restarts are near enough to the middle to be exchanged with their neighbours: wide rather than narrow.
    assert covered["difference"] >= 0.95 - error


@pytest.mark.parametrize("trials", [150, pytest.param(2000, marks=stress)])
def test_without_a_difference_five_percent_of_the_pairs_name_one_at_most(trials: int) -> None:
    random = np.random.default_rng(3)
    tables = (frame(luck(random, 40, better=0.0)) for _ in range(trials))
    alarms = np.mean([differences(table, ["descent"])["better"].item() != "neither" for table in tables])
    assert alarms <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_whether_starts_are_shared_is_asked_of_the_starts_and_of_nothing_else() -> None:
    losses = luck(np.random.default_rng(4), 40, better=0.1)
    table = frame(losses)
    shuffled = table.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(differences(shuffled, ["descent"]), differences(table, ["descent"]))
    assert differences(table, ["descent"])["paired"].all()
    other = table["descent"] == "b"
    unlike = {
        "one start is another": table.assign(start=table["start"].where(table.index != 79, 1000)),
        "all starts are others": table.assign(start=table["start"] + 1000 * other),
        "one restart more": pd.concat([table, table[79:].assign(start=40)]),
        "a start is not known": table.assign(start=table["start"].where(table.index != 79)),
        "a start twice in both": table.assign(start=table["start"].replace(39, 38)),
    }
    for what, changed in unlike.items():
        assert not differences(changed, ["descent"])["paired"].any(), what


def test_of_three_conditions_only_those_with_the_same_starts_are_paired() -> None:
    table = frame({name: [1.0, 2.0, 3.0, 5.0] for name in "abc"})
    table = table.assign(start=table["start"] + 10 * (table["descent"] == "b"))
    pairs = differences(table, ["descent"])
    assert dict(zip(pairs["descent_a"] + pairs["descent_b"], pairs["paired"], strict=True)) == {
        "ab": False,
        "ac": True,
        "bc": False,
    }


def test_pairs_that_rounding_or_divergence_makes_alike_count_as_alike() -> None:
    a, b = [0.5, 0.5, math.inf, math.inf, 0.7, 0.2], [0.5 + 1e-14, 0.4, math.inf, 0.6, math.inf, 0.2]
    (row,) = differences(frame({"a": a, "b": b}), ["descent"]).to_dict("records")
    assert row["delta"] == (2 - 1) / 6  # higher: the second and the fourth; lower: the fifth
    assert row["p"] == pytest.approx(1.0)  # two of three coins or more, or one or less
    assert row["pair_difference"] == 0
    (row,) = differences(frame({"a": [math.inf, 0.0], "b": [0.0, math.inf]}), ["descent"]).to_dict("records")
    assert np.isnan(row["pair_difference"])  # half of the pairs are lost in a, and half in b
    assert (row["pair_difference_low"], row["pair_difference_high"]) == (-math.inf, math.inf)
    alike = frame({"a": [0.5] * 5, "b": [0.5 + 1e-15] * 5})
    (row,) = differences(alike, ["descent"]).to_dict("records")
    assert row["paired"]
    assert np.isnan([row["p"], row["p_signed_rank"]]).all()
    assert row["better"] == "neither"
