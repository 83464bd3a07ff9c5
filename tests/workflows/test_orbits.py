"""Orbits from the command line to what is shown and kept of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import basinet

SWEEP = (
    "-m problem=xor network.activation=tanh network.width=2 objective.l2_weights=1e-3 objective.l2_biases=1e-3 "
    "init=normal,xavier_normal descent.steps=4000 restarts=60"
)
TOLD = "inputs 1 and 2 exchanged (2 in all)"


@pytest.mark.slow
def test_orbits_are_kept_with_restarts_minima_and_metrics_and_the_symmetries_are_named(
    sweeps: Callable[[str], Any], shell: Callable[[str], Any]
) -> None:
    answer = sweeps(SWEEP)
    assert answer.code == 0, answer.err
    assert f"Problem symmetries: {TOLD}." in answer.out
    assert "orbits" in answer.out
    results = basinet.open("basinet")
    runs, restarts, minima = results.runs, results.restarts, results.minima
    assert results.symmetries == [TOLD] * 2
    for run in runs.to_dict("records"):
        of_run = minima[minima["run_id"] == run["run_id"]].set_index("minimum")
        found = of_run[of_run["kind"] == "minimum"]
        assert run["minima/found"] == len(found) >= 4
        assert run["minima/orbits"] == found["orbit"].nunique() == len(found) - 1  # .0807 twice, as an exchange has it
        mine = restarts[restarts["run_id"] == run["run_id"]]
        assert mine["orbit"].tolist() == mine["minimum"].map(of_run["orbit"]).fillna(-1).tolist()
    one = sweeps(SWEEP.replace("-m ", "").replace("init=normal,xavier_normal", "init=normal"))  # finished before
    assert f"Problem symmetries: {TOLD}." in one.out
    assert any(line.split()[-2:] == ["2", "1"] for line in one.out.splitlines() if line.startswith("minimum"))
    assert shell("basinet-report basinet").code == 0
