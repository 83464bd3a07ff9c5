"""The gradient flow down both sides of saddles, to the bottoms they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.descents.gradient_flow import GradientFlow
from basinet.descents.horizon import Horizon
from basinet.foundation.outcomes import Status
from basinet.foundation.threads import single_threaded_operations
from basinet.protocols import State
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.descend import AT_A_TIME, at_own_pace, start
from basinet.stages.newton import Outcome, newton
from basinet.stages.tolerances import Tolerances

FLOW = GradientFlow(
    budget=Horizon(time=1e9, steps=5000, tolerance=1e-6, records=1),
    rtol=1e-6,  # what decides is on which side of a ridge the flow passes; Newton's method sharpens what has arrived
    atol=1e-8,
    method="rosenbrock",
    repeat=False,
)
_ASIDE = 1e-4  # relative to 1 + ‖θ‖: how far beside a saddle the flow down from it begins
_RADIUS = 1e-2  # … and within which Newton's method has to find the bottom at which the flow has arrived
_NEWTON_STEPS = 50


def trace(f: Derivatives, theta: Tensor, tolerances: Tolerances, every: int = AT_A_TIME) -> Iterator[State]:
    """The flow θ' = -∇f(θ) (`GradientFlow`) from each `theta [point, parameter]`, after `every` few steps.

    A flow that runs into a saddle, as those do that keep to a symmetric subspace, goes on beside it: what is lower than
    the saddle it came from is connected through that. So a point has arrived at a bottom, or has the status `BUDGET`.
    """
    state, flowing, begin = start(FLOW, theta), torch.arange(len(theta), device=theta.device), theta
    for _ in range(theta.shape[1] + 1):  # saddles on the way: each has more falling directions than the next
        for part in at_own_pace(f.objective, FLOW, f.engine, begin, every):
            state = state.scatter(flowing, part)
            yield state
        arrived = (state.status == Status.ARRIVED).nonzero().squeeze(1)
        rests, begin = _beside_those_that_rest_on_saddles(f, state.theta[arrived], tolerances)
        flowing = arrived[rests]
        if len(flowing) == 0:
            return
    yield replace(state, status=state.status.index_fill(0, flowing, int(Status.BUDGET)))


class Bottom(NamedTuple):
    """Where the flow has led, one row per point."""

    theta: Tensor  # [point, parameter]
    found: Tensor  # [point] bool: it is a critical point to rounding level


class Below(NamedTuple):
    """Where the flow has led, and Newton's method from there, one row per point."""

    theta: Tensor  # [point, parameter], to rounding level where Newton's method has converged
    arrived: Tensor  # [point] bool: so it has, and the flow knew that nothing of its way was left
    rests: Tensor  # [point] bool: so it has, from where ∇f was next to 0: of a valley's floor a flow knows no more


def bottoms_below(f: Derivatives, theta: Tensor, tolerances: Tolerances) -> Below:
    """The bottom that the flow leads to from each `theta [point, parameter]`."""
    *_, last = trace(f, theta, tolerances)
    with single_threaded_operations():
        limit = _RADIUS * (1 + norm(last.theta))
        ended = newton(f, last.theta, limit, _NEWTON_STEPS, tolerances)
    converged = ended.outcome == Outcome.CONVERGED
    arrived, at_rest = last.status == Status.ARRIVED, last.gradient_norm <= FLOW.budget.tolerance
    return Below(ended.theta, converged & arrived, converged & (arrived | at_rest))


def bottoms_beside(f: Derivatives, saddles: Tensor, tolerances: Tolerances) -> tuple[Bottom, Bottom]:
    """The bottoms on both sides of each of `saddles [point, parameter]`, along its lowest eigenvector."""
    theta, found, _ = bottoms_below(f, torch.cat(beside_saddles(f, saddles)), tolerances)
    count = len(saddles)
    return Bottom(theta[:count], found[:count]), Bottom(theta[count:], found[count:])


def beside_saddles(f: Derivatives, saddles: Tensor) -> list[Tensor]:
    """A point on each of the two sides of each saddle, `[point, parameter]` each."""
    _, vectors = f.eigenvectors(saddles)
    aside = _aside(saddles, vectors)
    return [saddles + aside, saddles - aside]


def _aside(theta: Tensor, vectors: Tensor) -> Tensor:
    """A small step along the lowest eigenvector, whose largest entry is made positive, `[point, parameter]`."""
    lowest = vectors[:, :, 0]
    largest = lowest.gather(1, lowest.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -lowest, lowest) * (_ASIDE * (1 + norm(theta))).unsqueeze(1)


def _beside_those_that_rest_on_saddles(f: Derivatives, theta: Tensor, tolerances: Tolerances) -> tuple[Tensor, Tensor]:
    """Which of `theta [point, parameter]`, where flows have arrived, are saddles, and where flows go on from those."""
    if len(theta) == 0:
        return torch.zeros(0, dtype=torch.int64), theta
    values, vectors = f.eigenvectors(theta)
    rests = (values[:, 0] < -tolerances.zero * values.abs().amax(1)).nonzero().squeeze(1)
    return rests, theta[rests] + _aside(theta[rests], vectors[rests])
