"""Seeking critical points that are no minima: saddles of a given index, or of any, for many searches at once."""

from __future__ import annotations

import enum
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.foundation.threads import single_threaded_operations
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.tolerances import Tolerances

ANY = -1
"""As a wanted index: whatever critical point is near."""

_FIRST = 0.1  # relative to 1 + ‖θ‖: the longest first step …
_LONGEST = 0.5  # … and the longest of all: nothing that lies between is leapt over
_SMALLEST = 1e-14  # … and a shorter one cannot be told from rounding
_GOOD, _POOR, _WRONG = 0.25, 0.75, 1.0  # error of the model of f: longer steps after it, shorter ones, refused
_FLAT = 1e-5  # ‖H g‖ relative to ‖H‖ ‖g‖: a minimum of ‖∇f‖² at which f is not stationary
_INVISIBLE = 1e-13  # a change of f that is foretold to be smaller than this share of it may show anything


class Found(enum.IntEnum):
    """How a search ended (int8)."""

    CONVERGED = 0  # at a critical point: the gradient is at rounding level
    LEFT = 1  # farther away than its limit
    STALLED = 2  # the steps were used up, or none is good any more


class Sought(NamedTuple):
    """Where searches have got to, one row per search."""

    theta: Tensor  # [search, parameter]
    loss: Tensor  # [search], f there
    gradient: Tensor  # [search, parameter], ∇f there
    outcome: Tensor  # [search] int8, a `Found`


def seek(f: Derivatives, theta: Tensor, index: Tensor, limit: Tensor, steps: int, tolerances: Tolerances) -> Sought:
    """A critical point from each start, to rounding level.

    With an index k, eigenvector following: in the eigenbasis of the exact Hessian, uphill along the k lowest
    eigenvectors and downhill along all others,

        p_i = ∓ 2 g_i / (|λ_i| + √(λ_i² + 4 g_i² / Δ²)),    ‖p‖ ≤ Δ

    which is Newton's step where the index of the Hessian is k and g is small; no other critical point attracts. Δ
    follows from how well the quadratic model foretells f. With the index `ANY`, Levenberg and Marquardt's method for
    ½‖∇f‖²,

        p_i = -λ_i g_i / (λ_i² + ‖H g‖ / Δ)

    of which no step raises ‖∇f‖. Critical points of every index attract, and so does what is merely flat, H ∇f = 0,
    where a search is given up.

    Sources: Cerjan & Miller (1981); Banerjee, Adams, Simons & Shepard (1985); Wales (1992), for the step in each
    direction; Fan & Yuan (2005), for the damping that vanishes with the gradient; Frye et al. (2021) for flat points.

    Args:
        f: the function, in float64.
        theta: where to begin, `[search, parameter]`; rows have to be finite.
        index: the wanted number of directions in which f curves down, or `ANY`, `[search]` int64.
        limit: a search that gets farther from its start than this is given up, `[search]`.
        steps: at most.
        tolerances: when a gradient is at rounding level.
    """
    with single_threaded_operations():
        state = _start(f, theta)
        for _ in range(steps):
            active = (state.outcome == _OPEN).nonzero().squeeze(1)
            if len(active) == 0:
                break
            goal = _Goal(theta[active], index[active], limit[active], tolerances)
            state = state.scatter(active, _iterate(f, state.rows(active), goal))
        outcome = torch.where(state.outcome == _OPEN, int(Found.STALLED), state.outcome.long()).to(torch.int8)
        return Sought(state.theta, state.loss, state.gradient, outcome)


_OPEN = 3


class _Goal(NamedTuple):
    """What is sought, one row per search."""

    start: Tensor  # [search, parameter]
    wanted: Tensor  # an index, or `ANY`
    limit: Tensor
    tolerances: Tolerances


class _State(NamedTuple):
    theta: Tensor
    loss: Tensor
    gradient: Tensor
    region: Tensor  # Δ
    outcome: Tensor

    def rows(self, index: Tensor) -> _State:
        return _State(*(column[index] for column in self))

    def scatter(self, index: Tensor, part: _State) -> _State:
        return _State(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(self, part, strict=True)))


class _Step(NamedTuple):
    """A step in the eigenbasis, one row per search."""

    parts: Tensor  # [search, eigenvalue]
    change: Tensor  # [search], of f, as the quadratic model foretells it
    stake: Tensor  # [search], the same with all its terms taken as positive
    fall: Tensor  # [search], of ½‖∇f‖², as the linear model of ∇f foretells it


