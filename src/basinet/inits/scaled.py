"""What the inits share: draws that need nothing beside their settings, and one draw per parameter, scaled by layer."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Array, uniform
from basinet.mlp.network import Network

Bias = Literal["same", "zero"]
"""Biases: drawn like the weights of their layer, or zero."""


class Drawn:
    """An init that draws as many starts as are asked for, for any network, from its settings alone."""

    @property
    def max_restarts(self) -> int | None:
        return None

    @property
    def fingerprint(self) -> str:
        return ""

    def check(self, network: Network, restarts: int) -> None:
        pass


@dataclass(frozen=True)
class FanScaled(Drawn, abc.ABC):
    """W = factor(fan-in, fan-out) · a standard draw; `gain` is part of the factor."""

    gain: float
    bias: Bias

    def __post_init__(self) -> None:
        require_positive("init.gain", self.gain)

    @abc.abstractmethod
    def factor(self, fan_in: int, fan_out: int) -> float:
        """What a layer's draws are multiplied by."""

    @staticmethod
    @abc.abstractmethod
    def draws(seed: int, restarts: range, size: int) -> Array:
        """Standard draws `[restart, parameter]`: `normal` or `symmetric`."""

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        return scaled(network, self.draws(seed, restarts, network.size), self.bias, self.factor)


def symmetric(seed: int, restarts: range, size: int) -> Array:
    """Uniform draws in (-1, 1), `[restart, size]`."""
    return 2 * uniform(seed, restarts, size) - 1


def scaled(network: Network, draws: Array, bias: Bias, scale: Callable[[int, int], float]) -> Tensor:
    """`draws [restart, parameter]` times `scale(fan_in, fan_out)` of each parameter's layer, as float64."""
    theta = torch.from_numpy(draws)
    for layer, fan_in, fan_out in zip(network.layers(theta), network.widths, network.widths[1:], strict=False):
        factor = scale(fan_in, fan_out)
        layer.weight.mul_(factor)
        if layer.bias is not None:
            layer.bias.mul_(factor if bias == "same" else 0.0)
    return theta


def require_positive(key: str, value: float) -> None:
    """Raise `ConfigError` unless the value is a positive, finite number."""
    require(math.isfinite(value) and value > 0, f"{key}={value:g}: must be positive")
