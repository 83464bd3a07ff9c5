"""Expected running times against closed forms, plain sums and simulated runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from basinet.analysis.running_time import hit_shares, running_time, speedups
from basinet.foundation.errors import ConfigError


def simulated(runs: int, share: float, cost: float, budget: float, seed: int, **settings: Any) -> pd.DataFrame:
    """Runs of independent descents of one cost, each of which comes to minimum 0 with probability `share`."""
    generator = np.random.default_rng(seed)
    rounds = math.ceil(budget / cost)
    minimum = (generator.random((runs, rounds)) >= share).astype(int)
    frame = {
        "restart": np.repeat(np.arange(runs), rounds),
        "gradients": np.tile(cost * np.arange(1, rounds + 1), runs),
        "loss": minimum.reshape(-1).astype(float),
        "minimum": minimum.reshape(-1),
        "spent": cost * rounds,
    }
    return pd.DataFrame({**frame, "escape": "restart", **settings})


def test_the_time_of_independent_restarts_is_their_cost_over_the_share_of_the_basin() -> None:
    table = running_time(simulated(4000, 0.05, 7.0, 150.0, 0), "escape").iloc[0]
    assert table["ert_low"] < 7.0 / 0.05 < table["ert_high"]
    assert table["ert"] == pytest.approx(7.0 / 0.05, rel=0.06)


def test_it_is_what_all_runs_spent_until_they_were_there_over_how_many_were() -> None:
    visits = simulated(60, 0.1, 3.0, 20.0, 1)
    spent, hits = 0.0, 0
    for _, run in visits.groupby("restart"):
        there = run[run["loss"] == 0]
        spent += there["gradients"].iloc[0] if len(there) else run["spent"].iloc[0]
        hits += int(len(there) > 0)
    table = running_time(visits, ["escape"]).iloc[0]
    assert (table["runs"], table["successes"], table["target"]) == (60, hits, 0.0)
    assert table["ert"] == pytest.approx(spent / hits, rel=1e-12)
    assert table["success_share"] == hits / 60


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(300):
        table = running_time(simulated(100, 0.1, 1.0, 10.0, seed), "escape").iloc[0]
        held += table["ert_low"] <= 10.0 <= table["ert_high"]
    assert 0.90 <= held / 300 <= 0.99


def test_where_no_run_was_there_the_time_is_infinite_and_its_bound_is_that_of_the_largest_compatible_share() -> None:
    table = running_time(simulated(50, 0.5, 1.0, 8.0, 2), "escape", target=-1.0).iloc[0]
    assert table["ert"] == table["ert_high"] == math.inf
    share = 1 - 0.05 ** (1 / 50)  # of which 50 runs all fail once in 20 times
    assert (1 - share) ** 50 == pytest.approx(0.05)
    assert table["ert_low"] == pytest.approx(8.0 / share)


def test_a_bottom_that_is_not_certified_reaches_no_target() -> None:
    visits = pd.DataFrame(
        {
            "escape": "a",
            "restart": [0, 0],
            "gradients": [1.0, 2.0],
            "loss": [-5.0, 1.0],
            "minimum": [-1, 0],
            "spent": 2.0,
        }
    )
    assert running_time(visits, "escape").iloc[0][["ert", "target"]].tolist() == [2.0, 1.0]
    assert running_time(visits, "escape", target=0.0)["successes"].tolist() == [0]


def test_the_best_minimum_is_that_of_the_objective_and_not_of_the_method() -> None:
    good = simulated(20, 0.5, 1.0, 5.0, 3, **{"network.depth": 2})
    bad = simulated(20, 0.0, 1.0, 5.0, 4, **{"network.depth": 2}).assign(escape="hopping")
    other = simulated(20, 0.5, 1.0, 5.0, 5, **{"network.depth": 3}).assign(loss=lambda frame: frame["loss"] - 9)
    by = ["network.depth", "escape"]
    table = running_time(pd.concat([good, bad, other]), by).set_index(by)
    assert table["target"].to_dict() == {(2, "hopping"): 0.0, (2, "restart"): 0.0, (3, "restart"): -9.0}
    assert table.loc[(2, "hopping"), "successes"] == 0


def test_the_curve_says_which_share_of_the_runs_was_there_by_then() -> None:
    visits = simulated(40, 0.2, 2.0, 12.0, 6)
    curve = hit_shares(visits, "escape")
    first = visits[visits["loss"] == 0].groupby("restart")["gradients"].min()
    for gradients, share in zip(curve["gradients"], curve["share"], strict=True):
        assert share == (first <= gradients).sum() / 40
    assert curve["gradients"].iloc[[0, -1]].tolist() == [0.0, 12.0]
    assert (curve["share_low"] <= curve["share"]).all()
    assert (curve["share"] <= curve["share_high"]).all()


def test_a_method_that_takes_half_of_what_restarts_take_is_twice_as_fast_and_the_interval_says_so() -> None:
    slow = simulated(500, 0.2, 2.0, 100.0, 7)
    fast = slow.assign(escape="fast", gradients=slow["gradients"] / 2, spent=slow["spent"] / 2)
    table = speedups(pd.concat([slow, fast])).iloc[0]
    assert table["escape"] == "fast"
    # Paired: every resample has the same runs, so that the ratio is 2 in each of them.
    assert [table["ratio"], table["ratio_low"], table["ratio_high"]] == pytest.approx([2, 2, 2], rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_of_two_methods_that_never_arrive_neither_is_said_to_be_faster() -> None:
    there = simulated(50, 0.0, 10.0, 200.0, 6).assign(minimum=-1)
    table = speedups(pd.concat([there, there.assign(escape="other")])).iloc[0]
    assert table[["ratio", "ratio_low", "ratio_high"]].isna().all()


def test_columns_that_are_not_there_and_no_confidence_are_said_in_one_line() -> None:
    visits = simulated(2, 0.5, 1.0, 2.0, 8)
    with pytest.raises(ConfigError, match=r"^unknown column of the visits 'escap': did you mean 'escape'\?$"):
        running_time(visits, "escap")
    with pytest.raises(ConfigError, match=r"^confidence=2: must be between 0 and 1$"):
        running_time(visits, "escape", confidence=2)


def test_the_best_is_asked_for_by_name_and_another_name_is_refused() -> None:
    visits = simulated(40, 0.2, 3.0, 20.0, 5)
    pd.testing.assert_frame_equal(running_time(visits, "escape", target="best"), running_time(visits, "escape"))
    for wrong in ("worst", math.nan):
        with pytest.raises(ConfigError, match=rf'^target={wrong!r}: must be a finite loss, "best" or None$'):
            running_time(visits, "escape", target=wrong)  # type: ignore[arg-type]
