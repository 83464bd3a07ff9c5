"""What is asked of a sweep over losses with samples and the loss without them: tables, report, replay, verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import basinet

SWEEP = (
    "-m problem=gaussian_teacher problem.dimension=3 problem.units=3 problem.samples=40 network.activation=relu "
    "objective=population,empirical_risk init=lecun_normal descent.learning_rate=0.1 descent.steps=800 restarts=24"
)


@pytest.mark.slow
def test_a_sweep_over_both_objectives_is_counted_reported_replayed_and_classified_again(
    sweeps: Callable[[str], Any], shell: Callable[[str], Any], tmp_path: Path
) -> None:
    answer = sweeps(SWEEP)
    assert (answer.code, "no kernel" in answer.err) == (0, False)
    runs = basinet.load_runs("basinet")
    assert sorted(runs["objective"]) == ["empirical_risk", "population"]
    restarts = basinet.load_restarts("basinet")
    population = restarts[restarts["objective"] == "population"]
    assert set(population["engine"]) == {"torch"}
    assert set(population["kind"]) == {"minimum"}
    minima = basinet.load_minima("basinet")
    (lowest,) = minima[minima["objective"] == "population"]["parameters"]
    units = np.array(lowest).reshape(3, 3)
    assert np.abs(units @ units.T - np.eye(3)).max() < 1e-9  # the teacher, its units exchanged
    assert sorted(units.round(9).argmax(1)) == [0, 1, 2]
    run = runs["run_id"][runs["objective"] == "population"].iloc[0]
    replayed = shell(f"basinet-replay {run} 3")
    assert (replayed.code, "same numbers  yes, to the bit" in replayed.out) == (0, True)
    assert shell("basinet-report basinet").code == 0
    assert (tmp_path / "report-basinet" / "report.html").is_file()
    assert shell("basinet-classify basinet").code == 0
    again = sweeps(f"{SWEEP} dry_run=true")
    assert (again.code, again.out.count("finished")) == (0, 2)
