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


def test_the_table_of_flows_tells_another_minimum_from_none_start_by_start() -> None:
    """Ids are of a condition, and where polishing leads one that had not arrived does not count."""
    script = runpy.run_path(str(ROOT / "experiments" / "flow.py"))
    starts = {"restart": range(4), "start": [11, 12, 13, 14], "seed": 0, "init": "normal", "network.depth": 2}
    flow = {"run_id": "a", "descent": "gradient_flow", "minimum": [0, 1, 0, 1], "kind": "minimum", "status": "arrived"}
    other = {**flow, "run_id": "b", "descent": "gradient_descent", "descent.learning_rate": 2.0}
    other |= {"minimum": [1, 1, 1, -1], "kind": [*["minimum"] * 3, "unfinished"]}
    other |= {"status": ["arrived", "arrived", "budget", "arrived"]}
    restarts = pd.concat([pd.DataFrame({**starts, **condition}) for condition in (flow, other)])
    places = pd.DataFrame({"run_id": ["a", "a", "b", "b"], "minimum": [0, 1, 0, 1], "place": [5, 6, 6, 5]})
    places = places.assign(kind="minimum", lambda_max=[0.5, 0.25, 0.25, 0.5], **{"network.depth": 2})
    table = script["shares"](script["ends"](restarts, places))
    # where they are: 5 6 5 6 for the flow; 5, 5, (5), none
    assert table[["starts", "another", "no_minimum", "no_flow"]].to_numpy().tolist() == [[4, 0.25, 0.5, 0]]
    assert table["another_low"].iloc[0] < 0.25 < table["another_high"].iloc[0]
    lost = restarts.assign(status=restarts["status"].mask(restarts["run_id"] == "a", "budget"))
    assert script["shares"](script["ends"](lost, places))[["another", "no_flow"]].to_numpy().tolist() == [[0.0, 4]]
    limits = script["stable_up_to"](places)
    assert limits.to_dict() == {(2, 5): 4.0, (2, 6): 8.0}
    (axes,) = script["figure"](table, limits).axes
    assert [line.get_xdata().tolist() for line in axes.get_lines() if line.get_marker() == "|"] == [[4.0, 8.0]]
