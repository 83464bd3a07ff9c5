"""The gradient flow with error control, for a few points: down both sides of saddles, to the bottoms they lead to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.foundation.threads import single_threaded_operations
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.newton import Outcome, newton
from basinet.stages.tolerances import Tolerances

_D = 1 / (2 + math.sqrt(2))
_E = 6 + math.sqrt(2)
_RELATIVE = 1e-5  # error of a step, relative to 1 + ‖θ‖: what decides is on which side of a ridge the flow passes
_STEPS = 5000  # at most
_ASIDE = 1e-4  # relative to 1 + ‖θ‖: how far beside a saddle the flow down from it begins
_NEAR = 1e-4  # … and how near Newton's method has to see a bottom for the flow to have arrived
_RISE = 1e-13  # relative to f: rounding
_POSITIVE = 0.2  # the least eigenvalue of I + d h H
_SMALLEST = 1e-300  # in place of 0, where it is divided by


class Traced(NamedTuple):
    """A flow at one moment, one row per point."""

    theta: Tensor  # [point, parameter]
    loss: Tensor  # [point]
    gradient: Tensor  # [point, parameter]
    step: Tensor  # [point], h of the next step
    arrived: Tensor  # [point] bool: a bottom is so near that Newton's method finds it

    def rows(self, index: Tensor) -> Traced:
        """The same of some points only."""
        return Traced(*(column[index] for column in self))

    def scatter(self, index: Tensor, part: Traced) -> Traced:
        """This, with the rows `index` taken from `part`."""
        return Traced(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(self, part, strict=True)))


def trace(f: Derivatives, theta: Tensor, tolerances: Tolerances) -> Iterator[Traced]:
    """The solutions of θ' = -∇f(θ) from each `theta [point, parameter]`, step by step until all have arrived.

    A Rosenbrock method of order 2 with an error estimate of order 3 and the exact Hessian,

        W = I + d h H,  W k₁ = -∇f(θ),  W (k₂ - k₁) = -∇f(θ + ½ h k₁) - k₁,  θ⁺ = θ + h k₂

    each point with its own h. No step raises f. A flow that runs into a saddle, as those do that keep to a symmetric
    subspace, goes on beside it: what is lower than the saddle it came from is connected through that.

    Source: Shampine & Reichelt (1997), *The MATLAB ODE suite*, for the method (ode23s).
    """
    with single_threaded_operations():
        loss, gradient = f.loss_and_gradient(theta)
        now = Traced(theta, loss, gradient, torch.full_like(loss, torch.nan), torch.zeros_like(loss, dtype=torch.bool))
        yield now
        for _ in range(_STEPS):
            active = (~now.arrived & torch.isfinite(now.loss)).nonzero().squeeze(1)
            if len(active) == 0:
                return
            now = now.scatter(active, _advance(f, now.rows(active), tolerances))
            yield now


class Bottom(NamedTuple):
    """Where the flow has led, one row per point."""

    theta: Tensor  # [point, parameter]
    found: Tensor  # [point] bool: it is a critical point to rounding level


def bottoms_beside(f: Derivatives, saddles: Tensor, tolerances: Tolerances) -> tuple[Bottom, Bottom]:
    """The bottoms on both sides of each of `saddles [point, parameter]`, along its lowest eigenvector."""
    beside = torch.cat(beside_saddles(f, saddles))
    *_, last = trace(f, beside, tolerances)
    with single_threaded_operations():
        limit = 100 * _NEAR * (1 + norm(last.theta))
        ended = newton(f, last.theta, limit, steps=50, tolerances=tolerances)
    found = last.arrived & (ended.outcome == Outcome.CONVERGED)
    count = len(saddles)
    return Bottom(ended.theta[:count], found[:count]), Bottom(ended.theta[count:], found[count:])


def beside_saddles(f: Derivatives, saddles: Tensor) -> list[Tensor]:
    """A point on each of the two sides of each saddle, `[point, parameter]` each."""
    _, vectors = f.eigenvectors(saddles)
    aside = _signed(vectors[:, :, 0]) * (_ASIDE * (1 + norm(saddles))).unsqueeze(1)
    return [saddles + aside, saddles - aside]


def _signed(vectors: Tensor) -> Tensor:
    """Vectors `[point, parameter]` or their opposites: those whose largest entry is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)


