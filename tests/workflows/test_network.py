"""`basinet.network`: what a minimum computes, beside the loss that its table says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import basinet
from basinet import Findings, Study
from basinet.foundation.errors import ConfigError

PENALTY = 1e-3
XOR = {
    "problem": "xor",
    "network": {"width": 2, "activation": "tanh"},
    "objective": {"l2_weights": PENALTY, "l2_biases": PENALTY},
    "descent": {"learning_rate": 1.0, "steps": 1500},
    "restarts": 40,
}
STUDENT = {
    "problem": {"name": "gaussian_teacher", "dimension": 2, "units": 2},
    "network": {"width": 2, "activation": "relu"},
    "objective": "population",
    "descent": {"learning_rate": 0.1, "steps": 200},
    "restarts": 4,
}
X = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def xor() -> Findings:
    return basinet.run(Study.from_config(XOR))


def test_the_answers_of_every_minimum_make_the_loss_of_the_table(xor: Findings) -> None:
    assert len(xor.minima) > 1
    for row in xor.minima.to_dict("records"):
        network = basinet.network(xor, row["minimum"])
        misses = network(X) - np.array([[0.0, 1.0, 1.0, 0.0]])
        penalty = PENALTY / 2 * np.sum(np.square(row["parameters"]))
        assert np.mean(misses**2) / 2 + penalty == pytest.approx(row["loss"], rel=1e-12)


def test_the_matrices_are_those_of_unflatten(xor: Findings) -> None:
    network, theta = basinet.network(xor, 0), xor.minima["parameters"].iloc[0]
    first, second = basinet.unflatten(theta, xor.study.network)
    assert first.weight.tolist() == np.reshape(theta[:4], (2, 2)).tolist()
    assert second.bias is not None
    assert second.bias.tolist() == [theta[8]]
    assert [layer.weight.shape for layer in network.layers] == [(2, 2), (1, 2)]


def test_a_student_with_fixed_output_weights_answers_the_sum_of_its_units() -> None:
    found = basinet.run(Study.from_config(STUDENT))
    network = basinet.network(found, 0)
    x = np.random.default_rng(0).normal(size=(2, 6))
    units = np.reshape(found.minima["parameters"].iloc[0], (2, 2))
    np.testing.assert_allclose(network(x)[0], np.maximum(units @ x, 0).sum(0), rtol=1e-12)
    np.testing.assert_allclose(network.module()(torch.from_numpy(x.T)).detach().numpy().T, network(x), atol=1e-12)


def test_what_is_no_network_or_no_minimum_is_said_in_one_line(xor: Findings) -> None:
    with pytest.raises(ConfigError, match=r"this study has no minimum 99: its minima are 0 to \d"):
        basinet.network(xor, 99)
    camel = {"objective": {"name": "test_function", "function": "camel"}, "init": "uniform", "restarts": 5}
    camel["descent"] = {"learning_rate": 0.01, "steps": 500}
    with pytest.raises(ConfigError, match="minima of a function that is no network"):
        basinet.network(basinet.run(Study.from_config(camel)), 0)
