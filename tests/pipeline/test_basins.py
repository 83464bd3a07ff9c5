"""Basins of attraction whose borders are known: the neuron's are orthants, the chain's end at w₁ + w₂ = 0."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import basinet
from basinet import Findings, Study
from basinet.pipeline.basins import NOWHERE, Basins

BORDER = 4.167237823105  # of the neuron's two valleys, from its block of two samples (Auer, Herbster & Warmuth, 1995)
FLOW = {"name": "gradient_flow"}
NEURON = {
    "problem": {"name": "neuron", "dimension": 2},
    "network": {"depth": 1, "bias": False},
    "init": {"name": "uniform", "bound": 20.0},
    "descent": FLOW,
    "restarts": 60,
}
CHAIN = {
    "problem": {"name": "chain", "inputs": [1.0], "targets": [0.5]},
    "network": {"depth": 2, "width": 1, "activation": "identity", "output": "identity", "bias": False},
    "objective": {"l2_weights": 0.1},
    "descent": FLOW,
    "restarts": 20,
}


@pytest.fixture(scope="module")
def neuron() -> Findings:
    return basinet.run(Study.from_config(NEURON))


@pytest.fixture(scope="module")
def chain() -> Findings:
    return basinet.run(Study.from_config(CHAIN))


def places(low: float, high: float, count: int) -> np.ndarray:
    side = np.linspace(low, high, count)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def test_the_basins_of_the_neuron_are_the_quarters_around_its_barrier(neuron: Findings) -> None:
    basins, w = Basins(neuron.study, neuron.minima), places(-8.0, 18.0, 23)
    labels = basins.labels(torch.from_numpy(w))
    ends = np.stack([bottom.theta.numpy() for bottom in basins.bottoms])[labels]
    np.testing.assert_array_equal(ends > BORDER, w > BORDER)
    assert sorted(np.unique(labels)) == [0, 1, 2, 3]


def test_starts_are_in_the_basins_of_the_minima_that_the_table_says_they_end_in(neuron: Findings) -> None:
    basins = Basins(neuron.study, neuron.minima)
    labels = basins.labels(torch.from_numpy(neuron.parameters["initial"].astype(np.float64)))
    minima = np.array([bottom.minimum for bottom in basins.bottoms])[labels]
    ended = neuron.restarts["minimum"].to_numpy()
    assert (ended >= 0).all()
    np.testing.assert_array_equal(minima, ended)


def test_the_weight_that_is_larger_keeps_its_sign_in_the_chain(chain: Findings) -> None:
    """f = ½ (½ - w₁w₂)² + .05 ‖w‖²: the sign of w₁ + w₂ is kept, and the minima are w₁ = w₂ = ± √.4."""
    basins, w = Basins(chain.study, chain.minima), places(-1.9, 2.1, 20)
    labels = basins.labels(torch.from_numpy(w))
    ends = np.stack([bottom.theta.numpy() for bottom in basins.bottoms])[labels]
    np.testing.assert_allclose(ends, np.sign(w.sum(1, keepdims=True)) * np.sqrt([[0.4, 0.4]]), atol=1e-9)
    assert [(bottom.minimum, bottom.copy) for bottom in basins.bottoms] == [(0, 0), (0, 1)]


def test_a_minimum_that_is_a_curve_is_one_bottom_wherever_the_flow_ends_on_it() -> None:
    """Without a penalty all w₁w₂ = ½ are one minimum, related by a rescaling between the layers."""
    found = basinet.run(Study.from_config({**CHAIN, "objective": {"l2_weights": 0.0}}))
    basins = Basins(found.study, found.minima)
    assert set(basins.labels(torch.from_numpy(places(-1.9, 2.1, 9))).tolist()) == {0}
    assert len(basins.bottoms) == 1


def test_minima_that_no_restart_has_reached_are_numbered_on(neuron: Findings) -> None:
    basins = Basins(neuron.study, neuron.minima[neuron.minima["minimum"] != 1])
    basins.labels(torch.from_numpy(places(-8.0, 18.0, 5)))
    assert [bottom.minimum for bottom in basins.bottoms] == [0, 2, 3, 4]
    missing = np.array(neuron.minima["parameters"].iloc[1])
    np.testing.assert_allclose(basins.bottoms[3].theta.numpy(), missing, atol=1e-6)


@pytest.mark.slow
def test_where_the_loss_falls_for_ever_the_flow_leads_nowhere() -> None:
    """One sample with the target 1, which a logistic neuron reaches at w = ∞ only."""
    ever = {**CHAIN, "problem": {"name": "chain", "inputs": [1.0], "targets": [1.0]}, "objective": {"l2_weights": 0.0}}
    ever["network"] = {"depth": 1, "width": 1, "output": "logistic", "bias": False}
    study = Study.from_config(ever)
    none = pd.DataFrame({"minimum": [], "kind": [], "parameters": []})
    assert Basins(study, none).labels(torch.tensor([[0.5], [-1.0]], dtype=torch.float64)).tolist() == [NOWHERE] * 2
