from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from basinet.analysis.spread import median_interval, spread
from basinet.foundation.outcomes import ENDS

QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}


@pytest.fixture
def restarts() -> pd.DataFrame:
    """Two inits × two depths, of 40 restarts each, some of them diverged."""
    random = np.random.default_rng(0)
    count = 160
    frame = pd.DataFrame(
        {
            "init": pd.Categorical(np.repeat(["b", "a"], 80)),
            "network.depth": np.tile(np.repeat([10, 2], 40), 2),
            "loss": random.exponential(size=count),
            "status": pd.Categorical(random.choice(["arrived", "budget", "diverged"], count, p=[0.5, 0.3, 0.2])),
            "kind": pd.Categorical(random.choice([*ENDS, "diverged"], count)),
            "minimum": random.integers(0, 4, count),
        }
    )
    frame.loc[frame["status"] == "diverged", "loss"] = np.nan
    return frame


def test_quantiles_are_those_of_plain_pandas_over_what_has_not_diverged(restarts: pd.DataFrame) -> None:
    table = spread(restarts, ["init", "network.depth"])
    assert list(zip(table["init"], table["network.depth"], strict=True)) == [("a", 2), ("a", 10), ("b", 2), ("b", 10)]
    for _, row in table.iterrows():
        mine = (restarts["init"] == row["init"]) & (restarts["network.depth"] == row["network.depth"])
        losses = restarts.loc[mine, "loss"].dropna()
        assert row["restarts"] == 40
        for name, share in QUANTILES.items():
            assert row[f"loss_{name}"] == losses.quantile(share)
        assert row["loss_iqr"] == losses.quantile(0.75) - losses.quantile(0.25)


def test_shares_are_of_all_restarts_and_their_intervals_are_wilsons(restarts: pd.DataFrame) -> None:
    """(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96 (Wilson, 1927)."""
    (row,) = spread(restarts.assign(all="x"), ["all"]).to_dict("records")
    n, z = len(restarts), 1.959963984540054
    for column, names in (("status", ["arrived", "diverged"]), ("kind", list(ENDS))):
        for name in names:
            p = (restarts[column] == name).sum() / n
            middle = (p + z * z / (2 * n)) / (1 + z * z / n)
            half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
            assert row[f"share_{name}"] == p
            assert row[f"share_{name}_low"] == pytest.approx(middle - half, abs=1e-12)
            assert row[f"share_{name}_high"] == pytest.approx(middle + half, abs=1e-12)


def test_minima_are_counted_among_restarts_that_reached_one(restarts: pd.DataFrame) -> None:
    (row,) = spread(restarts.assign(all="x"), ["all"]).to_dict("records")
    reached = restarts[restarts["kind"] == "minimum"]
    assert row["minima"] == len(set(reached["minimum"]))
    lowest = reached.sort_values("loss").iloc[0]["minimum"]
    best = (reached["minimum"] == lowest).sum() / len(restarts)
    assert row["share_best"] == best
    assert row["restarts_needed"] == pytest.approx(math.log(0.05) / math.log(1 - best), abs=1)


def test_the_best_of_ten_is_the_mean_over_all_tens() -> None:
    losses = np.array([5.0, 1.0, 2.0, 8.0, 3.0, 3.0, 9.0, 4.0, 7.0, 6.0, 1.5, 2.5])
    frame = pd.DataFrame({"c": 0, "loss": losses, "status": "arrived", "kind": "minimum", "minimum": 0})
    expected = np.mean([min(ten) for ten in itertools.combinations(losses, 10)])
    assert spread(frame, ["c"])["best_of_10"].item() == pytest.approx(expected, rel=1e-12)


