"""What a method of escaping is: frozen settings and pure functions of the runs; the loop is in `stages.escape`."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Address, Ahead, Numbers, Purpose

Asks = Literal["nothing", "loss", "gradient"]
"""What the steps of a walk need: a gradient counts 1, a loss a third."""

State = dict[str, Tensor]
"""What a method remembers of runs, by name, each `[run, …]`."""


@dataclass(frozen=True)
class Allowance:
    """When a run ends, and what is kept of it."""

    budget: float  # gradients; a loss alone counts as a third of one
    target: float | Literal["best"] | None
    """A run whose lowest bottom is no higher than this has ended; "best": as low as the lowest of all runs, which is
    known when all of them have spent their budgets."""

    visits: int  # of the first so many runs every visit is kept; of the others those that were the best so far

    def __post_init__(self) -> None:
        require(self.budget > 0, f"escape.budget={self.budget:g}: must be positive (gradients per run)")
        require(self.budget < 2**53, f"escape.budget={self.budget:g}: must be below 2^53")
        finite = not isinstance(self.target, float) or math.isfinite(self.target)
        require(finite, f"escape.target={self.target}: must be a finite loss, best or null")
        require(self.visits >= 0, f"escape.visits={self.visits}: must be 0 or more")


class Landscape(NamedTuple):
    """What a method may know of the function, beside its values."""

    size: int  # number of parameters
    scale: float  # what counts as a large value of f


@dataclass(frozen=True)
class Runs:
    """Where runs are, one row each."""

    theta: Tensor  # [run, parameter], the bottom that a run is at
    loss: Tensor  # [run], f there
    best: Tensor  # [run], the lowest loss of a bottom so far
    memory: State  # what the method carries from round to round


class Phase(enum.IntEnum):
    """How the walk of a round stands (int8)."""

    WALKING = 0  # f is wanted at `theta`
    READY = 1  # the descent begins at `theta`
    FAILED = 2  # no start of a descent was found: the round ends without a visit


@dataclass(frozen=True)
class Walk:
    """A round before its descent, one row per run."""

    theta: Tensor  # [run, parameter]
    step: Tensor  # [run] int64, evaluations so far
    phase: Tensor  # [run] int8, a `Phase`
    state: State  # what the method carries from step to step


class Value(NamedTuple):
    """f where a walk has asked for it."""

    loss: Tensor  # [run]
    gradient: Tensor  # [run, parameter]


class Draws(NamedTuple):
    """The random numbers of some runs' rounds: functions of (seed, restart, round, step) and nothing else."""

    address: Address
    fresh: Callable[[Numbers, Numbers], Tensor]  # starts of the study's init for (restart, round)
    like: Tensor  # of the type and on the device that draws are wanted in
    ahead: Ahead | None = None  # of walks: what their next steps draw

    def normal(self, size: int, purpose: Purpose, step: Tensor | int = 0) -> Tensor:
        """`[run, size]`."""
        return self._tensor((self.ahead or self.address).normal(size, purpose, _numbers(step)))

    def uniform(self, size: int, purpose: Purpose, step: Tensor | int = 0) -> Tensor:
        """`[run, size]`, between 0 and 1."""
        return self._tensor((self.ahead or self.address).uniform(size, purpose, _numbers(step)))

    def starts(self) -> Tensor:
        """Starts of the study's init, `[run, parameter]`: others in every round."""
        return self.fresh(self.address.restart, self.address.round).to(self.like)

    def _tensor(self, values: object) -> Tensor:
        return torch.from_numpy(values).to(self.like)


def _numbers(step: Tensor | int) -> Numbers | int:
    return step if isinstance(step, int) else step.cpu().numpy()


class Judged(NamedTuple):
    """What becomes of runs after a round."""

    accepted: Tensor  # [run] bool: they move to the bottom that was reached
    memory: State


class Escape(Protocol):
    """A member of `escape=`: frozen settings that say how a run gets away from a bottom.

    Every function is elementwise over runs: what one of them does must not depend on which others are asked for.
    """

    asks: ClassVar[Asks]

    goes_on: ClassVar[bool]
    """Whether anything follows the descent of a restart."""

    fresh: ClassVar[bool]
    """Whether it needs starts beside those that restarts have."""

    @property
    def allowance(self) -> Allowance:
        """When runs end, and what is kept of them."""
        ...

    def remember(self, runs: int, landscape: Landscape) -> State:
        """The memory of so many runs before their first round."""
        ...

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        """The walk of a round before its first step."""
        ...

    def step(self, runs: Runs, walk: Walk, value: Value, draws: Draws) -> Walk:
        """The walk when f is known where it asked for it; `walk.step` counts that evaluation already."""
        ...

    def leave(self, walk: Walk) -> Walk:
        """A walk that has to end now, since the budget is spent: ready or failed."""
        ...

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        """Whether runs move to the bottoms that they have reached: at `theta`, of the height `loss`."""
        ...


class Immediate:
    """A method whose rounds begin with their descent: there is no walk before it."""

    asks: ClassVar[Asks] = "nothing"

    def step(self, runs: Runs, walk: Walk, value: Value, draws: Draws) -> Walk:
        raise AssertionError("there is no walk")

    def leave(self, walk: Walk) -> Walk:
        return walk


def ready(theta: Tensor) -> Walk:
    """A descent that begins at once."""
    return Walk(theta, _counts(theta), _counts(theta).to(torch.int8) + int(Phase.READY), {})


def walking(theta: Tensor, state: State) -> Walk:
    """A walk whose first question is f at `theta`."""
    return Walk(theta, _counts(theta), _counts(theta).to(torch.int8) + int(Phase.WALKING), state)


def ended(walk: Walk, theta: Tensor, where: Tensor, phase: Phase = Phase.READY) -> Walk:
    """The walk, at its end at `theta` for the runs `where [run]`."""
    return replace(
        walk,
        theta=torch.where(where.unsqueeze(1), theta, walk.theta),
        phase=walk.phase.masked_fill(where, int(phase)),
    )


def halted(walk: Walk, theta: Tensor, phase: Phase = Phase.READY) -> Walk:
    """The walks of all runs, at their end at `theta`."""
    return ended(walk, theta, torch.ones_like(walk.step, dtype=torch.bool), phase)


def always(runs: Runs, loss: Tensor) -> Judged:
    """Runs move to wherever they have got to."""
    return Judged(torch.ones_like(loss, dtype=torch.bool), runs.memory)


def _counts(theta: Tensor) -> Tensor:
    return torch.zeros(theta.shape[0], dtype=torch.int64, device=theta.device)


def require_positive(**settings: float | None) -> None:
    """Raise `ConfigError` unless the settings of these names are positive and finite, or open."""
    for name, value in settings.items():
        fits = value is None or 0 < value < math.inf
        require(fits, f"escape.{name}={value}: must be positive")
