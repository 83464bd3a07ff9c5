"""Basin hopping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from basinet.escapes.seam import (
    Allowance,
    Draws,
    Immediate,
    Judged,
    Landscape,
    Runs,
    State,
    Walk,
    ready,
    require_positive,
)
from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose

_TEMPERATURE = 0.02  # of the scale of f, where the settings leave it open


@dataclass(frozen=True)
class BasinHopping(Immediate):
    """θ' = descent from θ + s ξ, accepted with probability min(1, exp(-(f' - f) / T)).

    ξ ~ N(0, I), or uniform on [-1, 1] along every axis. After every `interval` rounds s is divided by `factor` if more
    than the share `acceptance` of them were accepted, else multiplied: each run has its own.

    Sources: Li & Scheraga (1987), Wales & Doye (1997).
    """

    allowance: Allowance
    step_size: float
    moves: Literal["normal", "uniform"]
    temperature: float | None
    interval: int
    acceptance: float
    factor: float

    goes_on: ClassVar[bool] = True
    fresh: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(step_size=self.step_size)
        fits = self.temperature is None or 0 <= self.temperature < float("inf")
        require(fits, f"escape.temperature={self.temperature}: must be 0 (never uphill) or more")
        require(self.interval >= 1, f"escape.interval={self.interval}: must be at least 1 round")
        require(0 < self.acceptance < 1, f"escape.acceptance={self.acceptance:g}: must be between 0 and 1")
        require(0 < self.factor <= 1, f"escape.factor={self.factor:g}: must be above 0, and 1 (fixed steps) at most")

    def remember(self, runs: int, landscape: Landscape) -> State:
        temperature = _TEMPERATURE * landscape.scale if self.temperature is None else self.temperature
        full = torch.ones(runs, dtype=torch.float64)
        return {
            "step_size": full * self.step_size,
            "temperature": full * temperature,
            "tried": full * 0,  # rounds since the last change of the step size
            "taken": full * 0,  # … of which were accepted
        }

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        size = runs.theta.shape[1]
        if self.moves == "normal":
            moves = draws.normal(size, Purpose.MOVES)
        else:
            moves = 2 * draws.uniform(size, Purpose.MOVES) - 1
        return ready(runs.theta + runs.memory["step_size"].unsqueeze(1).to(moves) * moves)

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        memory = runs.memory
        rise = (loss - runs.loss).double()
        chance = draws.uniform(1, Purpose.CHANCES).squeeze(1).double()
        # Of u < exp(-rise / T) the form that has no quotient, which T = 0 would spoil; log u < 0.
        accepted = (rise <= 0) | (chance.log() * memory["temperature"] < -rise)
        tried, taken = memory["tried"] + 1, memory["taken"] + accepted
        due = tried >= self.interval
        wider = taken > self.acceptance * tried
        changed = torch.where(wider, memory["step_size"] / self.factor, memory["step_size"] * self.factor)
        return Judged(
            accepted,
            {
                **memory,
                "step_size": torch.where(due, changed, memory["step_size"]),
                "tried": tried.masked_fill(due, 0.0),
                "taken": taken.masked_fill(due, 0.0),
            },
        )
