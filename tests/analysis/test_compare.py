from __future__ import annotations

import itertools
import math
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from basinet.analysis.compare import differences, dominance, holm, levels, places, resampled_medians

MINIMA = np.array([0.05, 0.07, 0.08, 0.5])  # losses of four minima, and what else may happen to a restart

few_values = st.lists(st.integers(0, 6), min_size=2, max_size=12)
stress = pytest.mark.stress


def frame(losses: dict[str, Sequence[float]], column: str = "init") -> pd.DataFrame:
    """Restarts that have all arrived."""
    names = [name for name, values in losses.items() for _ in values]
    values = [float(value) for values in losses.values() for value in values]
    return pd.DataFrame({column: names, "status": "arrived", "loss": values})


def ends(random: np.random.Generator, shares: Sequence[float], count: int) -> np.ndarray:
    """Losses of restarts that end in the four minima with these shares, to rounding."""
    return random.choice(MINIMA, count, p=shares) * (1 + 1e-15 * random.integers(-2, 3, count))


def within_three_errors(rate: float, trials: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / trials)


# --- Cliff's δ and Brunner and Munzel's test -----------------------------------------------------------------------


def delta_over_all_pairs(a: Sequence[float], b: Sequence[float]) -> float:
    return float(Fraction(sum(int(x > y) - int(x < y) for x, y in itertools.product(a, b)), len(a) * len(b)))


@given(few_values, few_values)
def test_delta_is_the_mean_sign_over_all_pairs(a: list[int], b: list[int]) -> None:
    assert dominance(a, b).delta == pytest.approx(delta_over_all_pairs(a, b), abs=1e-15)
    assert dominance(b, a).delta == pytest.approx(-delta_over_all_pairs(a, b), abs=1e-15)


@given(few_values, few_values)
def test_p_is_scipys_wherever_the_samples_overlap(a: list[int], b: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy divides by the variance, which can be 0
        expected = stats.brunnermunzel(a, b).pvalue
    if not np.isnan(expected):
        assert dominance(a, b).p == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert np.isnan(dominance(a, b).p) == (len({*a, *b}) == 1)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 5), (4, 3), (5, 5)])
def test_of_samples_that_do_not_overlap_p_is_that_of_all_permutations(n: int, m: int) -> None:
    values = set(range(n + m))
    splits = [(part, values - set(part)) for part in itertools.combinations(values, n)]
    apart = [abs(delta_over_all_pairs(list(a), list(b))) == 1 for a, b in splits]
    assert dominance(range(n), range(n, n + m)) == (-1, pytest.approx(sum(apart) / len(apart)))


def test_what_two_restarts_cannot_tell_is_not_a_number() -> None:
    assert dominance([1.0], [2.0, 3.0])[0] == -1
    assert np.isnan(dominance([1.0], [2.0, 3.0]).p)
    assert np.isnan(dominance([], [2.0, 3.0])).all()
    delta, p = dominance([1.0, 1.0], [1.0, 1.0])
    assert delta == 0
    assert np.isnan(p)


def test_many_restarts_that_do_not_overlap_leave_no_doubt() -> None:
    assert dominance(np.arange(50_000), np.arange(50_000, 100_000)) == (-1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(30, 100), (200, 200)])
@pytest.mark.parametrize("trials", [2000, pytest.param(20_000, marks=stress)])
def test_where_samples_differ_only_in_width_false_alarms_are_as_rare_as_stated(n: int, m: int, trials: int) -> None:
    """The alternative, of Mann and Whitney, is wrong up to three times as often as stated."""
    random = np.random.default_rng(0)
    samples = [(random.normal(0, 4, n), random.normal(0, 1, m)) for _ in range(trials)]
    alarms = np.mean([dominance(a, b).p <= 0.05 for a, b in samples])
    others = np.mean([stats.mannwhitneyu(a, b).pvalue <= 0.05 for a, b in samples[:2000]])
    print(f"{n} and {m}: {alarms:.3f}, Mann-Whitney {others:.3f}")
    assert alarms == pytest.approx(0.05, abs=within_three_errors(0.05, trials) + 0.005)  # t is an approximation
    assert others > 0.065


@pytest.mark.parametrize("trials", [2000, pytest.param(20_000, marks=stress)])
def test_of_restarts_in_the_same_few_minima_false_alarms_are_as_rare_as_stated(trials: int) -> None:
    random, shares = np.random.default_rng(1), [0.5, 0.3, 0.15, 0.05]
    alarms = np.mean([dominance(*random.choice(4, (2, 60), p=shares)).p <= 0.05 for _ in range(trials)])
    assert alarms == pytest.approx(0.05, abs=within_three_errors(0.05, trials) + 0.005)


