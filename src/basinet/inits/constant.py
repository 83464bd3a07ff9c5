"""All parameters equal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from basinet.foundation.errors import require
from basinet.inits.scaled import Bias, Drawn, scaled
from basinet.mlp.network import Network


@dataclass(frozen=True)
class Constant(Drawn):
    """θ = value: every restart is the same one, and hidden units stay equal for ever. For closed forms and controls."""

    value: float
    bias: Bias

    def __post_init__(self) -> None:
        require(math.isfinite(self.value), f"init.value={self.value:g}: must be finite")

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        return scaled(network, np.ones((len(restarts), network.size)), self.bias, lambda fan_in, fan_out: self.value)
