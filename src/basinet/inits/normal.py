"""Normal."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from basinet.foundation import random_streams
from basinet.inits.scaled import Bias, Drawn, require_positive, scaled
from basinet.mlp.network import Network


@dataclass(frozen=True)
class Normal(Drawn):
    """θ ~ N(0, std²)."""

    std: float
    bias: Bias

    def __post_init__(self) -> None:
        require_positive("init.std", self.std)

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        draws = random_streams.normal(seed, restarts, network.size)
        return scaled(network, draws, self.bias, lambda fan_in, fan_out: self.std)