def test_a_restart_that_has_diverged_is_the_worst_of_ten_and_not_left_out() -> None:
    """Nine lost ones are never alone among ten; ten may be, and of sixty, most draws are lost."""
    losses = [4.0, 1.0, 2.0]
    for lost in (9, 10, 60):
        frame = pd.DataFrame({"c": 0, "loss": [*losses, *[0.1] * lost], "kind": "minimum", "minimum": 0})
        frame["status"] = ["arrived"] * 3 + ["diverged"] * lost
        (row,) = spread(frame, ["c"]).to_dict("records")
        tens = [min(ten) for ten in itertools.combinations([*losses, *[math.inf] * lost], 10)] if lost < 11 else []
        if lost < 11:
            assert row["best_of_10"] == pytest.approx(np.mean(tens), rel=1e-12)
            assert row["best_of_10_median"] == np.quantile(tens, 0.5, method="inverted_cdf")
        assert np.isinf(row["best_of_10"]) == (lost >= 10)
        assert np.isfinite(row["best_of_10_median"]) == (lost <= 10)
        assert np.isnan([row["best_of_100"], row["best_of_100_median"]]).all()


def test_where_all_have_diverged_there_are_no_losses_and_the_share_is_one() -> None:
    frame = pd.DataFrame({"c": 0, "loss": [np.nan, np.inf], "status": "diverged", "kind": "diverged", "minimum": -1})
    (row,) = spread(frame, ["c"]).to_dict("records")
    assert np.isnan([row["loss_min"], row["loss_median"], row["loss_iqr"], row["median_low"]]).all()
    assert (row["restarts"], row["share_diverged"], row["share_arrived"], row["minima"]) == (2, 1.0, 0.0, 0)


def test_a_setting_that_some_conditions_do_not_have_makes_a_row_of_its_own(restarts: pd.DataFrame) -> None:
    frame = restarts.assign(gain=np.where(restarts["init"] == "a", np.nan, 2.0))
    table = spread(frame, ["gain"])
    assert table["restarts"].tolist() == [80, 80]
    assert table["gain"].isna().tolist() == [False, True]


def test_the_rows_do_not_depend_on_the_order_of_the_restarts(restarts: pd.DataFrame) -> None:
    by = ["init", "network.depth"]
    pd.testing.assert_frame_equal(spread(restarts, by), spread(restarts.sample(frac=1, random_state=1), by))


# --- Steps to arrival ----------------------------------------------------------------------------------------------


def test_steps_are_those_of_the_restarts_that_arrived(restarts: pd.DataFrame) -> None:
    frame = restarts.assign(steps=np.arange(len(restarts)) * 10)
    table = spread(frame, ["init"]).set_index("init")
    expected = frame[frame["status"] == "arrived"].groupby("init", observed=True)["steps"]
    for name, share in {"q25": 0.25, "median": 0.5, "q75": 0.75}.items():
        assert table[f"steps_{name}"].to_dict() == expected.quantile(share).to_dict()


def test_where_none_arrived_or_steps_were_not_kept_there_are_no_steps(restarts: pd.DataFrame) -> None:
    late = restarts.assign(steps=10, status="budget")
    assert spread(late, ["init"])[["steps_q25", "steps_median", "steps_q75"]].isna().all(axis=None)
    assert not any(name.startswith("steps") for name in spread(restarts, ["init"]))


# --- The best known minimum ----------------------------------------------------------------------------------------


def swept(rows: list[tuple[str, int, float, str, int]]) -> pd.DataFrame:
    """Restarts with `init network.depth loss kind sweep_minimum`."""
    frame = pd.DataFrame(rows, columns=["init", "network.depth", "loss", "kind", "sweep_minimum"])
    return frame.assign(minimum=frame["sweep_minimum"], status="arrived")


def best_known(frame: pd.DataFrame, by: list[str]) -> list[float]:
    return spread(frame, by)["share_best_known"].tolist()


