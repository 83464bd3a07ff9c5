"""A linearly implicit Runge–Kutta step of order 5 for stiff gradient flows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.descents.trial import Single, Trial, fitted
from basinet.linalg.positive import Factors
from basinet.protocols import Function

GAMMA = 0.21193756319429014

A = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946),
)
"""How the stages before the sixth enter each of them; the last two begin where the one before them has ended."""

C = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
    (
        *(30.91273214028599, -3.1208243349937974, 77.79954646070892),
        *(34.28646028294783, -19.097331116725623, -28.087943162872662),
    ),
    (
        *(37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047),
        *(-40.06618937091002, -54.66780262877968, -9.48861652309627),
    ),
)
"""How they enter its right-hand side, divided by h."""

ORDER = 5

FIRST = 1e-3
"""The first step, times ‖H‖: short for certain."""


def price(size: int) -> float:
    """What a Hessian costs, in gradients, for so many parameters.

    Measured with 16 samples, and up to twice as much as with 128 (`benchmarks/prices.py`, docs/performance.md).
    """
    return 1 + size / 2


def cost(size: int) -> float:
    """What a step costs, in gradients, with its Hessian; that of solving eight systems is left out: see `price`."""
    return len(C) + price(size)


@dataclass(frozen=True)
class Rosenbrock(Single):
    """The method Rodas5P, with eight stages u_i and the Hessian H where a step begins:

        (I / γh + H) u_i = -∇f(θ + Σ_j a_ij u_j) + Σ_j c_ij u_j / h        θ⁺ = θ + Σ_j a_8j u_j + u_8

    of order 5, and u_8 is its difference to a solution of order 4. It is stiffly accurate and L-stable. Where the
    matrix is not positive definite, h leaps over more than the growth along a negative eigenvalue of H, and there is no
    step; so L Lᵀ needs no pivots.

    Source: Steinebach (2023), *Construction of Rosenbrock–Wanner method Rodas5P*, BIT 63, 27, whose coefficients these
    are, transformed as in Hairer & Wanner (1996), *Solving Ordinary Differential Equations II*, section IV.7.
    """

    def remembers(self, size: int) -> int:
        return 0

    def numbers(self, size: int) -> int:
        return size * size

    def attempt(
        self, f: Function, theta: Tensor, gradient: Tensor, wanted: Tensor, left: Tensor, kept: Tensor
    ) -> Trial:
        matrix = f.hessian(theta)
        norm = torch.linalg.matrix_norm(matrix)
        first = FIRST / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        wanted = torch.where(wanted.isnan(), first, wanted)
        step = fitted(wanted, left)
        matrix.diagonal(dim1=1, dim2=2).add_((1 / (GAMMA * step)).unsqueeze(1))
        factors = Factors.of(matrix)
        place, last = _stages(f, factors, theta, gradient, step.unsqueeze(1))
        loss, slope = f.loss_and_gradient(place)
        remaining = _remaining(factors, slope, 1 / (GAMMA * step))
        spent, order = torch.full_like(norm, cost(f.size)), torch.full_like(norm, ORDER, dtype=torch.int64)
        return Trial(
            *(place, loss, slope, last),
            *(wanted, step, norm, remaining, factors.positive, spent, order, kept),
        )


def _stages(f: Function, factors: Factors, theta: Tensor, gradient: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """θ⁺ and u_8."""
    stages = [factors.solve(-gradient)]
    place = theta
    for stage in range(1, len(C)):
        place = theta + _combined(A[stage], stages) if stage < len(A) else place + stages[-1]
        slope = f.loss_and_gradient(place)[1]
        stages.append(factors.solve(_combined(C[stage], stages) / step - slope))
    return place + stages[-1], stages[-1]


def _remaining(factors: Factors, slope: Tensor, shift: Tensor) -> Tensor:
    """The length of Newton's step, by v = (H + shift)⁻¹ ∇f and w = (H + shift)⁻² v: |v| μ / (μ - shift); `[restart]`.

    μ = w·(H + shift) w / w·w. Slow directions outweigh the others in w, and for these μ - shift is the eigenvalue of H.
    """
    pull = factors.solve(slope)
    once = factors.solve(pull)
    slow = factors.solve(once)
    along, square = (slow * once).sum(1), (slow * slow).sum(1)
    curved = along - shift * square
    length = (pull * pull).sum(1).sqrt() * along / curved
    return torch.where(curved > 0, length, torch.where(square == 0, 0.0, torch.inf))


def _combined(weights: tuple[float, ...], stages: list[Tensor]) -> Tensor:
    """Σ_j weight_j u_j, in the order of the stages."""
    total = stages[0] * weights[0]
    for weight, stage in zip(weights[1:], stages[1:], strict=True):
        total = total + stage * weight  # two roundings: `add_(…, alpha=…)` has one in vectors and two in their tails
    return total