def _start(f: Derivatives, theta: Tensor) -> _State:
    loss, gradient = f.loss_and_gradient(theta)
    outcome = torch.full_like(loss, _OPEN, dtype=torch.int8)
    return _State(theta, loss, gradient, _FIRST * (1 + norm(theta)), outcome)


def _iterate(f: Derivatives, state: _State, goal: _Goal) -> _State:
    """One step for every search, taken or refused."""
    values, vectors = f.eigenvectors(state.theta)
    curvature = norm(values)  # Frobenius norm of the Hessian
    along = (vectors * state.gradient.unsqueeze(2)).sum(1)
    step = _step(values, along, state.region, goal.wanted)
    length = norm(step.parts)
    theta = state.theta + (vectors * step.parts.unsqueeze(1)).sum(2)
    loss, gradient = f.loss_and_gradient(theta)

    before, after = norm(state.gradient), norm(gradient)
    at_rest = before <= goal.tolerances.stationary * curvature * (1 + norm(state.theta))
    error = torch.where(goal.wanted == ANY, _of_gradient(step, before, after), _of_value(f, state, step, loss, after))
    error = torch.where(torch.isfinite(loss) & torch.isfinite(after), error, torch.inf)
    # Once at rest, a step is still worth taking where it lowers the gradient: Newton's squares the error.
    taken = torch.where(at_rest, after < before, error < _WRONG)
    column = taken.unsqueeze(1)
    moved = _State(
        torch.where(column, theta, state.theta),
        torch.where(taken, loss, state.loss),
        torch.where(column, gradient, state.gradient),
        _region(state, length, error),
        state.outcome,
    )
    settled = at_rest & (length <= goal.tolerances.settled * (1 + norm(state.theta)))
    flat = (goal.wanted == ANY) & ~at_rest & (norm(values * along) <= _FLAT * curvature * before)
    return moved._replace(outcome=_outcome(moved, settled, flat, goal))


def _step(values: Tensor, along: Tensor, region: Tensor, index: Tensor) -> _Step:
    """The step p of each search in its eigenbasis."""
    tiny = torch.finfo(values.dtype).tiny
    delta, order = region.unsqueeze(1), torch.arange(values.shape[1])
    uphill = order < index.unsqueeze(1)
    followed = 2 * along / (values.abs() + (values * values + 4 * (along / delta) ** 2).sqrt()).clamp(min=tiny)
    followed = torch.where(uphill, followed, -followed)
    damping = norm(values * along).unsqueeze(1) / delta
    damped = -values * along / (values * values + damping).clamp(min=tiny)
    parts = torch.where((index == ANY).unsqueeze(1), damped, followed)
    parts = parts * (region / norm(parts).clamp(min=tiny)).clamp(max=1).unsqueeze(1)
    terms = along * parts + 0.5 * values * parts * parts
    fall = 0.5 * (along.square().sum(1) - (along + values * parts).square().sum(1))
    return _Step(parts, terms.sum(1), terms.abs().sum(1), fall)


def _of_value(f: Derivatives, state: _State, step: _Step, loss: Tensor, after: Tensor) -> Tensor:
    """How wrong the model of f was, relative to what was at stake; 0 where f cannot show it and ‖∇f‖ has fallen."""
    error = (loss - state.loss - step.change).abs() / step.stake.clamp(min=torch.finfo(loss.dtype).tiny)
    invisible = (step.stake <= f.rounding(state.loss, _INVISIBLE)) & (after < norm(state.gradient))
    return torch.where(invisible, 0.0, error)


def _of_gradient(step: _Step, before: Tensor, after: Tensor) -> Tensor:
    """How much less ½‖∇f‖² has fallen than was foretold, as a share of that: 1 if it has not fallen."""
    fall = 0.5 * (before - after) * (before + after)
    return 1 - (fall / step.fall.clamp(min=torch.finfo(before.dtype).tiny)).clamp(max=1)


def _region(state: _State, length: Tensor, error: Tensor) -> Tensor:
    """Δ for the next step."""
    longest = _LONGEST * (1 + norm(state.theta))
    longer = torch.minimum(torch.maximum(state.region, 2 * length), longest)
    region = torch.where(error <= _GOOD, longer, state.region)
    return torch.where(error > _POOR, torch.minimum(length, state.region) / 3, region)


def _outcome(now: _State, settled: Tensor, flat: Tensor, goal: _Goal) -> Tensor:
    outcome = now.outcome.long()
    outcome = torch.where(flat | (now.region <= _SMALLEST * (1 + norm(now.theta))), int(Found.STALLED), outcome)
    outcome = torch.where(norm(now.theta - goal.start) > goal.limit, int(Found.LEFT), outcome)
    return torch.where(settled, int(Found.CONVERGED), outcome).to(torch.int8)
