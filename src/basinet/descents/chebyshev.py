"""A stabilised explicit Runge–Kutta step for gradient flows whose Hessians are too large to be factorised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.descents.trial import Single, Trial, fitted
from basinet.protocols import Function

_ORDER = 3  # of the estimated error
_DAMPING = 2 / 13  # of the Chebyshev polynomials
_STIFF = 1.54  # (s - 1)² - 1 over h λ, by which s is chosen: 3/2, and what damping costs
_STAGES = 250  # at most: a step that needs more is shortened
_SAFE = 1.2  # by which an estimate of the largest curvature is raised
_FIRST = 1e-2  # the first step, times the largest curvature
_PRODUCT = 2  # what a product with the Hessian costs, in gradients
_HELD = 8  # vectors of a restart: θ, Y_j and Y_{j-1}, gradients, their sums


@dataclass(frozen=True)
class Chebyshev(Single):
    """The Runge–Kutta–Chebyshev method of order 2 with s stages, damped by ε = 2/13:

        Y_1 = θ - μ̃_1 h ∇f(θ)
        Y_j = (1 - μ_j - ν_j) θ + μ_j Y_{j-1} + ν_j Y_{j-2} - μ̃_j h ∇f(Y_{j-1}) - γ̃_j h ∇f(θ)        θ⁺ = Y_s

    with the error 0.8 (θ - θ⁺) - 0.4 h (∇f(θ) + ∇f(θ⁺)). It is stable for h λ ≤ 2/3 (s² - 1) (1 - 2/15 ε), so that s
    grows with the root of the stiffness only; the largest curvature λ is that of the power method, one product with the
    Hessian a step, raised by a fifth. Where it was underestimated, the error is large, and the step refused.

    Source: Sommeijer, Shampine & Verwer (1998), *RKC: an explicit solver for parabolic PDEs*, JCAM 88, 315–326.
    """

    def remembers(self, size: int) -> int:
        return size  # the direction of the largest curvature

    def numbers(self, size: int) -> int:
        return _HELD * size

    def attempt(
        self, f: Function, theta: Tensor, gradient: Tensor, wanted: Tensor, left: Tensor, kept: Tensor
    ) -> Trial:
        largest, direction = _curvature(f, theta, torch.where(wanted.isnan().unsqueeze(1), _unit(gradient), kept))
        first = _FIRST / largest.clamp(min=torch.finfo(largest.dtype).tiny)
        wanted = torch.where(wanted.isnan(), first, wanted)
        size = (_SAFE * _STIFF * largest).clamp(min=torch.finfo(largest.dtype).tiny)
        step = fitted(torch.minimum(wanted, ((_STAGES - 1) ** 2 - 1) / size), left)
        stages = (1 + (size * step + 1).sqrt().floor()).to(torch.int64).clamp(min=2)
        place = _polynomial(f, theta, gradient, step.unsqueeze(1), stages)
        loss, slope = f.loss_and_gradient(place)
        error = 0.8 * (theta - place) - 0.4 * step.unsqueeze(1) * (gradient + slope)
        remaining = _remaining(place - theta, gradient, slope)
        exists, cost = torch.isfinite(largest), stages.double() + _PRODUCT
        order = torch.full_like(stages, _ORDER)
        return Trial(place, loss, slope, error, wanted, step, largest, remaining, exists, cost, order, direction)


def _remaining(way: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """The way that is left if ∇f goes on to shrink by the factor q of this step: |way| q / (1 - q); `[restart]`."""
    first, last = (torch.linalg.vector_norm(slope, dim=1) for slope in (before, after))
    left: Tensor = torch.linalg.vector_norm(way, dim=1) * last / (first - last)
    return torch.where(last < first, left, torch.where(last == 0, 0.0, torch.inf))


def _unit(vectors: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / length.clamp(min=torch.finfo(vectors.dtype).tiny)


def _curvature(f: Function, theta: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """‖H v‖ `[restart]`, and H v of length 1: a step of the power method."""
    product = f.hvp(theta, direction)
    return torch.linalg.vector_norm(product, dim=1), _unit(product)


class _Terms(NamedTuple):
    """Chebyshev's polynomial of some degree at w_0, its derivatives, and what follows of them; `[restart]` each."""

    value: Tensor
    first: Tensor
    second: Tensor

    def next(self, before: _Terms, w: Tensor) -> _Terms:
        return _Terms(
            2 * w * self.value - before.value,
            2 * w * self.first - before.first + 2 * self.value,
            2 * w * self.second - before.second + 4 * self.first,
        )

    @property
    def scale(self) -> Tensor:
        """b."""
        return self.second / (self.first * self.first)


class _Weights(NamedTuple):
    """μ_j, ν_j, μ̃_j and γ̃_j of one stage, `[restart, 1]` each."""

    near: Tensor
    far: Tensor
    slope: Tensor
    start: Tensor


def _weights(stages: Tensor) -> list[_Weights]:
    """Those of the stages 1, 2, … up to the largest s; the first has only μ̃."""
    w0 = 1 + _DAMPING / (stages * stages).double()
    zero, one = torch.zeros_like(w0), torch.ones_like(w0)
    terms = [_Terms(one, zero, zero), _Terms(w0, one, zero)]
    for _ in range(2, int(stages.max()) + 1):
        terms.append(terms[-1].next(terms[-2], w0))
    last = stages.unsqueeze(0)
    w1 = torch.stack([t.first for t in terms]).gather(0, last)[0]
    w1 = w1 / torch.stack([t.second for t in terms]).gather(0, last)[0]
    b = [terms[2].scale, terms[2].scale, *(term.scale for term in terms[2:])]
    found = [(zero, zero, b[1] * w1, zero)]
    for j in range(2, len(terms)):
        slope = 2 * b[j] * w1 / b[j - 1]
        ahead = (2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], slope, -(1 - b[j - 1] * terms[j - 1].value) * slope)
        found.append(ahead)
    return [_Weights(*(part.unsqueeze(1) for part in row)) for row in found]


def _polynomial(f: Function, theta: Tensor, gradient: Tensor, step: Tensor, stages: Tensor) -> Tensor:
    """Y_s; every restart has its own s, and stands still when it is there."""
    first, *others = _weights(stages)
    pull = step * gradient
    before, now = theta, theta - first.slope * pull
    for j, weights in enumerate(others, start=2):
        index = (stages >= j).nonzero().squeeze(1)
        mu, nu, slope, start = (part.index_select(0, index) for part in weights)
        own = now.index_select(0, index)
        following = (1 - mu - nu) * theta.index_select(0, index) + mu * own + nu * before.index_select(0, index)
        pulled = slope * (step.index_select(0, index) * f.loss_and_gradient(own)[1])
        following = following - pulled - start * pull.index_select(0, index)
        before, now = before.index_copy(0, index, own), now.index_copy(0, index, following)
    return now
