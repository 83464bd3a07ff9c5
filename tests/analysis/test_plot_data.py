from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from basinet.analysis import plot_data
from basinet.foundation.errors import ConfigError


@pytest.fixture
def restarts() -> pd.DataFrame:
    """Two inits × two depths, 45 restarts each, some of them diverged; losses repeat."""
    random = np.random.default_rng(0)
    count = 180
    frame = pd.DataFrame(
        {
            "restart": np.tile(np.arange(45), 4),
            "run_id": np.repeat(["p", "q", "r", "s"], 45),
            "init": pd.Categorical(np.repeat(["b", "a"], 90)),
            "network.depth": np.tile(np.repeat([10, 2], 45), 2),
            "loss": random.integers(1, 20, count) / 4,
            "status": pd.Categorical(random.choice(["arrived", "budget", "diverged"], count, p=[0.5, 0.3, 0.2])),
            "kind": pd.Categorical(random.choice(["minimum", "saddle", "unfinished"], count)),
            "minimum": random.choice([-1, 0, 1, 2, 3], count, p=[0.3, 0.3, 0.2, 0.15, 0.05]),
        }
    )
    frame.loc[frame["status"] == "diverged", "loss"] = np.nan
    return frame


@pytest.fixture
def curves() -> pd.DataFrame:
    """Four records of the first 30 restarts of every condition; the third restart is not seen to the end."""
    random = np.random.default_rng(1)
    addresses = itertools.product("pqrs", range(30), [0, 1, 10, 100])
    frame = pd.DataFrame(addresses, columns=["run_id", "restart", "step"])
    frame["loss"] = random.exponential(size=len(frame)).astype(np.float32)
    return frame[(frame["restart"] != 2) | (frame["step"] < 10)].reset_index(drop=True)


def minima(counts: list[int], kind: str = "minimum") -> pd.DataFrame:
    frame = pd.DataFrame({"minimum": range(len(counts)), "kind": kind, "count": counts, "loss": 0.5})
    return frame.assign(share=0.1, share_low=0.05, share_high=0.2)


def test_the_levels_of_a_setting_are_in_order_numbers_before_names_and_what_is_missing_last() -> None:
    labels, positions = plot_data.positions(pd.Series([10, "b", None, 2.5, "a", 2], dtype=object))
    assert labels == ["2", "2.5", "10", "a", "b", "-"]
    assert positions.tolist() == [2, 4, 5, 1, 3, 0]


def test_medians_are_those_of_plain_pandas_and_the_interval_is_between_order_statistics(
    restarts: pd.DataFrame,
) -> None:
    table = plot_data.medians(restarts, ["init", "network.depth"])
    assert list(zip(table["init"], table["network.depth"], strict=True)) == [("a", 2), ("a", 10), ("b", 2), ("b", 10)]
    for _, row in table.iterrows():
        mine = restarts[(restarts["init"] == row["init"]) & (restarts["network.depth"] == row["network.depth"])]
        losses = mine["loss"].dropna().sort_values().tolist()
        assert (row["restarts"], row["diverged"]) == (45, 45 - len(losses))
        assert (row["q25"], row["median"], row["q75"]) == tuple(np.percentile(losses, [25, 50, 75]))
        # the largest k with P(fewer than k of n coins show heads) ≤ 2.5 %
        n = len(losses)
        below = [Fraction(sum(math.comb(n, i) for i in range(k)), 2**n) for k in range(n)]
        k = max(k for k in range(1, n) if below[k] <= Fraction(25, 1000))
        assert (row["median_low"], row["median_high"]) == (losses[k - 1], losses[n - k])


def test_a_waterfall_has_every_restart_that_has_not_diverged_in_the_order_of_its_loss(restarts: pd.DataFrame) -> None:
    table = plot_data.waterfall(restarts)
    expected = restarts[restarts["status"] != "diverged"]
    assert table["rank"].tolist() == list(range(1, len(expected) + 1))
    assert table["loss"].is_monotonic_increasing
    rows = ["run_id", "restart", "loss"]
    assert set(table[rows].itertuples(index=False)) == set(expected[rows].itertuples(index=False))


def test_a_distribution_is_the_share_of_all_restarts_that_ended_at_or_below_each_loss(restarts: pd.DataFrame) -> None:
    table = plot_data.distribution(restarts, ["init"])
    for init, group in table.groupby("init", observed=True):
        mine = restarts[restarts["init"] == init]
        assert group["loss"].tolist() == sorted(mine["loss"].dropna().unique())
        for loss, share in zip(group["loss"], group["share"], strict=True):
            assert share == sum(1 for value in mine["loss"] if value <= loss) / 90
        assert set(group["restarts"]) == {90}