# --- Holm ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_bonferroni_rejects_in_every_family_that_holds_it(p: list[float]) -> None:
    """The closed testing procedure (Marcus, Peritz & Gabriel, 1976), by enumeration of all families."""
    families = [f for size in range(1, len(p) + 1) for f in itertools.combinations(range(len(p)), size)]
    bonferroni = {family: min(1, len(family) * min(p[i] for i in family)) for family in families}
    expected = [max(value for family, value in bonferroni.items() if i in family) for i in range(len(p))]
    assert holm(p).tolist() == pytest.approx(expected, rel=1e-14)


def test_what_was_not_tested_does_not_count_among_the_tests() -> None:
    corrected = holm([np.nan, 0.01, np.nan, 0.04])
    assert corrected[[1, 3]].tolist() == [0.02, 0.04]
    assert np.isnan(corrected[[0, 2]]).all()
    assert holm([]).tolist() == []


# --- The bootstrap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 7))
def test_resampled_medians_are_as_frequent_as_among_all_resamples(n: int) -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])[:n]
    exact = Counter(np.median(list(itertools.product(values, repeat=n)), axis=1).tolist())
    drawn = Counter(resampled_medians(values, n).tolist())
    assert set(drawn) <= set(exact)
    total = sum(drawn.values())
    for value, count in exact.items():
        share = count / n**n
        # Four errors: some hundred frequencies are looked at.
        assert drawn[value] / total == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / total) + 1e-15)


@pytest.mark.parametrize("n", [101, 500])
def test_resampled_medians_of_many_values_are_distributed_as_by_resampling(n: int) -> None:
    random = np.random.default_rng(n)
    values = np.sort(random.exponential(size=n))
    resampled = np.median(random.choice(values, (5000, n)), axis=1)
    assert stats.ks_2samp(resampled_medians(values, 3), resampled).pvalue > 0.001


def test_streams_are_independent_and_always_the_same() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=41))
    one, other = resampled_medians(values, 0), resampled_medians(values, 1)
    np.testing.assert_array_equal(one, resampled_medians(values, 0))
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(len(one))


@pytest.mark.parametrize(("n", "m"), [(80, 61), (15, 200)])
def test_the_interval_is_scipys_percentile_bootstrap(n: int, m: int) -> None:
    random = np.random.default_rng(2)
    a, b = random.exponential(size=n), random.normal(size=m)
    expected = stats.bootstrap(
        (a, b),
        lambda x, y, axis: np.median(x, axis) - np.median(y, axis),
        n_resamples=9999,
        method="percentile",
        rng=random,
    )
    (row,) = differences(frame({"a": a, "b": b}), ["init"]).to_dict("records")
    assert row["difference"] == np.median(a) - np.median(b)
    # An end is the 2.5 % quantile of 9,999 draws: its error is 0.027 standard deviations, that of a difference 0.04.
    error = 0.15 * expected.standard_error
    assert row["difference_low"] == pytest.approx(expected.confidence_interval.low, abs=error)
    assert row["difference_high"] == pytest.approx(expected.confidence_interval.high, abs=error)


@pytest.mark.slow
@pytest.mark.parametrize("trials", [250, pytest.param(4000, marks=stress)])
def test_the_interval_covers_the_difference_as_often_as_it_says(trials: int) -> None:
    """The medians of an exponential and of a normal variable are ln 2 and 0; 1.5 % for the bootstrap's own error."""
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(trials):
        losses = {"a": random.exponential(size=40), "b": random.normal(0, 2, size=61)}
        (row,) = differences(frame(losses), ["init"]).to_dict("records")
        covered += row["difference_low"] <= math.log(2) <= row["difference_high"]
    print(f"covered {covered / trials:.4f} of {trials}")
    assert covered / trials == pytest.approx(0.95, abs=within_three_errors(0.95, trials) + 0.015)


# --- Pairs of conditions -------------------------------------------------------------------------------------------


@pytest.fixture
def restarts() -> pd.DataFrame:
    """Three inits × two depths of 30 restarts each, some of them diverged."""
    random = np.random.default_rng(4)
    table = pd.DataFrame(
        list(itertools.product("zxy", [10, 2], range(30))), columns=["init", "network.depth", "restart"]
    )
    table["loss"] = random.exponential(1 + (table["init"] == "y") * table["network.depth"])
    table["status"] = pd.Categorical(random.choice(["arrived", "budget", "diverged"], len(table), p=[0.7, 0.2, 0.1]))
    table.loc[table["status"] == "diverged", "loss"] = np.nan
    return table.astype({"init": "category"})


