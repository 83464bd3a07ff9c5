"""Stochastic tunnelling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from basinet.escapes import metropolis
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
)
from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose

_STEEPNESS = 5.0  # γ times the scale of f, where the settings leave it open
_SWEEPS = 10  # moves of every coordinate after which widths are adapted
_MEMORY = 0.1  # weight of the newest value in the moving average


@dataclass(frozen=True)
class Stun:
    """Metropolis on F = 1 - exp(-γ (f - f_best)), which flattens all that is above the best point so far; a descent.

    Where a moving average of F exceeds `threshold`, the chain is in a high valley: the temperature is raised so that it
    tunnels, up to 1, the height of the plateau; else lowered so that it searches. That is asked whenever every
    coordinate was moved once. Since nothing keeps a chain on a plateau, no move leads farther than `reach` from its
    bottom.

    Source: Wenzel & Hamacher (1999).
    """

    allowance: Allowance
    gamma: float | None
    temperature: float
    threshold: float
    factor: float
    moves: int
    width: float
    reach: float

    goes_on: ClassVar[bool] = True
    fresh: ClassVar[bool] = False
    asks: ClassVar[Asks] = "loss"

    def __post_init__(self) -> None:
        require_positive(gamma=self.gamma, temperature=self.temperature, threshold=self.threshold, width=self.width)
        require_positive(reach=self.reach)
        require(0 < self.factor <= 1, f"escape.factor={self.factor:g}: must be above 0, and 1 (fixed) at most")
        require(self.moves >= 1, f"escape.moves={self.moves}: must be at least 1")

    def remember(self, runs: int, landscape: Landscape) -> State:
        gamma = _STEEPNESS / landscape.scale if self.gamma is None else self.gamma
        return {"gamma": torch.full((runs,), gamma, dtype=torch.float64)}

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        lowest = torch.minimum(runs.best, runs.loss)
        state = {
            **metropolis.chain(runs.theta, runs.loss, self.width),
            "lowest": lowest,
            "temperature": torch.full_like(runs.loss, self.temperature),
            "mean": self._energy(runs.loss, lowest, runs),
        }
        return metropolis.set_out(state, draws.uniform(1, Purpose.MOVES)[:, 0])

    def step(self, runs: Runs, walk: Walk, value: Value, draws: Draws) -> Walk:
        chances = draws.uniform(2, Purpose.MOVES, walk.step)
        size, move, state = walk.theta.shape[1], walk.step - 1, walk.state
        lowest = torch.fmin(state["lowest"], value.loss.to(state["lowest"]))
        rise = self._energy(value.loss, lowest, runs) - self._energy(state["value"], lowest, runs)
        away = torch.linalg.vector_norm(walk.theta - runs.theta, dim=1)
        within = away <= self.reach * (1 + torch.linalg.vector_norm(runs.theta, dim=1))
        accepted = within & metropolis.goes(rise, state["temperature"], chances[:, 1])
        after = metropolis.moved(state, walk, value, move, accepted)
        mean = state["mean"] + _MEMORY * (self._energy(after["value"], lowest, runs) - state["mean"])
        sweep = (move + 1) % size == 0
        change = torch.where(mean > self.threshold, 1 / self.factor, self.factor)
        temperature = torch.where(sweep, state["temperature"] * change, state["temperature"]).clamp(max=1.0)
        after = metropolis.adapted(after, (move + 1) % (size * _SWEEPS) == 0, _SWEEPS)
        after |= {"lowest": lowest, "mean": mean, "temperature": temperature}
        proposed = metropolis.proposal(after, move + 1, chances[:, 0])
        return ended(replace(walk, theta=proposed, state=after), after["chain"], move + 1 >= size * self.moves)

    def leave(self, walk: Walk) -> Walk:
        return halted(walk, walk.state["chain"])

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        return always(runs, loss)

    def _energy(self, loss: Tensor, lowest: Tensor, runs: Runs) -> Tensor:
        """F, `[run]`; 1 where f is not finite."""
        energy = -torch.expm1(-runs.memory["gamma"] * (loss.double() - lowest.double()))
        return torch.where(torch.isfinite(loss), energy, 1.0)