def test_the_band_of_a_distribution_is_1_358_over_the_root_of_n_wide_to_either_side() -> None:
    """Smirnov's asymptotic 95 % point of √n sup|F_n - F| is 1.358, to four digits √(ln(2 / 0.05) / 2)."""
    table = plot_data.distribution(pd.DataFrame({"loss": np.arange(1, 401.0), "status": "arrived"}), [])
    inside = table[(table["share"] > 0.1) & (table["share"] < 0.9)]
    np.testing.assert_allclose(inside["share_high"] - inside["share"], 1.358 / 20, rtol=5e-4)
    np.testing.assert_allclose(inside["share"] - inside["share_low"], 1.358 / 20, rtol=5e-4)
    assert (table["share_low"].min(), table["share_high"].max()) == (0, 1)


def test_the_band_holds_the_whole_true_distribution_in_95_of_100_samples() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        table = plot_data.distribution(pd.DataFrame({"loss": random.uniform(size=50), "status": "arrived"}), [])
        before = np.concatenate([[0.0], table["share_high"].to_numpy()[:-1]])
        before[0] = math.sqrt(math.log(40) / 100)  # left of the first loss
        held += bool(((table["share_low"] <= table["loss"]) & (table["loss"] <= before)).all())
    assert held / 400 > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)


def test_fans_have_the_quantiles_of_the_restarts_that_end_alike(curves: pd.DataFrame, restarts: pd.DataFrame) -> None:
    table = plot_data.fans(curves, restarts, "kind")
    assert len(table) == 3 * 4
    kinds = {(row.run_id, row.restart): row.kind for row in restarts.itertuples()}
    for row in table.itertuples():
        losses = [
            curve.loss
            for curve in curves.itertuples()
            if curve.step == row.step and kinds[curve.run_id, curve.restart] == row.kind
        ]
        assert row.restarts == len(losses)
        expected = np.percentile(np.array(losses, np.float64), [5, 25, 50, 75, 95])
        np.testing.assert_allclose([row.q05, row.q25, row.median, row.q75, row.q95], expected, rtol=1e-12)


def test_beyond_the_commonest_ends_are_pooled_and_those_that_reached_none_stay_apart(
    curves: pd.DataFrame, restarts: pd.DataFrame
) -> None:
    table = plot_data.fans(curves, restarts, "minimum", most=2)
    assert set(table["minimum"]) == {0, 1, -1, plot_data.OTHERS}
    first = table[table["step"] == 0].set_index("minimum")["restarts"]
    seen = restarts[restarts["restart"] < 30]["minimum"].value_counts()
    assert first.to_dict() == {0: seen[0], 1: seen[1], -1: seen[-1], plot_data.OTHERS: seen[2] + seen[3]}


def test_the_commonest_come_first_and_of_equals_the_smaller() -> None:
    frame = pd.DataFrame(
        {"minimum": [3, 3, 1, 1, 7, -1, -1, -1], "init": pd.Categorical(list("bbaabcca"), list("xcba"))}
    )
    assert plot_data.commonest(frame, "minimum", 5) == [1, 3, 7]
    assert plot_data.commonest(frame, "minimum", 2) == [1, 3]
    assert plot_data.commonest(frame, "init", 5) == ["a", "b", "c"]  # x does not occur


def test_trajectories_are_the_curves_of_the_first_restarts_of_the_commonest_bottoms(
    curves: pd.DataFrame, restarts: pd.DataFrame
) -> None:
    mine, its = restarts[restarts["run_id"] == "p"], curves[curves["run_id"] == "p"].drop(columns="run_id")
    table = plot_data.trajectories(its, mine, per_minimum=3, most=2)
    counts = mine.loc[mine["minimum"] >= 0, "minimum"].value_counts()
    chosen = sorted(sorted(counts.index, key=lambda minimum: (-counts[minimum], minimum))[:2])
    assert table["minimum"].unique().tolist() == chosen
    for minimum, group in table.groupby("minimum"):
        ended = mine[mine["minimum"] == minimum]
        assert group["restart"].unique().tolist() == [r for r in sorted(ended["restart"]) if r < 30][:3]
        assert set(group["restarts"]) == {len(ended)}
        assert set(group["loss_final"]) == {ended["loss"].min()}
        for restart, curve in group.groupby("restart"):
            expected = its[its["restart"] == restart]
            assert curve["step"].tolist() == expected["step"].tolist()
            assert curve["loss"].tolist() == expected["loss"].tolist()


def test_bottoms_are_ranked_by_their_restarts_in_each_condition() -> None:
    both = pd.concat([minima([3, 9, 3]).assign(init="a"), minima([1, 2]).assign(init="b")], ignore_index=True)
    table = plot_data.rank_abundance(both, ["init"])
    assert table[["init", "rank", "minimum", "count"]].to_numpy().tolist() == [
        ["a", 1, 1, 9],
        ["a", 2, 0, 3],
        ["a", 3, 2, 3],
        ["b", 1, 1, 2],
        ["b", 2, 0, 1],
    ]
    assert plot_data.rank_abundance(minima([3, 9, 3]))["rank"].tolist() == [1, 2, 3]
    assert len(plot_data.rank_abundance(minima([]))) == 0


