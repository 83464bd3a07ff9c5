"""Polishing: from where a descent ended to the bottom itself, by Newton steps in a trust region, within the basin."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.foundation.threads import single_threaded_operations
from basinet.linalg.eigen import eigenvectors
from basinet.protocols import Engine, Objective
from basinet.stages.tolerances import Tolerances

_SHIFT = 1e-10  # smallest shift of the spectrum, relative to ‖H‖: flat directions of a degenerate bottom stay still
_SMALLEST_REGION = 1e-14  # relative to 1 + ‖θ‖: no step can be told from rounding any more
_ROUNDING = 1e-15  # a loss that rises by less, relative to itself, has not risen
_INVISIBLE = 1e-13  # a loss that is foretold to fall by less, relative to itself, may show anything
_LARGEST_REGION = 0.1  # of the limit: what still swings is settled before a restart can leave, and none is leapt over
_BISECTIONS = 50  # of the shift, which then is exact enough: its range is bounded to begin with


class Outcome(enum.IntEnum):
    """How polishing a restart ended (int8)."""

    CONVERGED = 0  # the gradient is at rounding level: theta is the polished point
    LEFT_RADIUS = 1  # the bottom is farther than the radius: theta is the descended point
    STALLED = 2  # no step within the radius lowers the loss, or the steps were used up: theta is the descended point
    SKIPPED = 3  # not tried: diverged, too many parameters, or polish=none


@dataclass(frozen=True)
class Polishing:
    """How bottoms are sharpened and examined."""

    steps: int  # Newton steps at most; 0: none
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

    theta: Tensor  # [restart, parameter]
    loss: Tensor  # [restart], f at theta
    gradient_norm: Tensor  # [restart], ‖∇f‖ at theta
    outcome: Tensor  # [restart] int8, an `Outcome`
    distance: Tensor  # [restart], from the descended point to where Newton got, kept or not
    last_step: Tensor  # [restart], length of the last Newton step tried
    gradient_norm_reached: Tensor  # [restart], ‖∇f‖ there
    rests_beyond: Tensor  # [restart] bool: not converged, but Newton comes to rest somewhat beyond the radius
    outward: Tensor  # [restart], cosine of the way that Newton went and θ where it began: > 0 if it made ‖θ‖ larger
    outward_descended: Tensor  # [restart], cosine of -∇f and θ at the descended point, where a descent may still swing


def polish(
    objective: Objective, theta: Tensor, settings: Polishing, tolerances: Tolerances, engine: Engine
) -> Polished:
    """Newton's method in a trust region, from each restart until its gradient is at rounding level.

        p = argmin ∇f·p + ½ pᵀ H p  with ‖p‖ ≤ Δ,      p = -(H + μ I)⁻¹ ∇f  with μ ≥ 0 and H + μ I positive definite

    The shift μ comes from the eigendecomposition of H, and Δ from how well the quadratic model foretold the last step.
    A step is taken only if it does not raise the loss. A restart whose path leads farther away than `radius` (1 + ‖θ‖)
    is given up and keeps its descended point: that is another basin, or infinity.

    Source: Moré & Sorensen (1983), *Computing a trust region step*; Nocedal & Wright (2006), chapter 4.

    Args:
        objective: in float64.
        theta: where the descents ended, `[restart, parameter]`; rows that are not finite are skipped.
        settings: with more parameters than `dense_max`, or without steps, all are skipped.
        tolerances: when a gradient is at rounding level.
        engine: what computes derivatives.
    """
    f = _Function(objective, engine)
    limit = settings.radius * (1 + _norm(theta))
    state = _start(f, theta, limit)
    if objective.size > settings.dense_max or settings.steps == 0:
        state = state._replace(outcome=torch.full_like(state.outcome, int(Outcome.SKIPPED)))
    with single_threaded_operations():
        state = _follow(f, state, _Way(theta, limit, settings.steps, tolerances))
        return _finished(f, theta, state, _rests_beyond(f, state, theta, settings.steps, tolerances))


def newton_seconds(objective: Objective, theta: Tensor, engine: Engine) -> float:
    """Seconds that a Newton step of one restart takes, measured on a few `theta [restart, parameter]`.

    Its Hessian and its eigenvectors are what counts. The latter take some 10 P³ operations: where P is large they are
    timed on a part of the Hessian, so that to know what is dear is not dear itself.
    """
    f, measured = _Function(objective, engine), min(objective.size, _MEASURED)
    with single_threaded_operations():
        start = time.perf_counter()
        hessian = f.hessian(theta)
        made = time.perf_counter()
        eigenvectors(hessian[:, :measured, :measured].contiguous(), engine.threads)
        done = time.perf_counter()
    return (made - start + (done - made) * (objective.size / measured) ** 3) / len(theta)


_OPEN = 4
_MEASURED = 512  # rows of a Hessian whose eigenvectors are timed


class _Function(NamedTuple):
    """What is minimised, and what computes its derivatives."""

    objective: Objective
    engine: Engine

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.engine.loss_and_gradient(self.objective, theta)

    def hessian(self, theta: Tensor) -> Tensor:
        return self.engine.hessian(self.objective, theta)


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


class _Model(NamedTuple):
    """f around θ to second order: what is known of its Hessian."""

    eigenvalues: Tensor  # [restart, parameter], ascending
    vectors: Tensor  # [restart, parameter, eigenvalue]
    norm: Tensor  # [restart], Frobenius norm

    @staticmethod
    def of(f: _Function, theta: Tensor) -> _Model:
        hessian = f.hessian(theta)
        return _Model(*eigenvectors(hessian, f.engine.threads), torch.linalg.matrix_norm(hessian))

    def rows(self, index: Tensor) -> _Model:
        return _Model(*(column[index] for column in self))


class _Trial(NamedTuple):
    """Where a Newton step leads, one row per restart."""

    theta: Tensor
    loss: Tensor
    gradient: Tensor
    length: Tensor  # of the step
    foretold: Tensor  # by how much the model falls along it


class _Verdict(NamedTuple):
    """What is to be thought of a step, `[restart]` bool each."""

    better: Tensor  # it does not raise the loss
    outside: Tensor  # it leads beyond the radius
    at_rest: Tensor  # the gradient where it begins is at rounding level
    taken: Tensor


def _follow(f: _Function, state: _State, way: _Way) -> _State:
    """Newton steps for all restarts whose outcome is open, until none is."""
    refused, model = torch.empty(0, dtype=torch.int64), None
    for _ in range(way.steps):
        active = (state.outcome == _OPEN).nonzero().squeeze(1)
        if len(active) == 0:
            break
        model = _models(f, state.theta, active, refused, model)
        part, verdict = _iterate(f, model, state.rows(active), way.rows(active))
        state = state.scatter(active, part)
        again = (~verdict.taken & (part.outcome == _OPEN)).nonzero().squeeze(1)
        refused, model = active[again], model.rows(again)
    return state


def _models(f: _Function, theta: Tensor, rows: Tensor, known: Tensor, model: _Model | None) -> _Model:
    """Those at `theta[rows]`; of the rows `known`, which stand where they stood, `model` is still that."""
    if model is None or len(known) == 0:
        return _Model.of(f, theta[rows])
    is_new = torch.isin(rows, known, invert=True)
    if not bool(is_new.any()):
        return model
    whole = []
    for old, new in zip(model, _Model.of(f, theta[rows[is_new]]), strict=True):
        column = new.new_empty(len(rows), *new.shape[1:])
        column[is_new], column[~is_new] = new, old
        whole.append(column)
    return _Model(*whole)


def _rests_beyond(f: _Function, state: _State, start: Tensor, steps: int, tolerances: Tolerances) -> Tensor:
    """Whether Newton's method, let go on beyond the radius, comes to rest before it has gone half of ‖θ‖, `[restart]`.

    A restart that does has a finite bottom ahead, however slowly its descent and its norm still creep.
    """
    rests = torch.zeros_like(state.outcome, dtype=torch.bool)
    left = (state.outcome == Outcome.LEFT_RADIUS) | (state.outcome == Outcome.STALLED) | (state.outcome == _OPEN)
    index = left.nonzero().squeeze(1)
    if f.objective.coercive or len(index) == 0:
        return rests
    limit = tolerances.beyond * (1 + _norm(start[index]))
    going_on = state.rows(index)
    going_on = going_on._replace(region=_LARGEST_REGION * limit, outcome=torch.full_like(going_on.outcome, _OPEN))
    ended = _follow(f, going_on, _Way(start[index], limit, steps, tolerances))
    return rests.index_copy(0, index, ended.outcome == Outcome.CONVERGED)


def _start(f: _Function, theta: Tensor, limit: Tensor) -> _State:
    loss, gradient = f.loss_and_gradient(theta)
    finite = torch.isfinite(loss) & torch.isfinite(gradient).all(1) & torch.isfinite(theta).all(1)
    outcome = torch.where(finite, _OPEN, int(Outcome.SKIPPED)).to(torch.int8)
    return _State(theta, loss, gradient, _LARGEST_REGION * limit, torch.full_like(loss, torch.nan), outcome)


def _iterate(f: _Function, model: _Model, state: _State, way: _Way) -> tuple[_State, _Verdict]:
    """One Newton step for every restart, taken or refused."""
    step, foretold = _trust_region_step(model.eigenvalues, model.vectors, state.gradient, state.region)
    theta = state.theta + step
    trial = _Trial(theta, *f.loss_and_gradient(theta), _norm(step), foretold)
    verdict = _judged(model, state, trial, way)
    region = _region(state, trial, verdict, way)
    taken = verdict.taken.unsqueeze(1)
    return _State(
        torch.where(taken, trial.theta, state.theta),
        torch.where(verdict.taken, trial.loss, state.loss),
        torch.where(taken, trial.gradient, state.gradient),
        region,
        trial.length,
        _outcome(state, trial, verdict, region, way),
    ), verdict


def _judged(model: _Model, state: _State, trial: _Trial, way: _Way) -> _Verdict:
    """Whether a step is taken: if it does not raise the loss, and stays within the radius."""
    norm, after = _norm(state.gradient), _norm(trial.gradient)
    at_rest = norm <= way.tolerances.stationary * model.norm * (1 + _norm(state.theta))
    # Where the foretold fall is less than the loss can show, the gradient tells whether a step is good.
    invisible = (trial.foretold <= _INVISIBLE * state.loss.abs()) & (after < norm)
    rise = torch.where(invisible, _INVISIBLE, _ROUNDING) * state.loss.abs()
    better = (trial.loss <= state.loss + rise) & torch.isfinite(trial.gradient).all(1)
    outside = _norm(trial.theta - way.start) > way.limit
    # Once at rest, a step is still worth taking where it lowers the gradient: Newton's squares the error.
    return _Verdict(better, outside, at_rest, better & ~outside & (~at_rest | (after < norm)))


def _region(state: _State, trial: _Trial, verdict: _Verdict, way: _Way) -> Tensor:
    """Δ for the next step: larger where the model has foretold this one well, smaller where it has not."""
    exact = (state.loss - trial.loss) / trial.foretold.clamp(min=torch.finfo(trial.foretold.dtype).tiny)
    larger = torch.maximum(state.region, 2 * trial.length)
    region = torch.where(verdict.better & (exact > 0.75), larger, state.region)
    region = torch.minimum(region, _LARGEST_REGION * way.limit)
    return torch.where(~verdict.better | (exact < 0.1) & ~verdict.at_rest, trial.length / 4, region)


def _outcome(state: _State, trial: _Trial, verdict: _Verdict, region: Tensor, way: _Way) -> Tensor:
    """Whether a restart has come to an end with this step, and which; int8."""
    reach = 1 + _norm(state.theta)
    converged = verdict.at_rest & (trial.length <= way.tolerances.settled * reach)
    outcome = state.outcome.to(torch.int64)
    outcome = torch.where(region <= _SMALLEST_REGION * reach, int(Outcome.STALLED), outcome)
    outcome = torch.where(verdict.better & verdict.outside, int(Outcome.LEFT_RADIUS), outcome)
    outcome = torch.where(converged, int(Outcome.CONVERGED), outcome)
    return outcome.to(torch.int8)


def _trust_region_step(eigenvalues: Tensor, vectors: Tensor, gradient: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """The step p `[restart, parameter]`, and by how much the quadratic model falls along it, `[restart]`."""
    along = (vectors * gradient.unsqueeze(2)).sum(1)  # ∇f in the eigenbasis
    size = eigenvalues.abs().amax(1)
    tiny = torch.finfo(size.dtype).tiny
    low = torch.maximum(_SHIFT * size, _SHIFT * size - eigenvalues[:, 0]).clamp(min=tiny)
    high = torch.maximum(low, _norm(gradient) / region.clamp(min=tiny) - eigenvalues[:, 0])  # there, ‖p‖ ≤ Δ
    high = torch.maximum(high, low)
    too_long = _norm(along / (eigenvalues + low.unsqueeze(1))) > region
    for _ in range(_BISECTIONS if bool(too_long.any()) else 0):
        middle = (low * high).sqrt()
        longer = _norm(along / (eigenvalues + middle.unsqueeze(1))) > region
        low, high = torch.where(longer, middle, low), torch.where(longer, high, middle)
    shift = torch.where(too_long, high, low)
    parts = -along / (eigenvalues + shift.unsqueeze(1))
    foretold = -(along * parts + 0.5 * eigenvalues * parts * parts).sum(1)
    return (vectors * parts.unsqueeze(1)).sum(2), foretold


def _finished(f: _Function, start: Tensor, state: _State, rests_beyond: Tensor) -> Polished:
    """Restarts that did not converge keep their descended point."""
    outcome = torch.where(state.outcome == _OPEN, int(Outcome.STALLED), state.outcome.to(torch.int64))
    converged = outcome == Outcome.CONVERGED
    loss, gradient = f.loss_and_gradient(start)
    return Polished(
        theta=torch.where(converged.unsqueeze(1), state.theta, start),
        loss=torch.where(converged, state.loss, loss),
        gradient_norm=torch.where(converged, _norm(state.gradient), _norm(gradient)),
        outcome=outcome.to(torch.int8),
        distance=_norm(state.theta - start),
        last_step=state.length,
        gradient_norm_reached=_norm(state.gradient),
        rests_beyond=rests_beyond,
        outward=_cosine(state.theta - start, start),
        outward_descended=_cosine(-gradient, start),
    )


def _cosine(directions: Tensor, theta: Tensor) -> Tensor:
    """Of the angle between each pair of rows; 0 if one of them is 0."""
    lengths = _norm(directions) * _norm(theta)
    return (directions * theta).sum(1) / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)


def _norm(vectors: Tensor) -> Tensor:
    """Euclidean norm of each row."""
    result: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return result