class _Slope(NamedTuple):
    """H at θ by its eigenvalues, and what has to be solved with it."""

    values: Tensor  # [point, eigenvalue]
    vectors: Tensor  # [point, parameter, eigenvalue]

    def solve(self, step: Tensor, right: Tensor) -> Tensor:
        """(I + d h H)⁻¹ `right`, `[point, parameter]`."""
        along = (self.vectors * right.unsqueeze(2)).sum(1) / (1 + _D * step.unsqueeze(1) * self.values)
        return (self.vectors * along.unsqueeze(1)).sum(2)


def _advance(f: Derivatives, now: Traced, tolerances: Tolerances) -> Traced:
    """One step for every point, taken or refused; or none, where it has arrived or rests on a saddle."""
    slope = _Slope(*f.eigenvectors(now.theta))
    reach, size = 1 + norm(now.theta), slope.values.abs().amax(1)
    lowest = slope.values[:, 0]
    step = torch.where(now.step.isnan(), 0.1 / size.clamp(min=_SMALLEST), now.step)
    step = torch.where(lowest < 0, torch.minimum(step, (_POSITIVE - 1) / (_D * lowest.clamp(max=-_SMALLEST))), step)
    theta, error = _tried(f, now, slope, step)
    loss, gradient = f.loss_and_gradient(theta)
    error = error / (_RELATIVE * reach)
    falls = (loss <= now.loss + f.rounding(now.loss, _RISE)) & torch.isfinite(loss)
    taken = falls & (error <= 1)
    factor = (0.8 * error.clamp(min=1e-9) ** (-1 / 3)).clamp(0.2, 5.0)
    factor = torch.where(torch.isfinite(factor) & falls, factor, 0.2)

    line = tolerances.zero * size
    along = (slope.vectors * now.gradient.unsqueeze(2)).sum(1)
    newton_step = norm(along / slope.values.abs().clamp(min=line.unsqueeze(1)).clamp(min=_SMALLEST))
    near = newton_step <= _NEAR * reach
    rests = norm(now.gradient) <= 1e3 * tolerances.stationary * size * reach
    arrived, stuck = near & (lowest >= -line), near & rests & (lowest < -line)

    aside = now.theta + _signed(slope.vectors[:, :, 0]) * (_ASIDE * reach).unsqueeze(1)
    theta = torch.where(stuck.unsqueeze(1), aside, theta)
    beside_loss, beside_gradient = f.loss_and_gradient(theta) if bool(stuck.any()) else (loss, gradient)
    moves = (taken | stuck) & ~arrived
    column = moves.unsqueeze(1)
    return Traced(
        torch.where(column, theta, now.theta),
        torch.where(moves, beside_loss, now.loss),
        torch.where(column, beside_gradient, now.gradient),
        torch.where(stuck, torch.nan, step * factor),
        arrived,
    )


def _tried(f: Derivatives, now: Traced, slope: _Slope, step: Tensor) -> tuple[Tensor, Tensor]:
    """θ⁺ `[point, parameter]` and the norm of its error `[point]`."""
    h = step.unsqueeze(1)
    here = -now.gradient
    first = slope.solve(step, here)
    middle = -f.loss_and_gradient(now.theta + 0.5 * h * first)[1]
    second = slope.solve(step, middle - first) + first
    theta = now.theta + h * second
    there = -f.loss_and_gradient(theta)[1]
    third = slope.solve(step, there - _E * (second - middle) - 2 * (first - here))
    return theta, norm(first - 2 * second + third) * step / 6
