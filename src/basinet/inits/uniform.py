"""Uniform."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from basinet.inits.scaled import Bias, Drawn, require_positive, scaled, symmetric
from basinet.mlp.network import Network


@dataclass(frozen=True)
class Uniform(Drawn):
    """θ ~ U(-bound, bound)."""

    bound: float
    bias: Bias

    def __post_init__(self) -> None:
        require_positive("init.bound", self.bound)

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        return scaled(network, symmetric(seed, restarts, network.size), self.bias, lambda fan_in, fan_out: self.bound)
