"""Nesterov's accelerated gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from basinet.descents.momentum import Momentum
from basinet.protocols import Memory


@dataclass(frozen=True)
class Nesterov(Momentum):
    """v ← μ v + ∇f(θ),  θ ← θ - η (∇f(θ) + μ v): the same velocity as with momentum, and a step ahead of it.

    Nesterov (1983), written so that θ is the point where the gradient is taken (Sutskever et al., 2013; as in torch).
    """

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        velocity = (memory[0] * self.momentum).add_(gradient)
        ahead = (velocity * self.momentum).add_(gradient)
        return theta.sub(ahead, alpha=self.budget.rate(step)), (velocity,)
