"""Kaiming (He), uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from basinet.foundation import random_streams
from basinet.inits.scaled import Bias, require_positive, scaled
from basinet.mlp.network import Network


@dataclass(frozen=True)
class KaimingUniform:
    """W ~ U(-g, g), g = gain · √(3 / fan-in), gain = √2 for ReLU (He et al., 2015)."""

    gain: float
    bias: Bias

    def __post_init__(self) -> None:
        require_positive("init.gain", self.gain)

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        draws = 2 * random_streams.uniform(seed, restarts, network.size) - 1
        return scaled(network, draws, self.bias, lambda fan_in, fan_out: self.gain * math.sqrt(3 / fan_in))