def test_every_pair_of_conditions_is_a_row_of_what_numpy_and_scipy_say(restarts: pd.DataFrame) -> None:
    table = differences(restarts, ["init", "network.depth"])
    conditions = sorted(itertools.product("xyz", [2, 10]))
    keys = ["init_a", "network.depth_a", "init_b", "network.depth_b"]
    assert table[keys].to_numpy().tolist() == [[*a, *b] for a, b in itertools.combinations(conditions, 2)]
    for _, row in table.iterrows():
        a, b = (
            restarts.query("init == @key[0] and `network.depth` == @key[1]")["loss"].fillna(np.inf).to_numpy()
            for key in [tuple(row[keys[:2]]), tuple(row[keys[2:]])]
        )
        assert (row["restarts_a"], row["restarts_b"]) == (30, 30)
        assert (row["median_a"], row["median_b"]) == (np.median(a), np.median(b))
        assert row["difference"] == np.median(a) - np.median(b)
        assert row["difference_low"] < row["difference"] < row["difference_high"]
        assert row["delta"] == pytest.approx(delta_over_all_pairs(a, b), abs=1e-14)
        assert row["p"] == pytest.approx(stats.brunnermunzel(a, b).pvalue, rel=1e-9)


def test_the_better_condition_has_the_lower_losses_and_a_corrected_p_of_five_percent(restarts: pd.DataFrame) -> None:
    table = differences(restarts, ["init", "network.depth"])
    ranked = table.sort_values("p")
    steps = [min(1, (len(table) - i) * p) for i, p in enumerate(ranked["p"])]
    assert ranked["p_holm"].tolist() == pytest.approx(list(itertools.accumulate(steps, max)))
    expected = np.where(table["p_holm"] > 0.05, "neither", np.where(table["delta"] < 0, "a", "b"))
    assert table["better"].tolist() == expected.tolist()
    assert set(expected) == {"a", "b", "neither"}


def test_the_table_is_the_same_again_and_whatever_the_order_of_the_restarts(restarts: pd.DataFrame) -> None:
    by, before = ["init", "network.depth"], np.random.get_state()[1].copy()  # noqa: NPY002 (that nobody draws from it)
    table = differences(restarts, by)
    pd.testing.assert_frame_equal(table, differences(restarts, by))
    pd.testing.assert_frame_equal(table, differences(restarts.sample(frac=1, random_state=1), by))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("loss", [9.0, 0.0, np.nan, np.inf])
def test_a_restart_that_has_diverged_is_the_worst_even_if_the_others_are_the_best(loss: float) -> None:
    table = frame({"lucky": [0.1] * 10 + [loss] * 30, "steady": [0.2] * 40})
    table.loc[10:39, "status"] = "diverged"
    (row,) = differences(table, ["init"]).to_dict("records")
    assert (row["median_a"], row["median_b"], row["difference"]) == (math.inf, 0.2, math.inf)
    assert row["delta"] == (30 - 10) / 40
    assert row["better"] == "b"


def test_rounding_is_no_difference() -> None:
    """Two descents to the same minima, one of which ends a little more exactly."""
    losses = np.repeat(MINIMA, 20)
    (row,) = differences(frame({"exact": losses, "rounded": losses + 1e-14}), ["init"]).to_dict("records")
    assert row["delta"] == 0
    assert row["p"] == pytest.approx(1)
    assert row["better"] == "neither"


def test_places_are_cut_only_where_more_than_rounding_lies_between() -> None:
    assert places([3.0, 1.0, 1.0 + 1e-12, 2.0, 3.0 + 1e-6, np.inf]).tolist() == [2, 0, 0, 1, 3, 4]
    assert places([1e12, 1e12 + 1, 1e-300, 0.0]).tolist() == [1, 1, 0, 0]
    assert places([]).tolist() == []


def test_a_setting_that_some_conditions_do_not_have_tells_them_apart() -> None:
    table = frame({"a": range(20), "b": range(20, 40)}).assign(std=np.repeat([np.nan, 2.0], 20))
    (row,) = differences(table, ["std"]).to_dict("records")
    assert row["std_a"] == 2.0
    assert np.isnan(row["std_b"])
    assert row["better"] == "b"


