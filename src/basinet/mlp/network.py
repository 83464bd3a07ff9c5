"""The shape of a multilayer perceptron and how its parameters lie in one vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from basinet.foundation import synonyms
from basinet.foundation.errors import require, unknown
from basinet.mlp.activations import ACTIVATIONS, Activation


class Layer(NamedTuple):
    """One layer's parameters as views into `theta`."""

    weight: Tensor  # [restart, out, in]
    bias: Tensor | None  # [restart, out]


@dataclass(frozen=True)
class Network:
    """z_l = W_l a_{l-1} + b_l,  a_l = σ_l(z_l),  l = 0 … L;  a_{-1} = x.

    `widths` are the numbers of units from the input to the output, so `depth` = L + 1 = len(widths) - 1 weight layers.
    Parameters lie in `theta` layer by layer: the weight matrix row by row, then the bias.
    """

    widths: tuple[int, ...]
    activation: str = "logistic"
    output: str = "logistic"
    bias: bool = True

    def __post_init__(self) -> None:
        require(len(self.widths) >= 2, f"network.depth={len(self.widths) - 1}: a network has at least 1 weight layer")
        for width in self.widths:
            require(width >= 1, f"network.width={width}: a layer has at least 1 unit")
        for key, name in (("network.activation", self.activation), ("network.output", self.output)):
            if name not in ACTIVATIONS:
                raise unknown(key, name, (*ACTIVATIONS, *synonyms.ACTIVATIONS))

    @property
    def depth(self) -> int:
        """Number of weight layers."""
        return len(self.widths) - 1

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(self.layer_sizes)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of parameters of each layer, weights and bias together."""
        return tuple(o * (i + self.bias) for i, o in zip(self.widths, self.widths[1:], strict=False))

    @property
    def activations(self) -> tuple[Activation, ...]:
        """σ_0 … σ_L."""
        hidden = (ACTIVATIONS[self.activation],) * (self.depth - 1)
        return (*hidden, ACTIVATIONS[self.output])

    def layers(self, theta: Tensor) -> Iterator[Layer]:
        """Weight `[restart, out, in]` and bias `[restart, out]` per layer, views of `theta [restart, parameter]`."""
        start = 0
        for i, o in zip(self.widths, self.widths[1:], strict=False):
            weight = theta.narrow(1, start, o * i).unflatten(1, (o, i))
            start += o * i
            bias = theta.narrow(1, start, o) if self.bias else None
            start += o * self.bias
            yield Layer(weight, bias)

    def __str__(self) -> str:
        return "-".join(map(str, self.widths))
