"""The scripts of `experiments/` run on real results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SWEEP = [
    *("-m", "problem=sine", "problem.points=12", "network.width=2", "network.activation=tanh", "restarts=30"),
    *("init=normal,xavier_normal", "network.depth=1,2", "descent.steps=300", "descent.learning_rate=0.1"),
    *("objective.l2_weights=1e-3", "objective.l2_biases=1e-3", "polish.radius=1", "tracking.experiment=small"),
]


@pytest.mark.slow
def test_the_walk_through_runs_on_a_sweep_and_shows_every_condition(
    furnish: Callable[[Path], Path], tmp_path: Path
) -> None:
    furnish(tmp_path)
    basinet = Path(sys.executable).with_name("basinet")
    subprocess.run([basinet, *SWEEP], cwd=tmp_path, check=True, capture_output=True)
    script = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::DeprecationWarning",
        ROOT / "experiments" / "walkthrough.py",
    ]
    answer = subprocess.run([*script, "small"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert answer.stderr == ""
    for shown in ("xavier_normal", "sweep_minimum", "lambda_min", "median_high", "p_holm", "epsilon_squared", "True"):
        assert shown in answer.stdout
