"""Polishing: from where a descent ended to the bottom that it was on its way to."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.foundation.threads import single_threaded_operations
from basinet.protocols import Engine, Marched, Objective
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.infinity import recede
from basinet.stages.march import march
from basinet.stages.newton import Ended, Outcome, newton
from basinet.stages.tolerances import Tolerances

_QUICK = 6  # Newton steps, which bring a restart that is near its bottom to rest


@dataclass(frozen=True)
class Polishing:
    """How bottoms are sharpened and examined."""

    steps: int  # of Newton's method, and along the flow, at most; 0: none
    radius: float  # how far a restart may move, relative to 1 + ‖θ‖
    dense_max: int  # parameters up to which Hessians are made as a whole
    lanczos_steps: int  # beyond: Hessian-vector products for the ends of the spectrum; 0: none

    def __post_init__(self) -> None:
        for name in ("steps", "dense_max", "lanczos_steps"):
            require(getattr(self, name) >= 0, f"polish.{name}={getattr(self, name)}: must be 0 or more")
        require(0 < self.radius < float("inf"), f"polish.radius={self.radius:g}: must be positive")


@dataclass(frozen=True)
class Polished:
    """One row per restart."""

    theta: Tensor  # [restart, parameter], the bottom, or else the descended point
    loss: Tensor  # [restart], f at theta
    gradient_norm: Tensor  # [restart], ‖∇f‖ at theta
    outcome: Tensor  # [restart] int8, an `Outcome`
    distance: Tensor  # [restart], from the descended point to where polishing got, kept or not
    last_step: Tensor  # [restart], length of the last Newton step tried; NaN where the flow has found no rest
    recedes: Tensor  # [restart] bool: the flow from here rests nowhere, and goes on until nothing is left of its slope
    remaining: Tensor  # [restart], by how much f falls along that flow, relative to its scale
    grows: Tensor  # [restart], by which share ‖θ‖ grows in the last two decades of its time

    def columns(self) -> list[Tensor]:
        """All tensors, in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]

    def rows(self, index: Tensor) -> Polished:
        """The same of some restarts only."""
        return Polished(*(column[index] for column in self.columns()))

    def put(self, index: Tensor, part: Polished) -> Polished:
        """This, with the rows `index` taken from `part`."""
        pairs = zip(self.columns(), part.columns(), strict=True)
        return Polished(*(mine.index_copy(0, index, theirs) for mine, theirs in pairs))


def polish(
    objective: Objective, theta: Tensor, settings: Polishing, tolerances: Tolerances, engine: Engine
) -> Polished:
    """The bottom that the gradient flow leads to from each restart, to rounding level.

    Newton's method finds a bottom nearby, which need not be the one that a descent was on its way to. So where it has
    moved a restart by more than a hair, the flow θ' = -∇f(θ) itself is followed to where it rests (`march`), and
    Newton's method only sharpens that. A restart that has to move farther than `radius` (1 + ‖θ‖), or that the flow
    never brings to rest, keeps its descended point. The loss never rises.

    Args:
        objective: in float64.
        theta: where the descents ended, `[restart, parameter]`; rows that are not finite are skipped.
        settings: with more parameters than `dense_max`, or without steps, all are skipped.
        tolerances: when a restart is at rest.
        engine: what computes derivatives.
    """
    f = Derivatives(objective, engine)
    with single_threaded_operations():
        if objective.size > settings.dense_max or settings.steps == 0:
            return _as_it_is(f, theta)
        return _polished(f, theta, settings, tolerances)


def _as_it_is(f: Derivatives, theta: Tensor) -> Polished:
    """Restarts that polishing has not tried."""
    loss, gradient = f.loss_and_gradient(theta)
    outcome = torch.full_like(loss, int(Outcome.SKIPPED), dtype=torch.int8)
    zero, no = torch.zeros_like(loss), torch.zeros_like(loss, dtype=torch.bool)
    return Polished(theta, loss, norm(gradient), outcome, zero, zero + torch.nan, no, zero + torch.inf, zero)


def _polished(f: Derivatives, theta: Tensor, settings: Polishing, tolerances: Tolerances) -> Polished:
    """By Newton's method where the bottom is near, along the flow where it is not."""
    reach = 1 + norm(theta)
    tried = newton(f, theta, min(settings.radius, tolerances.near) * reach, min(settings.steps, _QUICK), tolerances)
    near = tried.outcome == Outcome.CONVERGED
    now = _moved(_as_it_is(f, theta), tried, near)
    index = (~near & (tried.outcome != Outcome.SKIPPED)).nonzero().squeeze(1)
    if len(index) == 0:
        return now
    return now.put(index, _flowed(f, now.rows(index), settings, tolerances))


def _flowed(f: Derivatives, now: Polished, settings: Polishing, tolerances: Tolerances) -> Polished:
    """Along the flow from `now.theta`, the descended points: to where it rests, or away."""
    theta, reach = now.theta, 1 + norm(now.theta)
    limit = settings.radius * reach
    marched = march(f, theta, tolerances, limit, settings.steps)
    got_to = _sharpened(f, marched, tolerances.near * reach, settings.steps, tolerances)
    rests = marched.rests & (got_to.outcome == Outcome.CONVERGED) & (norm(got_to.theta - theta) <= limit)
    left = norm(marched.theta - theta) > limit
    outcome = torch.where(left, int(Outcome.LEFT_RADIUS), int(Outcome.STALLED))
    outcome = torch.where(rests, int(Outcome.CONVERGED), outcome).to(torch.int8)
    far = recede(f, theta, now.loss, marched, tolerances, settings.steps)
    now = _moved(now, got_to._replace(outcome=outcome), rests)
    return replace(now, recedes=far.recedes & ~rests, remaining=far.remaining, grows=far.grows)


def _sharpened(f: Derivatives, marched: Marched, limit: Tensor, steps: int, tolerances: Tolerances) -> Ended:
    """Where the flow has got to, and where it rests, what Newton's method makes of that."""
    unknown = torch.full_like(marched.loss, torch.nan)
    skipped = torch.full_like(marched.loss, int(Outcome.SKIPPED), dtype=torch.int8)
    got_to = Ended(marched.theta, marched.loss, marched.gradient, unknown, skipped)
    index = marched.rests.nonzero().squeeze(1)
    if len(index) == 0:
        return got_to
    return got_to.put(index, newton(f, marched.theta[index], limit[index], steps, tolerances))


def _moved(now: Polished, ended: Ended, kept: Tensor) -> Polished:
    """`now`, with the points that Newton's method has got to where they are `kept`."""
    return replace(
        now,
        theta=torch.where(kept.unsqueeze(1), ended.theta, now.theta),
        loss=torch.where(kept, ended.loss, now.loss),
        gradient_norm=torch.where(kept, norm(ended.gradient), now.gradient_norm),
        outcome=ended.outcome,
        distance=norm(ended.theta - now.theta),
        last_step=ended.length,
    )
