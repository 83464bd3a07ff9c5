from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Objective
from basinet.stages.merge import Bottoms
from basinet.stages.orbits import orbits
from basinet.study.defaults import tolerances
from naive_problem_symmetries import exchange_inputs, exchange_outputs, reflect_input, reflect_output
from naive_symmetries import Layers, changed, random_copies

CORNERS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64).T
PARITY = CORNERS.sum(0, keepdim=True) % 2
AXES = torch.eye(3, dtype=torch.float64)

Change = Callable[[Layers, np.random.Generator], None]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def found(objective: Objective, theta: Tensor, kind: Kind = Kind.MINIMUM) -> list[int]:
    """The orbits of points that are all called `kind`."""
    kinds = np.full(len(theta), int(kind), dtype=np.int8)
    signature = objective.signature(theta).numpy()
    points = Bottoms(kinds, objective.loss(theta).numpy(), signature, theta)
    return orbits(points, objective, tolerances()).tolist()


def permute(layers: Layers, random: np.random.Generator) -> None:
    for _ in range(3):
        exchange_inputs(layers, *random.choice(3, 2))


def permute_and_reflect(added: float) -> Change:
    """Each reflection of an input turns the parity, y → 1 - y."""

    def change(layers: Layers, random: np.random.Generator) -> None:
        permute(layers, random)
        for i in np.flatnonzero(random.random(3) < 0.5):
            reflect_input(layers, int(i), centre=0.5)
            reflect_output(layers, 0, added)

    return change


def permute_both(layers: Layers, random: np.random.Generator) -> None:
    for _ in range(3):
        i, j = random.choice(3, 2)
        exchange_inputs(layers, i, j)
        exchange_outputs(layers, i, j)


def risk(activation: str, output: str, widths: tuple[int, ...] = (3, 4, 1), **penalties: float) -> EmpiricalRisk:
    return EmpiricalRisk(Network(widths, activation, output), CORNERS, PARITY, **penalties)


CLASSES = EmpiricalRisk(Network((3, 4, 3), "tanh", "identity"), AXES, AXES, "cross_entropy", 1e-3)
CASES = {
    "all corners, logistic output": (risk("tanh", "logistic"), 48, permute_and_reflect(0.0)),
    "logistic units": (risk("logistic", "logistic", l2_weights=1e-3), 48, permute_and_reflect(0.0)),
    "deep": (risk("relu", "logistic", (3, 3, 4, 1)), 48, permute_and_reflect(0.0)),
    "an output that its bias reflects": (risk("softplus", "identity"), 48, permute_and_reflect(1.0)),
    "linear units": (risk("identity", "identity"), 48, permute_and_reflect(1.0)),
    "one layer": (risk("tanh", "logistic", (3, 1)), 48, permute_and_reflect(0.0)),
    "penalised biases": (risk("tanh", "logistic", l2_weights=1e-3, l2_biases=1e-3), 6, permute),
    "an output that cannot be turned": (risk("tanh", "softplus"), 24, permute),
    "classes, their inputs with them": (CLASSES, 6, permute_both),
}


@pytest.mark.parametrize("case", CASES)
def test_random_images_of_random_points_are_as_many_orbits_as_there_were_points(case: str) -> None:
    """Images by hand, and copies of these by the symmetries of the network by hand."""
    objective, order, change = CASES[case]
    assert objective.problem_symmetry.order == order
    label, random = np.arange(12) % 4, np.random.default_rng(0)
    points = draw(1, 4, objective.size)
    images = changed(objective.network, points[label], lambda layers: change(layers, random))
    assert (images - points[label]).abs().amax(1).gt(0.1).sum() > 6
    assert (objective.loss(images) - objective.loss(points)[label]).abs().max() < 1e-12
    found_orbits = found(objective, random_copies(objective.symmetry, images, seed=5))
    assert found_orbits == label.tolist()


def test_what_no_image_is_stays_apart_though_it_has_the_same_loss() -> None:
    """Another point between a point and its image, called as high as these."""
    network = Network((2, 2, 1), "tanh", "logistic")
    corners = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
    objective = EmpiricalRisk(network, corners, torch.tensor([[0.0, 1.0, 1.0, 0.0]]).double(), l2_weights=1e-3)
    one = draw(2, 1, objective.size)
    both = changed(network, one, lambda layers: exchange_inputs(layers, 0, 1))
    assert found(objective, torch.cat([one, both])) == [0, 0]
    other = draw(3, 1, objective.size)
    theta = torch.cat([one, other, both])
    loss = np.full(3, 0.5)
    kinds = np.full(3, int(Kind.MINIMUM), dtype=np.int8)
    points = Bottoms(kinds, loss, objective.signature(theta).numpy(), theta)
    assert orbits(points, objective, tolerances()).tolist() == [0, 1, 0]


def test_degenerate_bottoms_and_those_at_infinity_have_no_orbit() -> None:
    objective = risk("tanh", "logistic")
    for kind in (Kind.DEGENERATE, Kind.AT_INFINITY):
        assert found(objective, draw(4, 3, objective.size), kind) == [-1] * 3
    assert found(objective, draw(4, 0, objective.size)) == []


def test_without_a_symmetry_of_the_problem_every_minimum_is_its_own_orbit() -> None:
    objective = EmpiricalRisk(Network((3, 4, 1), "tanh", "identity"), draw(5, 3, 9), draw(6, 1, 9))
    assert objective.problem_symmetry.words == []
    theta = draw(7, 1, objective.size)
    exchanged = changed(objective.network, theta, lambda layers: exchange_inputs(layers, 0, 1))
    assert found(objective, torch.cat([theta, exchanged])) == [0, 1]