def test_any_column_of_which_less_is_better_can_be_compared() -> None:
    table = frame({"a": [1.0] * 20, "b": [1.0] * 20}).assign(steps=[*range(100, 120), *range(20)])
    assert differences(table, ["init"], "steps")["better"].tolist() == ["b"]


Degenerate = dict[str, list[float]]


@pytest.mark.parametrize(
    "losses",
    [{"a": [1.0], "b": [2.0]}, {"a": [1.0], "b": [2.0, 3.0]}, {"a": [np.nan], "b": [2.0, 3.0]}],
    ids=["one each", "one and two", "one that is lost"],
)
def test_one_restart_has_a_median_and_nothing_is_certain(losses: Degenerate) -> None:
    (row,) = differences(frame(losses), ["init"]).to_dict("records")
    assert np.isnan([row["difference_low"], row["difference_high"], row["p"], row["p_holm"]]).all()
    assert row["better"] == "neither"


def test_conditions_with_one_and_the_same_loss_are_not_different() -> None:
    (row,) = differences(frame({"a": [0.5] * 9, "b": [0.5] * 7}), ["init"]).to_dict("records")
    assert [row[f"difference{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    assert row["delta"] == 0
    assert np.isnan(row["p"])
    assert row["better"] == "neither"


def test_where_all_have_diverged_there_is_no_difference_to_speak_of() -> None:
    lost = frame({"a": [np.nan] * 9, "b": [np.nan] * 7}).assign(status="diverged")
    (row,) = differences(lost, ["init"]).to_dict("records")
    assert np.isnan([row[name] for name in ("difference", "difference_low", "difference_high", "p", "p_holm")]).all()
    assert row["better"] == "neither"
    (row,) = differences(pd.concat([lost[:9], frame({"c": [0.1] * 7})]), ["init"]).to_dict("records")
    assert (row["difference"], row["delta"], row["better"]) == (math.inf, 1, "b")


def test_of_fewer_than_two_conditions_there_are_no_pairs() -> None:
    one = differences(frame({"a": [1.0, 2.0]}), ["init"])
    none = differences(frame({}), ["init"])
    assert len(one) == len(none) == 0
    assert list(one) == list(none) == list(differences(frame({"a": [1.0], "b": [2.0]}), ["init"]))


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(KeyError, match="depth"):
        differences(frame({"a": [1.0]}), ["depth"])


@pytest.mark.parametrize("trials", [100, pytest.param(2000, marks=stress)])
def test_without_differences_five_percent_of_the_tables_name_one(trials: int) -> None:
    """Four conditions, six pairs, whose restarts end in the same minima with the same shares; Holm is conservative."""
    random = np.random.default_rng(5)
    shares = [0.5, 0.3, 0.15, 0.05]
    tables = (frame({name: ends(random, shares, 60) for name in "abcd"}) for _ in range(trials))
    alarms = np.mean([(differences(table, ["init"])["better"] != "neither").any() for table in tables])
    print(f"false alarms {alarms:.4f}")
    assert alarms <= 0.05 + within_three_errors(0.05, trials)


@pytest.mark.parametrize("trials", [60, pytest.param(1000, marks=stress)])
def test_a_planted_difference_is_found_and_named_rightly(trials: int) -> None:
    """One condition of three reaches the best minimum more often, 65 % against 35 %; the medians of two are equal."""
    random = np.random.default_rng(6)
    good, usual = [0.65, 0.2, 0.1, 0.05], [0.35, 0.4, 0.2, 0.05]
    found = Counter[tuple[str, ...]]()
    for _ in range(trials):
        losses = {name: ends(random, shares, 200) for name, shares in {"a": usual, "b": good, "c": usual}.items()}
        found[tuple(differences(frame(losses), ["init"])["better"])] += 1
    print(found)
    right = found[("b", "neither", "a")]  # of a and b, of a and c, of b and c
    assert right / trials >= 0.9
    assert not any(names[0] == "a" or names[2] == "b" for names in found)


# --- Levels of a factor --------------------------------------------------------------------------------------------


def test_levels_are_compared_within_each_setting_of_the_rest(restarts: pd.DataFrame) -> None:
    """H is N - 1 times the share of the ranks' variance that lies between levels, and that share is ε²."""
    table = levels(restarts, "init", ["network.depth"])
    assert table["network.depth"].tolist() == [2, 10]
    for _, row in table.iterrows():
        group = restarts[restarts["network.depth"] == row["network.depth"]]
        ranks = group["loss"].fillna(np.inf).rank()
        between = ranks.groupby(group["init"], observed=True).transform("mean").var() / ranks.var()
        assert (row["restarts"], row["levels"]) == (90, 3)
        assert row["epsilon_squared"] == pytest.approx(between, rel=1e-12)
        assert row["H"] == pytest.approx(89 * between, rel=1e-12)
        assert row["p"] == pytest.approx(math.exp(-row["H"] / 2), rel=1e-9)  # χ² with two degrees of freedom
    first, last = sorted(table["p"])
    assert sorted(table["p_holm"]) == pytest.approx([2 * first, max(2 * first, last)])


def test_two_factors_may_be_held_fixed_or_none(restarts: pd.DataFrame) -> None:
    more = pd.concat([restarts.assign(seed=0), restarts.assign(seed=1)])
    assert levels(more, "init", ["network.depth", "seed"])[["network.depth", "seed"]].to_numpy().tolist() == [
        [2, 0],
        [2, 1],
        [10, 0],
        [10, 1],
    ]
    (row,) = levels(restarts, "init").to_dict("records")
    assert (row["restarts"], row["levels"]) == (180, 3)


@pytest.mark.parametrize(
    "table",
    [
        frame({"a": [1.0, 2.0]}),
        frame({"a": [1.0]}),
        frame({"a": [1.0, 1.0], "b": [1.0]}),
        frame({"a": [np.nan], "b": [np.nan]}).assign(status="diverged"),
        frame({}),
    ],
    ids=["one level", "one restart", "one value", "all diverged", "nothing"],
)
def test_where_nothing_can_differ_there_is_no_test_of_levels(table: pd.DataFrame) -> None:
    (row,) = levels(table, "init").to_dict("records")
    assert (row["restarts"], row["levels"]) == (len(table), table["init"].nunique())
    assert np.isnan([row["H"], row["epsilon_squared"], row["p"], row["p_holm"]]).all()
    assert list(levels(table.assign(depth=2), "init", ["depth"])) == ["depth", *row]


def test_of_one_restart_a_level_the_test_is_still_a_test() -> None:
    (row,) = levels(frame({"a": [1.0], "b": [2.0], "c": [3.0]}), "init").to_dict("records")
    assert (row["H"], row["epsilon_squared"]) == (pytest.approx(2), pytest.approx(1))


@pytest.mark.parametrize("trials", [400, pytest.param(4000, marks=stress)])
def test_levels_without_a_difference_raise_as_few_alarms_as_stated(trials: int) -> None:
    random = np.random.default_rng(7)
    tables = (frame({name: ends(random, [0.5, 0.3, 0.15, 0.05], 60) for name in "abcd"}) for _ in range(trials))
    alarms = np.mean([levels(table, "init")["p"].item() <= 0.05 for table in tables])
    print(f"false alarms {alarms:.4f}")
    assert alarms == pytest.approx(0.05, abs=within_three_errors(0.05, trials) + 0.005)  # χ² is an approximation


def test_a_factor_that_matters_is_told_from_one_that_does_not() -> None:
    random = np.random.default_rng(8)
    table = pd.DataFrame(list(itertools.product("ab", [2, 4, 8], range(200))), columns=["init", "depth", "restart"])
    table = table.assign(status="arrived", loss=random.exponential(1 + 0.3 * table["depth"]))
    by_depth, by_init = levels(table, "depth", ["init"]), levels(table, "init", ["depth"])
    assert (by_depth["p_holm"] < 1e-4).all()
    assert (by_init["p_holm"] > 0.05).all()
    assert by_depth["epsilon_squared"].min() > 5 * by_init["epsilon_squared"].max()


# --- Size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=stress)])
@pytest.mark.parametrize("draw", ["few minima", "all different"])
def test_comparisons_of_many_restarts_take_memory_for_some_columns_and_none_for_pairs(count: int, draw: str) -> None:
    """Twenty conditions. One matrix of all pairs of two of them would be a thousand columns and more."""
    random = np.random.default_rng(9)
    losses = random.geometric(0.02, count) * 1e-3 if draw == "few minima" else random.exponential(size=count)
    table = pd.DataFrame({"init": np.arange(count) % 5, "depth": np.arange(count) // 5 % 4, "loss": losses})
    table = table.assign(status="arrived")
    column = 8 * count  # bytes
    tracemalloc.start()
    try:
        pairs = differences(table, ["init", "depth"])
        rows = levels(table, "init", ["depth"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{count:,} restarts: {peak / column:.1f} columns")
    assert (len(pairs), len(rows)) == (190, 4)
    assert peak < 25 * column
