from __future__ import annotations

import pytest
import torch

from basinet.mlp.network import Network
from basinet.mlp.sensitivity import input_jacobian


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("activation", ["logistic", "tanh", "relu", "softplus", "gelu", "erf", "identity"])
@pytest.mark.parametrize("widths", [(3, 2), (3, 4, 2), (2, 4, 3, 1)])
def test_the_jacobian_is_the_quotient_of_differences(widths: tuple[int, ...], activation: str) -> None:
    network = Network(widths, activation, activation, bias=len(widths) != 3)
    theta, inputs, step = draw(0, network.size), draw(1, widths[0], 5), 1e-6
    answers, jacobian = input_jacobian(network, theta, inputs)
    assert jacobian.shape == (5, widths[-1], widths[0])
    for feature in range(widths[0]):
        towards = torch.zeros_like(inputs)
        towards[feature] = step
        up, down = (input_jacobian(network, theta, inputs + sign * towards)[0] for sign in (1, -1))
        quotient = ((up - down) / (2 * step)).T
        assert (quotient - jacobian[:, :, feature]).abs().max() < 1e-8  # rounding / step
    again = inputs
    for layer, activated in zip(network.layers(theta.unsqueeze(0)), network.activations, strict=True):
        again = activated.value(layer.weight[0] @ again + (0 if layer.bias is None else layer.bias[0][:, None]))
    assert torch.equal(answers, again)
