"""CONTRIBUTING holds: a member of every family is added in at most three files, and everything goes on from there.

`additions/` has what a contributor would send: the differences to the sources, one patch for each section of
CONTRIBUTING. They are applied to a copy, in their order, and the copy is used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import basinet
from basinet.study.defaults import conf_directory

PATCHES = sorted((Path(__file__).parent / "additions").glob("*.patch"))

USE = """
import dataclasses, json
import numpy as np, torch
import basinet
from basinet.descents.budget import Budget
from basinet.study.study import Study

def run(**settings):
    return basinet.run(Study.from_config(settings))

wells = run(objective="double_well", problem="neuron", network={"depth": 1}, restarts=400)
new = dict(problem="rings", init="laplace", restarts=64, descent={"name": "nadamw", "steps": 30, "decay": 0.01})
native, slow = run(**new), run(**new, engine="torch")
starts = run(init={"name": "laplace", "scale": 3.0}, descent={"steps": 0}, restarts=20_000, polish="none")
samples = native.study.problem
jumps = run(problem="xor", escape={"name": "jump", "budget": 400}, descent={"steps": 50}, restarts=4)

def descended(findings):
    return findings.restarts["loss_descended"].to_numpy()

answer = {
    "wells": wells.minima[["kind", "loss", "count", "lambda_min", "lambda_max"]].astype({"kind": str}).to_dict("list"),
    "corners": sorted(tuple(np.round(theta, 9).tolist()) for theta in wells.minima["parameters"]),
    "engines": [findings.study.engine.name for findings in (wells, native, slow)],
    "apart": float(np.abs(descended(native) - descended(slow)).max()),
    "fell": float((descended(native) < native.restarts["loss_initial"]).mean()),
    "mean_distance": float(np.abs(starts.parameters["initial"]).mean()),
    "draws": starts.parameters["initial"].size,
    "radii": np.linalg.norm(samples.inputs.numpy(), axis=0).tolist(),
    "targets": samples.targets[0].tolist(),
    "visits": jumps.visits.groupby("restart").size().tolist(),
    "accepted": bool(jumps.visits["accepted"].all()),
    "path": basinet.__file__,
}
print(json.dumps(answer))
"""


def touched(patch: Path) -> list[str]:
    return re.findall(r"^\+\+\+ b/(.*)$", patch.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, to which all additions were applied."""
    folder = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(basinet.__file__).parent, folder / "src" / "basinet", ignore=ignored)
    shutil.copytree(conf_directory(), folder / "conf")
    for patch in PATCHES:
        answer = subprocess.run(["git", "apply", str(patch)], cwd=folder, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, f"{patch.name}: {answer.stderr}"
    return folder


def python(extended: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(extended / "src")}
    command = [sys.executable, *arguments]
    answer = subprocess.run(command, cwd=extended, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def used(extended: Path) -> Mapping[str, Any]:
    """What came out of `USE` in the copy."""
    answer: dict[str, Any] = json.loads(python(extended, "-c", USE).splitlines()[-1])
    assert Path(answer["path"]).is_relative_to(extended)
    return answer


def test_there_is_an_addition_for_every_section_of_contributing() -> None:
    """A study is a file."""
    sections = re.findall(
        r"^## Adding an? (.*)$", (conf_directory().parent / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    named = [re.sub(r"^\d_", "", patch.stem).replace("_", " ") for patch in PATCHES]
    assert set(sections) - {"study"} == set(named) - {"native descent"}


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_an_addition_takes_three_files_at_most(patch: Path) -> None:
    assert 1 <= len(set(touched(patch))) <= 3


def test_the_minima_of_a_new_objective_are_those_of_its_formula(used: Mapping[str, Any]) -> None:
    """¼ Σ (θ² - 1)² of three parameters: the eight corners of a cube, with the curvature 3θ² - 1 = 2 everywhere."""
    wells = used["wells"]
    assert used["corners"] == sorted([a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1))
    assert set(wells["kind"]) == {"minimum"}
    assert max(wells["loss"]) < 1e-28
    # Polishing has left θ within 1e-12 of a corner.
    assert wells["lambda_min"] == pytest.approx([2] * 8, abs=1e-10)
    assert wells["lambda_max"] == pytest.approx([2] * 8, abs=1e-10)
    assert min(wells["count"]) > 20  # 50 on the average of 400 restarts, some of which diverge: -4 σ


def test_a_new_descent_takes_the_same_steps_in_both_engines(used: Mapping[str, Any]) -> None:
    """Four rates and four constants, more than any other has."""
    assert used["engines"] == ["torch", "native", "torch"]
    assert used["apart"] < 1e-12  # rounding of losses of size 0.1, after 30 steps
    assert used["fell"] == 1


def test_a_new_init_draws_from_its_distribution(used: Mapping[str, Any]) -> None:
    """The mean of |θ| is the scale, 3, with a standard deviation of 3 / √draws."""
    assert abs(used["mean_distance"] - 3) < 5 * 3 / used["draws"] ** 0.5


def test_a_new_problem_is_what_it_says(used: Mapping[str, Any]) -> None:
    assert used["radii"] == pytest.approx([1] * 8 + [2] * 8)
    assert used["targets"] == [0] * 8 + [1] * 8


def test_a_new_way_to_escape_spends_its_budget_on_descents(used: Mapping[str, Any]) -> None:
    """400 gradients are the first descent of 50 steps and seven more, or one more that goes over."""
    assert used["accepted"]
    assert all(visits in (8, 9) for visits in used["visits"])


@pytest.mark.slow
def test_all_of_them_are_swept_from_the_shell_and_listed(extended: Path) -> None:
    run = "from basinet.cli.main import main; main()"
    python(extended, "-c", run, "-m", "problem=neuron", "network.depth=1", "objective=double_well,empirical_risk",
           "init=laplace", "descent=nadamw", "restarts=10", "tracking.figures=none")  # fmt: skip
    load = "import basinet; print(sorted(set(basinet.load_restarts('basinet')['objective'])))"
    listed = python(extended, "-c", "from basinet.cli.listing import main; main()")
    for name in ("laplace", "nadamw", "rings", "double_well"):
        assert f"  {name} " in listed
    assert python(extended, "-c", load).strip() == "['double_well', 'empirical_risk']"


@pytest.mark.stress
def test_a_new_executor_hands_out_blocks_of_the_shell_s_sweeps(extended: Path) -> None:
    """Two processes make the same tables as the command itself does, to the bit."""
    run = "from basinet.cli.main import main; main()"
    for executor in ("processes", "local"):
        python(extended, "-c", run, "-m", "network.depth=1,2", "restarts=300", "descent.steps=100", "polish=none",
               f"executor={executor}", f"tracking.experiment={executor}", "tracking.figures=none")  # fmt: skip
    load = """
import basinet
theirs, own = (basinet.load_restarts(executor).drop(columns="run_id") for executor in ("processes", "local"))
print(len(own), theirs.equals(own))
"""
    assert python(extended, "-c", load).strip() == "600 True"