def test_the_best_known_minimum_is_the_best_of_all_conditions_of_one_objective() -> None:
    frame = swept(
        [
            *[("a", 2, 0.1, "minimum", 0), ("a", 2, 0.1, "minimum", 0), ("a", 2, 0.2, "minimum", 1)],
            *[("b", 2, 0.2, "minimum", 1), ("b", 2, 0.2, "minimum", 1)],
            *[("c", 2, 0.1, "minimum", 0), ("c", 2, 0.01, "saddle", -1), ("c", 2, 0.3, "unfinished", -1)],
            *[("a", 4, 0.5, "minimum", 2), ("a", 4, 0.6, "minimum", 3)],
            *[("b", 4, 0.4, "degenerate", 4), ("b", 4, 0.5, "minimum", 2)],
        ]
    )
    table = spread(frame, ["network.depth", "init"])
    assert table["share_best_known"].tolist() == [2 / 3, 0, 1 / 3, 1 / 2, 1 / 2]
    expected = [
        stats.binomtest(k, n).proportion_ci(method="wilson") for k, n in [(2, 3), (0, 2), (1, 3), (1, 2), (1, 2)]
    ]
    assert table["share_best_known_low"].tolist() == pytest.approx([interval.low for interval in expected])
    assert table["share_best_known_high"].tolist() == pytest.approx([interval.high for interval in expected])
    # Without a column that says so, all restarts minimise one function.
    assert best_known(frame.rename(columns={"network.depth": "n"}), ["n", "init"]) == [2 / 3, 0, 1 / 3, 0, 0]


@pytest.mark.parametrize("column", ["problem", "problem.teacher_width", "network.width", "objective.l2_weights"])
def test_losses_of_different_objectives_are_not_compared(column: str) -> None:
    frame = swept([("a", 2, 0.1, "minimum", 0), ("b", 2, 0.2, "minimum", 1)])
    assert best_known(frame, ["init"]) == [1, 0]
    assert best_known(frame.assign(**{column: [1.0, np.nan]}), ["init"]) == [1, 1]
    assert best_known(frame.assign(**{"init.std": [1.0, 2.0]}), ["init"]) == [1, 0]


def test_minima_with_the_same_loss_are_the_best_together() -> None:
    """Of the two that exchanging XOR's inputs relates, rounding decides which one is the lowest."""
    twins = [0.07288045704347909, 0.07288045704347908]
    frame = swept(
        [("a", 2, twins[0], "minimum", 0), ("a", 2, twins[1], "minimum", 1), ("b", 2, twins[0], "minimum", 0)]
    )
    assert best_known(frame, ["init"]) == [1, 1]
    assert spread(frame, ["init"])["share_best"].tolist() == [1, 1]


def test_another_minimum_that_is_nearly_as_low_is_not_the_best() -> None:
    frame = swept([("a", 2, 0.1, "minimum", 0), ("a", 2, 0.1 + 1e-8, "minimum", 0), ("a", 2, 0.1 + 2e-8, "minimum", 1)])
    assert best_known(frame, ["init"]) == [2 / 3]


def test_ids_of_other_sweeps_or_of_none_do_not_mislead() -> None:
    """Every sweep counts its minima from 0; before it has ended there are no ids, and losses must do."""
    frame = swept([("a", 2, 0.1, "minimum", 0), ("a", 2, 0.2, "minimum", 1), ("b", 2, 0.2, "minimum", 0)])
    assert best_known(frame, ["init"]) == [1 / 2, 0]
    assert best_known(frame.assign(sweep_minimum=-1), ["init"]) == [1 / 2, 0]
    assert best_known(frame.drop(columns="sweep_minimum"), ["init"]) == [1 / 2, 0]


def test_where_no_minimum_is_known_no_share_is() -> None:
    frame = swept([("a", 2, 0.1, "saddle", -1), ("a", 2, np.nan, "diverged", -1), ("a", 4, 0.2, "minimum", 0)])
    table = spread(frame, ["network.depth"]).filter(like="share_best_known")
    assert table.iloc[0].isna().all()
    assert table.iloc[1].notna().all()


# --- What is left of little ----------------------------------------------------------------------------------------


def test_of_no_restarts_there_are_the_columns(restarts: pd.DataFrame) -> None:
    table = spread(restarts.iloc[:0], ["init", "network.depth"])
    assert len(table) == 0
    assert list(table) == list(spread(restarts, ["init", "network.depth"]))


