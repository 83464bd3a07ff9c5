"""The tunnelling algorithm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

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
    require_positive,
    walking,
)
from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose

_SAME = 1e-9  # of the scale of f: two bottoms are at one level
_LEAST = 1e-300  # above the level, where the logarithm still is a number
_WIDER, _NARROWER = 1.5, 0.5  # what a step along the way is multiplied by where it has succeeded, and where not
_STUCK = 1e-4  # of the first distance: a step so short has come to rest above the level
_FAR = 10.0  # first distances from where a movable pole is taken away


class _Point(NamedTuple):
    """log T and its gradient at points, and how far they are from the nearest pole."""

    value: Tensor  # [run], with the movable pole
    without: Tensor  # [run], without it
    slope: Tensor  # [run, parameter]
    nearest: Tensor  # [run]
    from_movable: Tensor  # [run]


@dataclass(frozen=True)
class Tunnelling:
    """From a bottom x* of height f* to a point of another basin that is not higher, a zero of

        T(x) = (f(x) - f*) / Π_i ‖x - x*_i‖^(2 η),

    with a pole at x* and at every bottom met at its level: so that no descent of T returns. A walk descends log T from
    beside x* with steps that grow where they succeed. Where it comes to rest above the level, a movable pole pushes it
    off. It fails after `steps` gradients, or beyond `reach`, and the next one leaves in another direction. Poles belong
    to one copy of a bottom: symmetric copies are zeros of T, too, but no discoveries.

    Source: Levy & Montalvo (1985).
    """

    allowance: Allowance
    start: float
    strength: float
    poles: int
    steps: int
    reach: float

    goes_on: ClassVar[bool] = True
    fresh: ClassVar[bool] = False
    asks: ClassVar[Asks] = "gradient"

    def __post_init__(self) -> None:
        require_positive(start=self.start, strength=self.strength, reach=self.reach)
        for name in ("poles", "steps"):
            require(getattr(self, name) >= 1, f"escape.{name}={getattr(self, name)}: must be at least 1")

    def remember(self, runs: int, landscape: Landscape) -> State:
        full = torch.ones(runs, dtype=torch.float64)
        return {
            "poles": full.new_zeros(runs, self.poles * landscape.size),  # other bottoms at the level of the run's
            "count": full * 0,  # … met so far, of which the last `poles` are there
            "same": full * _SAME * landscape.scale,
        }

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        nothing = torch.zeros_like(runs.loss)
        state = {
            "last": runs.theta,
            "value": nothing + torch.inf,  # log T there: whatever comes first is accepted
            "slope": torch.zeros_like(runs.theta),
            "length": nothing + self.start,
            "movable": torch.zeros_like(runs.theta),
            "push": nothing,  # strength of the movable pole; 0: there is none
        }
        return walking(runs.theta + self.start * self._direction(runs.theta, draws, 0), state)

    def step(self, runs: Runs, walk: Walk, value: Value, draws: Draws) -> Walk:
        x, state = walk.theta, walk.state
        here = self._point(runs, walk, value)
        found = (value.loss <= runs.loss) & (here.nearest >= self.start / 2)
        better = here.value < state["value"]
        gone = here.from_movable > _FAR * self.start
        length = torch.where(better, state["length"] * _WIDER, state["length"] * _NARROWER)
        after = {
            **state,
            "last": torch.where(better.unsqueeze(1), x, state["last"]),
            "value": torch.where(better, torch.where(gone, here.without, here.value), state["value"]),
            "slope": torch.where(better.unsqueeze(1), here.slope, state["slope"]),
            "length": length,
            "push": state["push"].masked_fill(better & gone, 0.0),
        }
        stuck = length < _STUCK * self.start
        after |= self._pushed(after, stuck)
        along = after["slope"] / torch.linalg.vector_norm(after["slope"], dim=1, keepdim=True).clamp(min=_LEAST)
        ahead = torch.where(stuck.unsqueeze(1), -self._direction(x, draws, walk.step), along)
        theta = after["last"] - after["length"].to(x).unsqueeze(1) * ahead
        away = torch.linalg.vector_norm(theta - runs.theta, dim=1)
        reach = self.reach * (1 + torch.linalg.vector_norm(runs.theta, dim=1))
        lost = ~found & ((walk.step >= self.steps) | ~(away <= reach))
        walk = ended(replace(walk, theta=theta, state=after), x, lost, Phase.FAILED)
        return ended(walk, x, found)

    def leave(self, walk: Walk) -> Walk:
        return ended(walk, walk.theta, torch.ones_like(walk.step, dtype=torch.bool), Phase.FAILED)

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        memory, same = runs.memory, runs.memory["same"]
        accepted, lower = loss <= runs.loss + same, loss < runs.loss - same
        equal = accepted & ~lower
        count = memory["count"]
        slot = (count % self.poles).long().unsqueeze(1)
        poles = memory["poles"].unflatten(1, (self.poles, theta.shape[1]))
        index = slot.unsqueeze(2).expand(-1, 1, theta.shape[1])
        with_this = poles.scatter(1, index, runs.theta.to(poles).unsqueeze(1))
        poles = torch.where(equal.view(-1, 1, 1), with_this, poles).flatten(1)
        count = torch.where(lower, 0.0, count + equal)
        return Judged(accepted, {**memory, "poles": poles, "count": count})

    def _pushed(self, state: State, stuck: Tensor) -> State:
        """A movable pole where the walk is stuck, stronger where there is one already; it goes on from any height."""
        return {
            "movable": torch.where(stuck.unsqueeze(1), state["last"], state["movable"]),
            "push": state["push"] + stuck,
            "value": state["value"].masked_fill(stuck, torch.inf),
            "length": state["length"].masked_fill(stuck, self.start),
        }

    def _direction(self, theta: Tensor, draws: Draws, step: Tensor | int) -> Tensor:
        """A random direction, `[run, parameter]`."""
        normal = draws.normal(theta.shape[1], Purpose.MOVES, step)
        length: Tensor = torch.linalg.vector_norm(normal, dim=1, keepdim=True)
        return normal / length

    def _point(self, runs: Runs, walk: Walk, value: Value) -> _Point:
        x, state = walk.theta, walk.state
        above = (value.loss - runs.loss).clamp(min=_LEAST)
        others = runs.memory["poles"].unflatten(1, (self.poles, x.shape[1])).to(x)
        places = torch.cat([runs.theta.unsqueeze(1), others], 1)  # [run, pole, parameter]
        there = torch.arange(self.poles + 1) <= runs.memory["count"].unsqueeze(1)  # the first is that of the run's own
        apart = x.unsqueeze(1) - places
        squares = (apart * apart).sum(2).clamp(min=_LEAST)
        logs = squares.log().where(there, 0.0).sum(1)
        pulls = (apart / squares.unsqueeze(2)).where(there.unsqueeze(2), 0.0).sum(1)
        aside = x - state["movable"]
        square = (aside * aside).sum(1).clamp(min=_LEAST)
        without = above.log() - self.strength * logs
        slope = value.gradient / above.unsqueeze(1) - 2 * self.strength * pulls
        push = state["push"].to(x)
        return _Point(
            value=without - push * square.log(),
            without=without,
            slope=slope - (2 * push / square).unsqueeze(1) * aside,
            nearest=squares.where(there, torch.inf).amin(1).sqrt(),
            from_movable=square.sqrt(),
        )
