"""One network with its numbers: as matrices, as a function of its inputs, as a module of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from basinet.foundation.errors import require
from basinet.foundation.threads import single_threaded_operations
from basinet.mlp.network import Network

Array = npt.NDArray[np.float64]

_LINEAR_FROM = 40.0  # where torch's softplus takes z for log(1 + e^z): log1p(e^-40) is below rounding


class Matrices(NamedTuple):
    """One layer's parameters."""

    weight: Array  # [out, in]
    bias: Array | None  # [out]; None where the network has none


def unflatten(theta: npt.ArrayLike, network: Network) -> list[Matrices]:
    """Weights and biases by layer: the inverse of how parameters lie in one vector.

        θ = (W_0 row by row, b_0, W_1 row by row, b_1, …)

    Args:
        theta: `[parameter]`, as in `parameters` of the table of minima.
        network: whose parameters they are, such as `basinet.Study.network`.

    Returns:
        `weight [out, in]` and `bias [out]` of layer 0 … L, copies of the numbers.

    Raises:
        ConfigError: if there are not as many numbers as the network has parameters.

    >>> [layer.weight.tolist() for layer in unflatten([1.0, 2.0, 3.0, 4.0], Network((1, 1, 1)))]
    [[[1.0]], [[3.0]]]
    """
    vector = np.array(theta, dtype=np.float64)
    text = f"theta has the shape {vector.shape}, and the network {network} has {network.size:,} parameters"
    require(vector.shape == (network.size,), text)
    layers = network.layers(torch.from_numpy(vector).unsqueeze(0))
    return [
        Matrices(layer.weight[0].numpy(), None if layer.bias is None else layer.bias[0].numpy()) for layer in layers
    ]


def outputs(network: Network, theta: Tensor, x: Tensor) -> Tensor:
    """a_L `[restart, output, sample]` of `theta [restart, parameter]` at inputs `x [feature, sample]`, any of them."""
    a = x.expand(theta.shape[0], -1, -1)
    with single_threaded_operations():
        for layer, activation in zip(network.layers(theta), network.activations, strict=True):
            z = layer.weight @ a if layer.bias is None else layer.weight @ a + layer.bias.unsqueeze(2)
            a = activation.value(z)
    return a


@dataclass(frozen=True, eq=False)
class Trained:
    """A network whose parameters are chosen: a function of its inputs.

    >>> Trained(Network((1, 1), output="identity"), np.array([2.0, 1.0]))(np.array([[0.0, 3.0]])).tolist()
    [[1.0, 7.0]]
    """

    network: Network
    theta: Array  # [parameter]

    def __post_init__(self) -> None:
        unflatten(self.theta, self.network)

    @property
    def layers(self) -> list[Matrices]:
        """Weights and biases of layer 0 … L."""
        return unflatten(self.theta, self.network)

    def __call__(self, x: npt.ArrayLike) -> Array:
        """What it answers: z_l = W_l a_{l-1} + b_l, a_l = σ_l(z_l), from a_{-1} = x to a_L.

        Args:
            x: inputs `[feature, sample]`, one column for each sample, or `[feature]` for one; as the network has seen
                them, standardized where the problem standardizes.

        Returns:
            a_L, `[output, sample]` or `[output]`. Under cross-entropy the classes' probabilities are softmax(a_L) of a
            network whose output is the identity.

        Raises:
            ConfigError: if samples do not have as many features as the network has inputs.
        """
        given = np.array(x, dtype=np.float64)
        features = self.network.widths[0]
        text = f"inputs have the shape {given.shape}; the network takes [feature, sample] with {features} features"
        require(given.ndim in (1, 2) and given.shape[0] == features, text)
        columns = torch.from_numpy(given.reshape(features, -1))
        answer = outputs(self.network, torch.from_numpy(self.theta).unsqueeze(0), columns)[0].numpy()
        return answer[:, 0] if given.ndim == 1 else answer

    def module(self) -> nn.Sequential:
        """The same as `torch.nn.Sequential(Linear, σ, Linear, σ, …)` in float64, with parameters of its own.

        As in torch a sample is a row there, `[sample, feature]`, so that `module()(torch.from_numpy(x.T)).T` is this
        network's answer to x.
        """
        parts: list[nn.Module] = []
        for (weight, bias), activation in zip(self.layers, self.network.activations, strict=True):
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float64)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
                if bias is not None:
                    linear.bias.copy_(torch.from_numpy(bias))
            parts += [linear, _module_of(activation.name)]
        return nn.Sequential(*parts)


class Erf(nn.Module):
    """σ(z) = erf(z / √2), which torch has no module for."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.erf(z * math.sqrt(0.5))


def _module_of(activation: str) -> nn.Module:
    """An activation as torch calls it."""
    modules: dict[str, nn.Module] = {
        "logistic": nn.Sigmoid(),
        "tanh": nn.Tanh(),
        "relu": nn.ReLU(),
        "softplus": nn.Softplus(threshold=_LINEAR_FROM),
        "gelu": nn.GELU(),
        "erf": Erf(),
        "identity": nn.Identity(),
    }
    return modules[activation]
