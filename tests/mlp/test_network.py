from __future__ import annotations

import itertools

import pytest
import torch

from basinet.foundation.errors import ConfigError
from basinet.mlp.network import Network


def test_size_counts_every_weight_and_bias() -> None:
    assert Network((2, 2, 1)).size == 9
    assert Network((2, 2, 1), bias=False).size == 6
    assert Network((64, 25, 10)).size == 64 * 25 + 25 + 25 * 10 + 10
    assert Network((3, 5, 4, 2)).layer_sizes == (20, 24, 10)


@pytest.mark.parametrize("bias", [True, False])
def test_parameters_lie_layer_by_layer_the_matrix_row_by_row_and_then_the_bias(bias: bool) -> None:
    widths = (3, 2, 4)
    network = Network(widths, bias=bias)
    restarts = 3
    theta = torch.arange(float(restarts * network.size)).reshape(restarts, network.size)
    layers = list(network.layers(theta))
    for r in range(restarts):
        position = r * network.size  # also the value that stands there
        for layer, (fan_in, fan_out) in zip(layers, itertools.pairwise(widths), strict=True):
            for o in range(fan_out):
                for i in range(fan_in):
                    assert layer.weight[r, o, i] == position
                    position += 1
            for o in range(fan_out if bias else 0):
                assert layer.bias is not None
                assert layer.bias[r, o] == position
                position += 1
        assert position == (r + 1) * network.size
    assert bias or all(layer.bias is None for layer in layers)


def test_layers_are_views_that_write_through() -> None:
    network = Network((2, 3, 1))
    theta = torch.zeros(4, network.size)
    for layer in network.layers(theta):
        layer.weight.fill_(1)
        assert layer.bias is not None
        layer.bias.fill_(1)
    assert torch.equal(theta, torch.ones(4, network.size))


def test_every_hidden_layer_has_the_activation_and_the_last_one_the_output() -> None:
    network = Network((2, 3, 3, 1), activation="tanh", output="identity")
    assert [activation.name for activation in network.activations] == ["tanh", "tanh", "identity"]
    assert [activation.name for activation in Network((2, 1), "tanh", "relu").activations] == ["relu"]
    assert network.depth == 3
    assert str(network) == "2-3-3-1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3,),), "network.depth=0: a network has at least 1 weight layer"),
        (((3, 0, 1),), "network.width=0: a layer has at least 1 unit"),
        (((3, -2, 1),), "network.width=-2: a layer has at least 1 unit"),
        (((3, 1), "logistics"), "unknown network.activation 'logistics': did you mean 'logistic'?"),
        (
            ((3, 1), "relu", "?"),
            "unknown network.output '?': choose one of erf, gelu, identity, logistic, relu, sigmoid, softplus, tanh",
        ),
    ],
)
def test_an_impossible_network_is_refused_with_the_key(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Network(*arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message
