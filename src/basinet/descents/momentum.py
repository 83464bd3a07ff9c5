"""Gradient descent with momentum (heavy ball)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.descents.budget import Budget, require_fraction
from basinet.protocols import Memory


@dataclass(frozen=True)
class Momentum:
    """v ← μ v + ∇f(θ),  θ ← θ - η v (Polyak, 1964)."""

    budget: Budget
    momentum: float

    settles = True

    def __post_init__(self) -> None:
        require_fraction("descent.momentum", self.momentum)

    def init(self, theta: Tensor) -> Memory:
        return (torch.zeros_like(theta),)

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        velocity = (memory[0] * self.momentum).add_(gradient)
        return theta.sub(velocity, alpha=self.budget.rate(step)), (velocity,)

    def batch(self, step: int, samples: int) -> Tensor | None:
        return None
