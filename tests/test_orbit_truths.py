"""Minima modulo the symmetries of their problem, where it is known how many there are."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import basinet
from basinet import Study, run
from basinet.mlp.network import Network
from basinet.pipeline.gather import Findings
from naive_problem_symmetries import exchange_inputs
from naive_symmetries import changed

VALLEYS = (1.276434037816, 10.973944982897)  # of one axis of `problem=neuron` (GROUND_TRUTHS 1)


def descended(path: Path, starts: np.ndarray[Any, Any], problem: Any) -> Findings:
    """A single logistic neuron without a bias, from these starts."""
    np.savez(path / "starts.npz", starts=starts)
    settings = {
        "problem": problem,
        "network": {"depth": 1, "bias": False, "output": "logistic"},
        "init": {"name": "given", "path": str(path / "starts.npz")},
        "objective": {"loss": "squared"},
        "descent": {"learning_rate": 10.0, "steps": 0},
        "restarts": len(starts),
    }
    return run(Study.from_config(settings))


def test_a_neuron_on_three_axes_has_eight_minima_in_four_orbits(tmp_path: Path) -> None:
    """An orbit for each number of coordinates in the second valley: of 1, 3, 3 and 1 minima."""
    starts = np.array(list(itertools.product(VALLEYS, repeat=3)))
    found = descended(tmp_path, np.tile(starts, (2, 1)), {"name": "neuron", "dimension": 3})
    assert found.symmetry == "inputs 1 to 3 permuted (6 in all)"
    minima = found.minima
    assert set(minima["kind"]) == {"minimum"}
    assert minima["orbit"].value_counts().sort_index().tolist() == [1, 3, 3, 1]
    second = np.stack(minima["parameters"].to_list()) > 5
    assert minima["orbit"].tolist() == second.sum(1).tolist()
    assert found.restarts["orbit"].tolist() == minima["orbit"].to_numpy()[found.restarts["minimum"]].tolist()


@pytest.mark.parametrize(("scale", "orbits"), [(1.0, 3), (2.0, 4)])
def test_minima_of_the_same_loss_that_no_symmetry_relates_are_two_orbits(
    scale: float, orbits: int, tmp_path: Path
) -> None:
    """E(w) = E₁(w₁) + E₁(s w₂): for every s the same four losses, two of them equal; only s = 1 is symmetric."""
    inputs = np.array([[1.0, 0.1, 0.0, 0.0], [0.0, 0.0, scale, 0.1 * scale]])
    problem = basinet.Problem(inputs, np.full((1, 4), 0.75), standardize=False, standardize_targets=False)
    starts = np.array(list(itertools.product(VALLEYS, repeat=2))) / [1, scale]
    found = descended(tmp_path, starts, problem)
    assert set(found.minima["kind"]) == {"minimum"}
    middle = found.minima["loss"].to_numpy()[1:3]
    assert abs(middle[0] - middle[1]) < 1e-15
    assert found.minima["orbit"].nunique() == orbits
    assert (found.symmetry == "") == (scale != 1)


def test_the_two_bad_minima_of_a_penalised_xor_are_one_orbit_and_the_good_ones_two() -> None:
    penalties = {"l2_weights": 1e-3, "l2_biases": 1e-3}
    settings = {"problem": "xor", "network": {"activation": "tanh"}, "objective": penalties, "restarts": 60}
    found = run(Study.from_config({**settings, "descent": {"steps": 4000, "tolerance": 1e-4}}))
    assert found.symmetry == "inputs 1 and 2 exchanged (2 in all)"
    minima = found.minima[found.minima["kind"] == "minimum"]
    assert minima["orbit"].tolist() == [0, 1, 2, 2]
    # Exchanging the inputs by hand makes the answers of one of them those of the other.
    network = Network((2, 2, 1), "tanh", "logistic")
    theta = torch.from_numpy(np.stack(minima["parameters"].to_list()))
    probes = np.random.default_rng(0).normal(size=(2, 20))
    exchanged = changed(network, theta, lambda layers: exchange_inputs(layers, 0, 1))
    before, after = ([answers(row, probes) for row in points.numpy()] for points in (theta, exchanged))
    image = [[bool(np.abs(a - b).max() < 1e-6) for a in before] for b in after]
    assert image == [[bool(entry) for entry in row] for row in np.eye(4)[[0, 1, 3, 2]]]


def answers(theta: np.ndarray[Any, Any], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """2-2-1, tanh, logistic: as it is written in textbooks."""
    hidden = np.tanh(theta[:4].reshape(2, 2) @ x + theta[4:6, None])
    return 1 / (1 + np.exp(-(theta[6:8] @ hidden + theta[8])))


def test_without_penalties_xor_has_the_eight_symmetries_of_the_square() -> None:
    found = Study.from_config({"problem": "xor"}).exact_objective.problem_symmetry
    assert (found.order, found.complete) == (8, True)
    assert found.words == ["inputs 1 and 2 exchanged", "input 1 reflected with output 1 reflected"]
    parity = {"name": "parity", "bits": 4}
    assert Study.from_config({"problem": parity}).exact_objective.problem_symmetry.order == 2**4 * math.factorial(4)


def test_rotations_of_what_a_teacher_does_not_see_are_known_as_reflections_and_permutations() -> None:
    problem = {"name": "gaussian_teacher", "dimension": 5, "units": 3}
    network = {"activation": "relu"}
    study = Study.from_config({"problem": problem, "objective": "population", "network": network})
    found = study.exact_objective.problem_symmetry
    assert found.order == math.factorial(3) * 2**2 * math.factorial(2)
    assert found.words == ["inputs 1 to 3 permuted", "inputs 4 and 5 exchanged", "input 4 reflected"]
    theta = torch.randn(1, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    units = theta.reshape(3, 5)
    exchanged = units[:, [2, 0, 1, 4, 3]] * torch.tensor([1.0, 1, 1, -1, 1], dtype=torch.float64)
    images = found.images(theta[0], exchanged.reshape(-1))
    assert min(float((image - exchanged.reshape(-1)).abs().max()) for image in images) == 0
    losses = study.exact_objective.loss(torch.cat([theta, exchanged.reshape(1, -1)]))
    assert float(losses[0] - losses[1]) == pytest.approx(0, abs=1e-14)


def test_what_may_be_done_to_samples_of_a_law_is_nothing() -> None:
    problem = {"name": "gaussian_teacher", "dimension": 3, "units": 3, "samples": 20}
    study = Study.from_config({"problem": problem, "network": {"activation": "relu"}})
    assert study.exact_objective.problem_symmetry.words == []
