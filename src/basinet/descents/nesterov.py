"""Nesterov's accelerated gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.descents.budget import Budget, require_fraction
from basinet.protocols import Memory


@dataclass(frozen=True)
class Nesterov:
    """v ← μ v + ∇f(θ),  θ ← θ - η (∇f(θ) + μ v).

    Nesterov (1983), written so that θ is the point where the gradient is taken (Sutskever et al., 2013; as in torch).
    """

    budget: Budget
    momentum: float

    def __post_init__(self) -> None:
        require_fraction("descent.momentum", self.momentum)

    def init(self, theta: Tensor) -> Memory:
        return (torch.zeros_like(theta),)

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        velocity = (memory[0] * self.momentum).add_(gradient)
        ahead = (velocity * self.momentum).add_(gradient)
        return theta.sub(ahead, alpha=self.budget.rate(step)), (velocity,)

    def batch(self, step: int, samples: int) -> Tensor | None:
        return None
