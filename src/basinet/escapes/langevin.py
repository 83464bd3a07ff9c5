"""Langevin dynamics: annealing with gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from basinet.escapes.seam import (
    Allowance,
    Asks,
    Draws,
    Judged,
    Landscape,
    Runs,
    State,
    Value,
    Walk,
    always,
    ended,
    halted,
    require_positive,
    walking,
)
from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose

_ENERGY = 0.1  # of the scale of f: P T / 2, what a quadratic valley holds at the first temperature where it is open


@dataclass(frozen=True)
class Langevin:
    """θ ← θ - η ∇f + √(2 η T_k) ξ, ξ ~ N(0, I), T_k falling to 0 along a line; then a descent, and again from there.

    At a fixed small T its stationary density is ∝ exp(-f / T), up to O(η). An open T₀ is such that the thermal energy
    of a quadratic valley, P T₀ / 2, is a tenth of the scale of f.

    Source: Gelfand & Mitter (1991); Geman & Hwang (1986).
    """

    allowance: Allowance
    rate: float
    temperature: float | None
    cooling: Literal["linear", "none"]
    steps: int

    goes_on: ClassVar[bool] = True
    fresh: ClassVar[bool] = False
    asks: ClassVar[Asks] = "gradient"

    def __post_init__(self) -> None:
        require_positive(rate=self.rate, temperature=self.temperature)
        require(self.steps >= 1, f"escape.steps={self.steps}: must be at least 1")

    def remember(self, runs: int, landscape: Landscape) -> State:
        natural = 2 * _ENERGY * landscape.scale / landscape.size
        temperature = natural if self.temperature is None else self.temperature
        return {"temperature": torch.full((runs,), temperature, dtype=torch.float64)}

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        return walking(runs.theta, {})

    def step(self, runs: Runs, walk: Walk, value: Value, draws: Draws) -> Walk:
        taken = walk.step - 1
        left = 1 - taken / self.steps if self.cooling == "linear" else torch.ones_like(taken, dtype=torch.float64)
        noise = (2 * self.rate * runs.memory["temperature"] * left).sqrt().to(walk.theta).unsqueeze(1)
        kicks = draws.normal(walk.theta.shape[1], Purpose.MOVES, walk.step)
        theta = walk.theta - self.rate * value.gradient + noise * kicks
        return ended(replace(walk, theta=theta), theta, walk.step >= self.steps)

    def leave(self, walk: Walk) -> Walk:
        return halted(walk, walk.theta)

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        return always(runs, loss)
