"""Several workers that use a fresh store at once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from basinet.tracking import load

SWEEP = (
    "-m init=normal,uniform,orthogonal,constant network.depth=1,2 restarts=4 descent.steps=10 polish=none "
    "engine=torch tracking.figures=none"
)
FOUR_PROCESSES = "hydra/launcher=joblib hydra.launcher.n_jobs=4 hydra.launcher.batch_size=1"


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.stress)])
def test_four_workers_use_a_fresh_store_at_once(rounds: int, command: Any, left: Any, tmp_path: Path) -> None:
    """The workers are started once, so that from the second round on they all meet the store at the same moment."""
    failures = 0
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        answer = command(f"{SWEEP} {FOUR_PROCESSES} tracking.uri=sqlite:///{folder}/mlflow.db")
        if answer.code != 0:
            print(answer.err)
            failures += 1
            continue
        left(folder).assert_complete(8)
        assert left(folder).statuses() == ["FINISHED"] * (8 + 1)
        assert len(load.load_restarts("basinet", tracking_uri=f"sqlite:///{folder}/mlflow.db")) == 8 * 4
    print(f"\n{rounds} times four workers on a fresh store: {failures} failures")
    assert failures == 0


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs the extra: pip install 'basinet[submitit]'"
)
def test_submitit_runs_the_conditions_of_a_sweep_in_processes_of_its_own(
    sweeps: Any, left: Any, furnish: Any, tmp_path: Path
) -> None:
    line = "-m init=normal,orthogonal restarts=30 descent.steps=50 engine=torch tracking.figures=none"
    launcher = "hydra/launcher=submitit_local hydra.launcher.cpus_per_task=1 hydra.launcher.timeout_min=10"
    answer = sweeps(f"{line} {launcher}")
    assert answer.code == 0, answer.err
    left(tmp_path).assert_complete(2)
    furnish(tmp_path / "elsewhere")
    assert sweeps(f"{line} tracking.uri=sqlite:///elsewhere/mlflow.db").code == 0
    left(tmp_path).assert_same_as(left(tmp_path / "elsewhere"))
