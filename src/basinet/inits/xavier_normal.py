"""Xavier (Glorot), normal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from basinet.foundation import random_streams
from basinet.inits.scaled import Bias, require_positive, scaled
from basinet.mlp.network import Network


@dataclass(frozen=True)
class XavierNormal:
    """W ~ N(0, gain² · 2 / (fan-in + fan-out)) (Glorot & Bengio, 2010)."""

    gain: float
    bias: Bias

    def __post_init__(self) -> None:
        require_positive("init.gain", self.gain)

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        draws = random_streams.normal(seed, restarts, network.size)
        return scaled(network, draws, self.bias, lambda fan_in, fan_out: self.gain * math.sqrt(2 / (fan_in + fan_out)))