def test_one_restart_is_all_its_quantiles() -> None:
    frame = swept([("a", 2, 0.1, "minimum", 0)]).assign(steps=70)
    (row,) = spread(frame, ["init"]).to_dict("records")
    assert {row[f"loss_{name}"] for name in QUANTILES} == {0.1}
    assert (row["loss_iqr"], row["steps_median"], row["minima"], row["share_best_known"]) == (0, 70, 1, 1)
    assert np.isnan([row["best_of_10"], row["minima_of_10"]]).all()


# --- Intervals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trials", [300, pytest.param(10_000, marks=pytest.mark.stress)])
@pytest.mark.parametrize(("rate", "count"), [(0.3, 50), (0.02, 200)])
def test_wilsons_interval_of_a_share_covers_it_as_often_as_it_says(rate: float, count: int, trials: int) -> None:
    """Shares are counts, so an interval covers a little more or less than 95 %: 2 % are granted for that."""
    random = np.random.default_rng(2)
    kinds = np.where(random.random(trials * count) < rate, "minimum", "saddle")
    frame = pd.DataFrame({"trial": np.repeat(np.arange(trials), count), "kind": pd.Categorical(kinds)})
    table = spread(frame.assign(loss=0.1, status="arrived", minimum=np.where(kinds == "minimum", 0, -1)), ["trial"])
    for name in ("share_minimum", "share_best_known"):  # all minima are the best one here
        covered = ((table[f"{name}_low"] <= rate) & (rate <= table[f"{name}_high"])).mean()
        print(f"{name}: {covered:.4f} of {trials}")
        assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / trials) + 0.02)


def exact_rank(n: int) -> int:
    """The largest k with P(Binomial(n, ½) < k) ≤ 2.5 %, in fractions."""
    below, k = Fraction(0), 0
    while below + Fraction(math.comb(n, k), 2**n) <= Fraction(25, 1000):
        below += Fraction(math.comb(n, k), 2**n)
        k += 1
    return k


@pytest.mark.parametrize("n", [*range(6, 60), 99, 100, 101, 500])
def test_the_interval_of_the_median_ends_at_the_right_ranks(n: int) -> None:
    k = exact_rank(n)
    assert median_interval(np.arange(1.0, n + 1)) == (k, n + 1 - k)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    """Of n = 25 exponentials, whose median is ln 2: 1 - 2 P(B < 8) = 95.67 %, ± 3 standard errors of 4,000 trials."""
    random = np.random.default_rng(0)
    samples = np.sort(random.exponential(size=(4000, 25)), axis=1)
    covered = np.mean([low <= math.log(2) <= high for low, high in map(median_interval, samples)])
    expected = 1 - 2 * sum(math.comb(25, i) for i in range(8)) / 2**25
    assert expected == pytest.approx(0.9567, abs=1e-4)
    assert covered == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / 4000))


@pytest.mark.parametrize("n", range(1, 6))
def test_of_fewer_than_six_values_the_interval_is_all_of_them(n: int) -> None:
    assert median_interval(np.arange(1.0, n + 1)) == (1, n)


def test_of_no_values_there_is_no_interval() -> None:
    assert np.isnan(median_interval(np.array([]))).all()


def test_orbits_of_minima_are_counted_where_they_were_kept(restarts: pd.DataFrame) -> None:
    assert "orbits" not in spread(restarts, ["init"])
    minimum = restarts["minimum"].where(restarts["kind"] == "minimum", -1)
    kept = restarts.assign(minimum=minimum, orbit=minimum // 2)  # -1 for none, and of 0 to 3 two each
    table = spread(kept.assign(orbit=kept["orbit"].where(kept["init"] == "a")), ["init"]).set_index("init")
    reached = kept[(kept["init"] == "a") & (kept["kind"] == "minimum")]
    assert table.loc["a", "orbits"] == len(set(reached["orbit"])) == 2
    assert table.loc["a", "minima"] == 4
    assert np.isnan(table.loc["b", "orbits"])
