"""Gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from basinet.descents.budget import Budget
from basinet.protocols import Memory


@dataclass(frozen=True)
class GradientDescent:
    """θ ← θ - η ∇f(θ), every step over all samples (Cauchy, 1847)."""

    budget: Budget

    settles = True

    def init(self, theta: Tensor) -> Memory:
        return ()

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        return theta.sub(gradient, alpha=self.budget.rate(step)), ()

    def batch(self, step: int, samples: int) -> Tensor | None:
        return None