def test_rarefaction_is_the_mean_number_of_minima_over_all_parts_of_the_restarts() -> None:
    counts = [4, 2, 1, 1]
    ends = [minimum for minimum, count in enumerate(counts) for _ in range(count)]
    table = plot_data.rarefaction(minima(counts))
    inside = table[~table["extrapolated"]]
    assert inside["restarts"].tolist() == list(range(1, 9))
    for n, expected in zip(inside["restarts"], inside["minima"], strict=True):
        parts = [len(set(part)) for part in itertools.combinations(ends, n)]
        assert expected == pytest.approx(sum(parts) / len(parts), rel=1e-12)


def test_beyond_the_restarts_the_curve_follows_the_singletons_towards_chao1() -> None:
    """w = 9, f₁ = f₂ = 3, so f₀ = 3 · 2 / (2 · 4) = ¾; each further restart finds f₁ / (N f₀ + f₁) of what is left."""
    table = plot_data.rarefaction(minima([1, 1, 4, 2, 5, 2, 4, 1, 2]), points=200)
    beyond = table[table["extrapolated"]]
    assert beyond["restarts"].tolist() == list(range(23, 45))
    left, share = Fraction(3, 4), Fraction(3) / (22 * Fraction(3, 4) + 3)
    for expected in beyond["minima"]:
        left *= 1 - share
        assert expected == pytest.approx(float(Fraction(39, 4) - left), rel=1e-12)


def test_only_bottoms_of_the_kind_minimum_count() -> None:
    mixed = pd.concat([minima([5, 3]), minima([40, 1, 1], "at_infinity")], ignore_index=True)
    pd.testing.assert_frame_equal(plot_data.rarefaction(mixed), plot_data.rarefaction(minima([5, 3])))
    assert plot_data.unseen(mixed).iloc[0][["restarts", "minima"]].tolist() == [8, 2]
    assert (
        len(plot_data.rarefaction(minima([4], "degenerate"))) == len(plot_data.unseen(minima([4], "degenerate"))) == 0
    )


def test_what_is_unseen_is_said_by_good_and_turing_and_by_chao() -> None:
    (row,) = plot_data.unseen(minima([1, 1, 4, 2, 5, 2, 4, 1, 2])).to_dict("records")
    assert row["coverage"] == pytest.approx(1 - 3 / 22)
    assert row["share_minimum"] == pytest.approx(0.9)  # a tenth each, in the example
    assert row["minima_chao1"] == 9.75
    assert row["coverage_low"] < row["coverage"] < row["coverage_high"]
    assert 9 <= row["minima_low"] <= row["minima_chao1"]


def test_a_heat_map_has_each_condition_at_its_place() -> None:
    keys = list(itertools.product(["b", "a"], ["sgd", "adam"], [10, 2]))[:-1]
    table = pd.DataFrame(keys, columns=["init", "descent", "depth"]).assign(minima=np.arange(7.0))
    frame = plot_data.heat(table, ["init", "descent"], "depth", "minima")
    assert frame.index.tolist() == ["a, adam", "a, sgd", "b, adam", "b, sgd"]
    assert frame.columns.tolist() == ["2", "10"]
    for init, descent, depth in keys:
        expected = table.set_index(["init", "descent", "depth"]).loc[(init, descent, depth), "minima"]
        assert frame.loc[f"{init}, {descent}", str(depth)] == expected
    assert np.isnan(frame.loc["a, adam", "2"])


def test_a_heat_map_refuses_to_put_two_conditions_in_one_place() -> None:
    table = pd.DataFrame({"init": ["a", "a"], "depth": [2, 2], "seed": [0, 1], "minima": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="conditions differ in more than init, depth"):
        plot_data.heat(table, ["init"], "depth", "minima")
    assert plot_data.heat(table, ["seed"], "depth", "minima").shape == (2, 1)


def test_sharpness_has_the_rows_whose_loss_and_spectrum_are_known() -> None:
    frame = minima([2, 2, 2, 2]).assign(lambda_max=[1, np.nan, np.nan, 4], trace=[2, 3, np.nan, 5])
    table = plot_data.sharpness(frame.assign(loss=[0.1, 0.2, 0.3, np.nan]))
    assert table[["minimum", "count"]].to_numpy().tolist() == [[0, 2], [1, 2]]


def test_of_restarts_the_trace_is_not_known_and_each_counts_once() -> None:
    table = plot_data.sharpness(pd.DataFrame({"loss": [1.0, 2.0], "lambda_max": [3.0, np.nan]}))
    assert table.drop(columns="trace").to_numpy().tolist() == [[1, 3, 1]]
    assert table["trace"].isna().all()


@pytest.mark.parametrize("rows", [0, 1])
def test_tables_without_rows_give_frames_without_rows(rows: int, restarts: pd.DataFrame, curves: pd.DataFrame) -> None:
    some = restarts[restarts["status"] == "arrived"].iloc[:rows]
    frames = [
        plot_data.medians(some, ["init"]),
        plot_data.waterfall(some),
        plot_data.distribution(some, ["init"]),
        plot_data.distribution(some, []),
        plot_data.fans(curves, some, "kind"),
        plot_data.trajectories(curves, some.assign(minimum=0)),
    ]
    assert all((len(frame) > 0) == (rows > 0) for frame in frames)
