"""The scripts of `experiments/` run on real results."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
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


def test_the_table_of_students_and_teachers_counts_what_is_spurious() -> None:
    script = runpy.run_path(str(ROOT / "experiments" / "student_teacher.py"))
    losses = [0.0] * 6 + [0.02, 0.02, 0.02, 0.04]
    frame = pd.DataFrame({"loss": losses, "kind": "minimum", "minimum": [0] * 6 + [1, 2, 1, 3]})
    frame["orbit"] = [0] * 6 + [1, 1, 1, 2]
    wider = frame.assign(loss=[0.0] * 9 + [0.5], kind=["degenerate"] * 9 + ["unfinished"], minimum=-1, orbit=-1)
    sizes = [{"problem.units": 7, "network.width": width} for width in (7, 8)]
    restarts = pd.concat([part.assign(**size) for part, size in zip((frame, wider), sizes, strict=True)])
    table = script["shares"](restarts)
    assert table[["problem.units", "network.width"]].to_numpy().tolist() == [[7, 7], [7, 8]]
    assert table[["restarts", "spurious", "minima", "orbits"]].to_numpy().tolist() == [[10, 4, 3, 2], [10, 0, 0, 0]]
    assert table["losses"].tolist() == ["0.02, 0.04", ""]
    assert table["low"].iloc[0] < table["share"].iloc[0] == 0.4 < table["high"].iloc[0]
    (axes,) = script["figure"](table).axes
    drawn = [line.get_ydata()[0] for line in axes.get_lines() if len(line.get_ydata()) == 1]
    assert drawn.count(0.4) == 1
