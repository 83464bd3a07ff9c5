"""TRUST: terminal repeller unconstrained subenergy tunnelling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from basinet.escapes.seam import (
    Allowance,
    Asks,
    Draws,
    Judged,
    Landscape,
    Phase,
    Runs,
    State,
    Value,
    Walk,
    ended,
    halted,
    require_positive,
    walking,
)
from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose

_LEAST = 1e-300


@dataclass(frozen=True)
class Trust:
    """The flow of E(x) = log(1 / (1 + exp(-(f - f* + a)))) - ¾ ρ Σ_i (x_i - x*_i)^(4/3) from beside a bottom x*,

        x' = -∇f / (1 + exp(f - f* + a)) + ρ (x - x*)^(1/3),

    followed at unit speed until f < f*: there the repeller is switched off, and the descent begins. The subenergy
    leaves minima where they are and flattens what is above f*; the repeller, whose force at x* is 0 with an infinite
    slope, is left in finite time. f is measured in units of its scale. A walk fails after `steps` gradients, or beyond
    `reach`, and the next one leaves in another direction.

    Source: Cetin, Barhen & Burdick (1993).
    """

    allowance: Allowance
    start: float
    offset: float
    repeller: float
    step_size: float
    steps: int
    reach: float

    goes_on: ClassVar[bool] = True
    fresh: ClassVar[bool] = False
    asks: ClassVar[Asks] = "gradient"

    def __post_init__(self) -> None:
        require_positive(start=self.start, repeller=self.repeller, step_size=self.step_size, reach=self.reach)
        require(abs(self.offset) < 100, f"escape.offset={self.offset:g}: must be between -100 and 100")
        require(self.steps >= 1, f"escape.steps={self.steps}: must be at least 1")

    def remember(self, runs: int, landscape: Landscape) -> State:
        return {"scale": torch.full((runs,), landscape.scale, dtype=torch.float64)}

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        normal = draws.normal(runs.theta.shape[1], Purpose.MOVES)
        direction = normal / torch.linalg.vector_norm(normal, dim=1, keepdim=True)
        return walking(runs.theta + self.start * direction, {})

    def step(self, runs: Runs, walk: Walk, value: Value, draws: Draws) -> Walk:
        x, scale = walk.theta, runs.memory["scale"].to(walk.theta)
        above = (value.loss - runs.loss.to(value.loss)) / scale
        down = value.gradient * (torch.sigmoid(-(above + self.offset)) / scale).unsqueeze(1)
        aside = x - runs.theta
        force = self.repeller * aside.sign() * aside.abs().pow(1 / 3) - down
        theta = x + self.step_size * force / torch.linalg.vector_norm(force, dim=1, keepdim=True).clamp(min=_LEAST)
        found = above < 0
        away = torch.linalg.vector_norm(aside, dim=1)
        reach = self.reach * (1 + torch.linalg.vector_norm(runs.theta, dim=1))
        lost = ~found & ((walk.step >= self.steps) | ~(away <= reach))
        walk = ended(replace(walk, theta=theta), x, lost, Phase.FAILED)
        return ended(walk, x, found)

    def leave(self, walk: Walk) -> Walk:
        return halted(walk, walk.theta, Phase.FAILED)

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        return Judged(loss <= runs.loss, runs.memory)
