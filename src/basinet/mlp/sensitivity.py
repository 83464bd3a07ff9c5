"""How a network's answers change with its inputs: ∂a_L/∂x, forward through the layers by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from basinet.mlp.network import Network


def input_jacobian(network: Network, theta: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """a_L `[output, sample]` and J = ∂a_L/∂x `[sample, output, feature]` of one network.

        J_l = σ'_l(z_l) ∘ (W_l J_{l-1}),     J_{-1} = 1

    Args:
        network: its shape.
        theta: its parameters, `[parameter]`.
        inputs: `[feature, sample]`.
    """
    one = torch.eye(len(inputs), dtype=inputs.dtype, device=inputs.device)
    a, jacobian = inputs, one.expand(inputs.shape[1], -1, -1)
    for layer, activation in zip(network.layers(theta.unsqueeze(0)), network.activations, strict=True):
        weight = layer.weight.squeeze(0)
        z = weight @ a if layer.bias is None else weight @ a + layer.bias.squeeze(0).unsqueeze(1)
        a = activation.value(z)
        slope = activation.slope(a if activation.reads == "a" else z)  # [unit, sample]
        jacobian = slope.T.unsqueeze(2) * (weight @ jacobian)
    return a, jacobian
