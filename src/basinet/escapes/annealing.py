"""Simulated annealing."""

from __future__ import annotations

import math
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


@dataclass(frozen=True)
class Annealing:
    """Metropolis at temperatures T_k = T₀ αᵏ, then a descent from where the chain has got to; and again from there.

    T₀ is such that the mean of the first `trials` moves that rise would be accepted with probability `acceptance`:
    T₀ = ⟨rise⟩ / ln(1 / acceptance). At each temperature every coordinate is moved `moves` times, then its width is
    adapted to an acceptance of one half.

    Sources: Kirkpatrick, Gelatt & Vecchi (1983); T₀: Johnson et al. (1989); widths: Corana et al. (1987).
    """

    allowance: Allowance
    temperature: float | None
    acceptance: float
    trials: int
    cooling: float
    temperatures: int
    moves: int
    width: float

    goes_on: ClassVar[bool] = True
    fresh: ClassVar[bool] = False
    asks: ClassVar[Asks] = "loss"

    def __post_init__(self) -> None:
        require_positive(temperature=self.temperature, width=self.width)
        require(0 < self.acceptance < 1, f"escape.acceptance={self.acceptance:g}: must be between 0 and 1")
        require(0 < self.cooling <= 1, f"escape.cooling={self.cooling:g}: must be above 0, and 1 (no cooling) at most")
        for name in ("trials", "temperatures", "moves"):
            require(getattr(self, name) >= 1, f"escape.{name}={getattr(self, name)}: must be at least 1")

    def remember(self, runs: int, landscape: Landscape) -> State:
        return {}

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        nothing = torch.zeros_like(runs.loss)
        state = {
            **metropolis.chain(runs.theta, runs.loss, self.width),
            "temperature": nothing + (self.temperature or 0.0),
            "risen": nothing,  # the sum of how much trial moves rise
            "rises": nothing,  # … and how many do
        }
        return metropolis.set_out(state, draws.uniform(1, Purpose.MOVES)[:, 0])

    def step(self, runs: Runs, walk: Walk, value: Value, draws: Draws) -> Walk:
        chances = draws.uniform(2, Purpose.MOVES, walk.step)
        trials = 0 if self.temperature is not None else self.trials
        trial, move = walk.step <= trials, walk.step - trials - 1  # the number of the move that was asked about
        state = self._tried(walk.state, value, walk.step == trials, trial)
        rise = value.loss.to(state["value"]) - state["value"]
        accepted = ~trial & metropolis.goes(rise, state["temperature"], chances[:, 1])
        after = metropolis.moved(state, walk, value, move.clamp(min=0), accepted)
        size = self.moves * walk.theta.shape[1]  # moves of a temperature
        due = ~trial & ((move + 1) % size == 0)
        after = metropolis.adapted(after, due, self.moves)
        after["temperature"] = torch.where(due, after["temperature"] * self.cooling, after["temperature"])
        proposed = metropolis.proposal(after, (move + 1).clamp(min=0) + walk.step * trial, chances[:, 0])
        done = ~trial & (move + 1 >= size * self.temperatures)
        return ended(replace(walk, theta=proposed, state=after), after["chain"], done)

    def leave(self, walk: Walk) -> Walk:
        return halted(walk, walk.state["chain"])

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        return always(runs, loss)

    def _tried(self, state: State, value: Value, last: Tensor, trial: Tensor) -> State:
        """The state after a trial move, which is not made; after the `last` one with the first temperature."""
        rise = value.loss.to(state["value"]) - state["value"]
        counts = trial & torch.isfinite(rise) & (rise > 0)
        risen, rises = state["risen"] + rise.where(counts, 0.0), state["rises"] + counts
        first = risen / rises.clamp(min=1) / math.log(1 / self.acceptance)
        temperature = torch.where(last & trial, first, state["temperature"])
        return {**state, "risen": risen, "rises": rises, "temperature": temperature}
