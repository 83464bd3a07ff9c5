"""Newton's method in a trust region, for many restarts at once."""

from __future__ import annotations

import enum
import time
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.foundation.threads import single_threaded_operations
from basinet.linalg.eigen import eigenvectors
from basinet.protocols import Engine, Objective
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.tolerances import Tolerances

_SMALLEST_REGION = 1e-14  # relative to 1 + ‖θ‖: no step can be told from rounding any more
_ROUNDING = 1e-15  # a loss that rises by less, relative to itself, has not risen
_INVISIBLE = 1e-13  # a loss that is foretold to fall by less, relative to itself, may show anything


class Outcome(enum.IntEnum):
    """How polishing a restart ended (int8)."""

    CONVERGED = 0  # the gradient is at rounding level: theta is the polished point
    LEFT_RADIUS = 1  # the bottom is farther than the radius: theta is the descended point
    STALLED = 2  # no step within the radius lowers the loss, or the steps were used up: theta is the descended point
    SKIPPED = 3  # not tried: diverged, too many parameters, or polish=none


class Ended(NamedTuple):
    """Where Newton's method has got to, one row per restart."""

    theta: Tensor  # [restart, parameter]
    loss: Tensor  # [restart], f at theta
    gradient: Tensor  # [restart, parameter], there
    length: Tensor  # [restart], of the last step tried
    outcome: Tensor  # [restart] int8, an `Outcome`

    def put(self, index: Tensor, part: Ended) -> Ended:
        """This, with the rows `index` taken from `part`."""
        return Ended(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(self, part, strict=True)))


def newton(f: Derivatives, theta: Tensor, limit: Tensor, steps: int, tolerances: Tolerances) -> Ended:
    """Newton's method in a trust region, from each restart until its gradient is at rounding level.

        p = argmin ∇f·p + ½ pᵀ H p  with ‖p‖ ≤ Δ (`Engine.newton_step`)

    Δ comes from how well the quadratic model foretold the last step; a step that raises the loss is not taken.

    Source: Nocedal & Wright (2006), *Numerical Optimization*, chapter 4.

    Args:
        f: what is minimised.
        theta: where to begin, `[restart, parameter]`; rows that are not finite are skipped.
        limit: a restart whose path leads farther away than this is given up, `[restart]`.
        steps: at most.
        tolerances: when a gradient is at rounding level.
    """
    state = _follow(f, _start(f, theta, limit), _Way(theta, limit, steps, tolerances))
    outcome = torch.where(state.outcome == _OPEN, int(Outcome.STALLED), state.outcome.to(torch.int64)).to(torch.int8)
    return Ended(state.theta, state.loss, state.gradient, state.length, outcome)


def newton_seconds(objective: Objective, theta: Tensor, engine: Engine) -> float:
    """Seconds that a Newton step of one restart takes, measured on a few `theta [restart, parameter]`.

    Its Hessian and its eigenvectors are what counts. The latter take some 10 P³ operations: where P is large they are
    timed on a part of the Hessian, so that to know what is dear is not dear itself.
    """
    f = Derivatives(objective, engine)
    with single_threaded_operations():
        start = time.perf_counter()
        if objective.size <= MEASURED:
            f.newton_step(theta, theta, torch.full_like(theta[:, 0], torch.inf))
            return (time.perf_counter() - start) / len(theta)
        hessian = f.hessian(theta)
        made = time.perf_counter() - start
        part = hessian[:, :MEASURED, :MEASURED].contiguous()
        return (made + eigenvectors_seconds(part, objective.size, engine.threads)) / len(theta)


def eigenvectors_seconds(parts: Tensor, size: int, threads: int) -> float:
    """Seconds for eigenvectors of matrices with `size` rows, measured on `parts [matrix, row, row]` of them."""
    with single_threaded_operations():
        start = time.perf_counter()
        eigenvectors(parts, threads)
        return (time.perf_counter() - start) * (size / parts.shape[1]) ** 3


MEASURED = 512
"""Rows of a matrix whose eigenvectors are timed where it has more."""

_OPEN = 4


class _Way(NamedTuple):
    """How far and how long restarts may be followed, and when they have arrived."""

    start: Tensor  # [restart, parameter]
    limit: Tensor  # [restart]: whoever gets farther from its start has left its radius
    steps: int
    tolerances: Tolerances

    def rows(self, index: Tensor) -> _Way:
        return self._replace(start=self.start[index], limit=self.limit[index])


class _State(NamedTuple):
    theta: Tensor
    loss: Tensor
    gradient: Tensor
    region: Tensor  # Δ
    length: Tensor  # of the last step tried
    outcome: Tensor

    def rows(self, index: Tensor) -> _State:
        return _State(*(column[index] for column in self))

    def scatter(self, index: Tensor, part: _State) -> _State:
        return _State(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(self, part, strict=True)))


