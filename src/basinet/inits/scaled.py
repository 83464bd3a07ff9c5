"""What the inits share: one draw per parameter, scaled layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Array
from basinet.mlp.network import Network

Bias = Literal["same", "zero"]
"""Biases: drawn like the weights of their layer, or zero."""


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
