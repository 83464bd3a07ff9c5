"""Adam."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.descents.budget import Budget, require_fraction
from basinet.foundation.errors import require
from basinet.protocols import Memory


@dataclass(frozen=True)
class Adam:
    """m ← β₁ m + (1-β₁) ∇f,  v ← β₂ v + (1-β₂) ∇f²,  θ ← θ - η m̂ / (√v̂ + ε) (Kingma & Ba, 2015).

    The bias corrections are m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ) at the t-th step, counted from 1.
    """

    budget: Budget
    beta1: float
    beta2: float
    epsilon: float

    settles = False  # a step is as long as η, however small ∇f is

    def __post_init__(self) -> None:
        require_fraction("descent.beta1", self.beta1)
        require_fraction("descent.beta2", self.beta2)
        require(self.epsilon > 0, f"descent.epsilon={self.epsilon:g}: must be positive")

    def init(self, theta: Tensor) -> Memory:
        return torch.zeros_like(theta), torch.zeros_like(theta)

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        mean = (memory[0] * self.beta1).add_(gradient, alpha=1 - self.beta1)
        square = (memory[1] * self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        rate = self.budget.rate(step) / (1 - self.beta1 ** (step + 1))
        scale = square.sqrt().mul_(1 / math.sqrt(1 - self.beta2 ** (step + 1))).add_(self.epsilon)
        return theta.addcdiv(mean, scale, value=-rate), (mean, square)

    def batch(self, step: int, samples: int) -> Tensor | None:
        return None
