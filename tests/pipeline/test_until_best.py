"""Runs whose tables end at the best bottom of all, against a loop written out."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from basinet.analysis.running_time import running_time
from basinet.foundation.errors import ConfigError
from basinet.pipeline.run import run
from basinet.study.study import Study

CAMEL = {
    "objective": {"name": "test_function", "function": "camel"},
    "init": "uniform",
    "engine": "torch",
    "descent": {"learning_rate": 0.01, "steps": 200, "tolerance": 1e-5},
}


def study(target: Any, restarts: int = 8) -> Study:
    escape = {"name": "basin_hopping", "budget": 900, "target": target}
    return Study.from_config({**CAMEL, "restarts": restarts, "escape": escape})


def test_tables_of_target_best_are_those_of_whole_runs_up_to_the_first_visit_of_the_lowest_minimum() -> None:
    whole, cut = run(study(None)), run(study("best"))
    assert whole.visits is not None
    assert cut.visits is not None
    lowest = min(row.loss for row in whole.visits.itertuples() if row.minimum >= 0)
    expected, spent, rounds = [], {}, {}
    for row in whole.visits.itertuples():
        if row.restart in spent:
            continue
        expected.append((row.restart, row.round, row.gradients, row.loss))
        if row.minimum >= 0 and row.loss <= lowest + 1e-6:
            spent[row.restart], rounds[row.restart] = row.gradients, row.round + 1
    assert len(spent) >= 2
    assert len(expected) < len(whole.visits)
    assert list(zip(*(cut.visits[name] for name in ("restart", "round", "gradients", "loss")), strict=True)) == expected
    for before, row in zip(whole.restarts.itertuples(), cut.restarts.itertuples(), strict=True):
        assert row.spent == spent.get(row.restart, before.spent)
        assert row.rounds == rounds.get(row.restart, before.rounds)
    assert (cut.visits["spent"] == cut.visits["restart"].map(cut.restarts.set_index("restart")["spent"])).all()
    pd.testing.assert_frame_equal(cut.minima, whole.minima)


def test_the_running_time_to_the_best_is_the_same_whether_tables_end_there_or_not() -> None:
    tables = [running_time(run(study(target)).visits.assign(escape="hop"), "escape") for target in (None, "best")]  # type: ignore[union-attr]
    pd.testing.assert_frame_equal(*tables)


def test_a_target_that_is_no_loss_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^escape\.target=worst: must be a number or best$"):
        study("worst")
    with pytest.raises(ConfigError, match=r"^escape\.target=inf: must be a finite loss, best or null$"):
        study("inf")