class _Trial(NamedTuple):
    """Where a Newton step leads, one row per restart."""

    theta: Tensor
    loss: Tensor
    gradient: Tensor
    length: Tensor  # of the step
    foretold: Tensor  # by how much the model falls along it
    curvature: Tensor  # Frobenius norm of the Hessian where it begins


class _Verdict(NamedTuple):
    """What is to be thought of a step, `[restart]` bool each."""

    better: Tensor  # it does not raise the loss
    outside: Tensor  # it leads beyond the radius
    at_rest: Tensor  # the gradient where it begins is at rounding level
    taken: Tensor


def _follow(f: Derivatives, state: _State, way: _Way) -> _State:
    """Newton steps for all restarts whose outcome is open, until none is."""
    for _ in range(way.steps):
        active = (state.outcome == _OPEN).nonzero().squeeze(1)
        if len(active) == 0:
            break
        state = state.scatter(active, _iterate(f, state.rows(active), way.rows(active)))
    return state


def _start(f: Derivatives, theta: Tensor, limit: Tensor) -> _State:
    loss, gradient = f.loss_and_gradient(theta)
    finite = torch.isfinite(loss) & torch.isfinite(gradient).all(1) & torch.isfinite(theta).all(1)
    outcome = torch.where(finite, _OPEN, int(Outcome.SKIPPED)).to(torch.int8)
    return _State(theta, loss, gradient, limit, torch.full_like(loss, torch.nan), outcome)


def _iterate(f: Derivatives, state: _State, way: _Way) -> _State:
    """One Newton step for every restart, taken or refused."""
    made = f.newton_step(state.theta, state.gradient, state.region)
    theta = state.theta + made.step
    trial = _Trial(theta, *f.loss_and_gradient(theta), norm(made.step), made.foretold, made.curvature)
    verdict = _judged(f, state, trial, way)
    region = _region(state, trial, verdict, way)
    taken = verdict.taken.unsqueeze(1)
    return _State(
        torch.where(taken, trial.theta, state.theta),
        torch.where(verdict.taken, trial.loss, state.loss),
        torch.where(taken, trial.gradient, state.gradient),
        region,
        trial.length,
        _outcome(state, trial, verdict, region, way),
    )


def _judged(f: Derivatives, state: _State, trial: _Trial, way: _Way) -> _Verdict:
    """Whether a step is taken: if it does not raise the loss, and stays within the radius."""
    before, after = norm(state.gradient), norm(trial.gradient)
    at_rest = before <= way.tolerances.stationary * trial.curvature * (1 + norm(state.theta))
    # Where the foretold fall is less than the loss can show, the gradient tells whether a step is good.
    invisible = (trial.foretold <= f.rounding(state.loss, _INVISIBLE)) & (after < before)
    rise = f.rounding(state.loss, torch.where(invisible, _INVISIBLE, _ROUNDING))
    better = (trial.loss <= state.loss + rise) & torch.isfinite(trial.gradient).all(1)
    outside = norm(trial.theta - way.start) > way.limit
    # Once at rest, a step is still worth taking where it lowers the gradient: Newton's squares the error.
    return _Verdict(better, outside, at_rest, better & ~outside & (~at_rest | (after < before)))


def _region(state: _State, trial: _Trial, verdict: _Verdict, way: _Way) -> Tensor:
    """Δ for the next step: larger where the model has foretold this one well, smaller where it has not."""
    exact = (state.loss - trial.loss) / trial.foretold.clamp(min=torch.finfo(trial.foretold.dtype).tiny)
    larger = torch.maximum(state.region, 2 * trial.length)
    region = torch.where(verdict.better & (exact > 0.75), larger, state.region)
    region = torch.minimum(region, way.limit)
    return torch.where(~verdict.better | (exact < 0.1) & ~verdict.at_rest, trial.length / 4, region)


def _outcome(state: _State, trial: _Trial, verdict: _Verdict, region: Tensor, way: _Way) -> Tensor:
    """Whether a restart has come to an end with this step, and which; int8."""
    reach = 1 + norm(state.theta)
    converged = verdict.at_rest & (trial.length <= way.tolerances.settled * reach)
    outcome = state.outcome.to(torch.int64)
    outcome = torch.where(region <= _SMALLEST_REGION * reach, int(Outcome.STALLED), outcome)
    outcome = torch.where(verdict.better & verdict.outside, int(Outcome.LEFT_RADIUS), outcome)
    outcome = torch.where(converged, int(Outcome.CONVERGED), outcome)
    return outcome.to(torch.int8)
