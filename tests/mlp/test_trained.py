"""A trained network as matrices, as a function, and as a module of torch: against sums written out, and torch.nn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from basinet.foundation.errors import ConfigError
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.network import Network
from basinet.mlp.trained import Trained, unflatten

SIGMAS: dict[str, Callable[[float], float]] = {
    "logistic": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "relu": lambda z: max(z, 0.0),
    "softplus": lambda z: math.log1p(math.exp(z)) if z < 30 else z + math.log1p(math.exp(-z)),
    "gelu": lambda z: z * math.erfc(-z / math.sqrt(2)) / 2,
    "erf": lambda z: math.erf(z / math.sqrt(2)),
    "identity": lambda z: z,
}


def by_hand(theta: list[float], network: Network, x: list[float]) -> list[float]:
    """a_L of one sample, taking number after number from θ: weights row by row, then biases."""
    numbers = iter(theta)
    a = x
    pairs = list(itertools.pairwise(network.widths))
    for layer, (fan_in, fan_out) in enumerate(pairs):
        rows = [[next(numbers) for _ in range(fan_in)] for _ in range(fan_out)]
        biases = [next(numbers) if network.bias else 0.0 for _ in range(fan_out)]
        sigma = SIGMAS[network.output if layer == len(pairs) - 1 else network.activation]
        a = [
            sigma(sum(w * entry for w, entry in zip(row, a, strict=True)) + b)
            for row, b in zip(rows, biases, strict=True)
        ]
    assert next(numbers, None) is None
    return a


def drawn(network: Network, samples: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(network.size)
    return 2 * random.normal(size=network.size), 3 * random.normal(size=(network.widths[0], samples))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_and_its_module_answer_what_sums_written_out_answer(activation: str, bias: bool) -> None:
    network = Network((3, 4, 2, 2), activation, "identity" if activation == "tanh" else activation, bias)
    theta, x = drawn(network)
    trained = Trained(network, theta)
    expected = np.transpose([by_hand(theta.tolist(), network, column.tolist()) for column in x.T])
    np.testing.assert_allclose(trained(x), expected, rtol=1e-12, atol=1e-12)
    module = trained.module()
    assert all(parameter.dtype == torch.float64 for parameter in module.parameters())
    answered = module(torch.from_numpy(x.T)).detach().numpy().T
    np.testing.assert_allclose(answered, expected, rtol=1e-12, atol=1e-12)


def test_softplus_of_the_module_is_exact_where_that_of_torch_has_turned_linear() -> None:
    """At z = 21 log(1 + e^z) is 21 + 7.6e-10."""
    trained = Trained(Network((1, 1), output="softplus", bias=False), np.array([1.0]))
    answered = trained.module()(torch.tensor([[21.0]], dtype=torch.float64)).item()
    assert answered - 21.0 == pytest.approx(math.log1p(math.exp(-21.0)), abs=1e-14)


def test_the_module_is_the_one_that_is_built_by_hand_from_the_matrices() -> None:
    network = Network((2, 3, 1), "tanh", "logistic")
    theta, x = drawn(network)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), nn.Sigmoid()).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.from_numpy(theta[:6].reshape(3, 2)))
        model[0].bias.copy_(torch.from_numpy(theta[6:9]))
        model[2].weight.copy_(torch.from_numpy(theta[9:12].reshape(1, 3)))
        model[2].bias.copy_(torch.from_numpy(theta[12:]))
    answered = model(torch.from_numpy(x.T)).detach().numpy().T
    np.testing.assert_allclose(Trained(network, theta)(x), answered, rtol=0, atol=1e-12)
    same = Trained(network, theta).module().state_dict()
    assert {name: entry.tolist() for name, entry in same.items()} == {
        name: entry.tolist() for name, entry in model.state_dict().items()
    }


def test_one_sample_may_be_a_vector() -> None:
    network = Network((2, 2, 3))
    theta, x = drawn(network)
    trained = Trained(network, theta)
    assert trained(x[:, 1]).shape == (3,)
    np.testing.assert_array_equal(trained(x[:, 1]), trained(x[:, [1]])[:, 0])


def test_matrices_are_copies_so_that_what_is_done_to_them_changes_no_network() -> None:
    network = Network((1, 1))
    trained = Trained(network, np.array([2.0, 3.0]))
    trained.layers[0].weight[:] = 7.0
    with torch.no_grad():
        trained.module()[0].weight.zero_()
    assert trained.theta.tolist() == [2.0, 3.0]


def test_numbers_and_inputs_of_another_shape_are_refused_in_words() -> None:
    network = Network((2, 2, 1))
    with pytest.raises(ConfigError, match=r"theta has the shape \(5,\), and the network 2-2-1 has 9 parameters"):
        unflatten(np.zeros(5), network)
    with pytest.raises(ConfigError, match=r"inputs have the shape \(3, 4\); the network takes .* with 2 features"):
        Trained(network, np.zeros(9))(np.zeros((3, 4)))
