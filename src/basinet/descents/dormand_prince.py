"""An explicit Runge–Kutta step of order 8 for gradient flows that are not stiff."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.descents.trial import Single, Trial, fitted
from basinet.protocols import Function

A = (
    (),
    (0.05260015195876773,),
    (0.0197250569845379, 0.0591751709536137),
    (0.02958758547680685, 0.0, 0.08876275643042054),
    (0.2413651341592667, 0.0, -0.8845494793282861, 0.924834003261792),
    (0.037037037037037035, 0.0, 0.0, 0.17082860872947386, 0.12546768756682242),
    (0.037109375, 0.0, 0.0, 0.17025221101954405, 0.06021653898045596, -0.017578125),
    (
        *(0.03709200011850479, 0.0, 0.0, 0.17038392571223998, 0.10726203044637328),
        *(-0.015319437748624402, 0.008273789163814023),
    ),
    (
        *(0.6241109587160757, 0.0, 0.0, -3.3608926294469414, -0.868219346841726, 27.59209969944671),
        *(20.154067550477894, -43.48988418106996),
    ),
    (
        *(0.47766253643826434, 0.0, 0.0, -2.4881146199716677, -0.590290826836843, 21.230051448181193),
        *(15.279233632882423, -33.28821096898486, -0.020331201708508627),
    ),
    (
        *(-0.9371424300859873, 0.0, 0.0, 5.186372428844064, 1.0914373489967295, -8.149787010746927, -18.52006565999696),
        *(22.739487099350505, 2.4936055526796523, -3.0467644718982196),
    ),
    (
        *(2.273310147516538, 0.0, 0.0, -10.53449546673725, -2.0008720582248625, -17.9589318631188, 27.94888452941996),
        *(-2.8589982771350235, -8.87285693353063, 12.360567175794303, 0.6433927460157636),
    ),
)
"""How the slopes before it enter the place of each stage."""

WEIGHTS = (
    *(0.054293734116568765, 0.0, 0.0, 0.0, 0.0, 4.450312892752409, 1.8915178993145003, -5.801203960010585),
    *(0.3111643669578199, -0.1521609496625161, 0.20136540080403034, 0.04471061572777259),
)
"""How all of them enter the step."""

FIFTH = (
    *(0.01312004499419488, 0.0, 0.0, 0.0, 0.0, -1.2251564463762044, -0.4957589496572502, 1.6643771824549864),
    *(-0.35032884874997366, 0.3341791187130175, 0.08192320648511571, -0.022355307863886294),
)
"""The step less one of order 5."""

THIRD = (
    *(-0.18980075407240762, 0.0, 0.0, 0.0, 0.0, 4.450312892752409, 1.8915178993145003, -5.801203960010585),
    *(-0.4226823213237919, -0.1521609496625161, 0.20136540080403034, 0.02265179219836082),
)
"""… and less one of order 3."""

STAGES = len(A)
ORDER = 8
DAMPED = 0.1  # of the estimate of order 3, where it enters

COST = float(STAGES)
"""Of a step, in gradients: the first slope is known, and the one where it leads is needed."""

FIRST = 1e-2
"""The first step: this part of 1 + ‖θ‖ at the speed ‖∇f‖, if it stays what it is."""


@dataclass(frozen=True)
class DormandPrince(Single):
    """The method DOP853, with twelve slopes k_i = -∇f(θ + h Σ_j a_ij k_j):

        θ⁺ = θ + h Σ_i b_i k_i        error = h e₅² / √(e₅² + (e₃ / 10)²)

    of order 8, where e₅ and e₃ are its differences to methods of orders 5 and 3, divided by h. A step takes twelve
    gradients and no Hessian. It is stable for h λ up to some 6, so that it suits a flow for as long as it is not stiff.

    The curvature is estimated along the way between the last stage and the end, which are at the same time: λ is
    ‖k - k₁₂‖ / ‖θ⁺ - θ₁₂‖, no more than ‖H‖, and next to it when it limits h. How far there is to go to a bottom is not
    known without a Hessian: no restart arrives by such a step.

    Source: Hairer, Nørsett & Wanner (1993), *Solving Ordinary Differential Equations I*, sections II.5 and II.10, whose
    coefficients these are; the estimate of λ is that of their program, Hairer & Wanner (1996), section IV.2.
    """

    def remembers(self, size: int) -> int:
        return 0

    def numbers(self, size: int) -> int:
        return (STAGES + 3) * size

    def attempt(
        self, f: Function, theta: Tensor, gradient: Tensor, wanted: Tensor, left: Tensor, kept: Tensor
    ) -> Trial:
        wanted = torch.where(wanted.isnan(), _first(theta, gradient), wanted)
        step = fitted(wanted, left)
        column = step.unsqueeze(1)
        slopes, before = [gradient], theta
        for row in A[1:]:
            before = theta - column * _combined(row, slopes)
            slopes.append(f.loss_and_gradient(before)[1])
        place = theta - column * _combined(WEIGHTS, slopes)
        loss, slope = f.loss_and_gradient(place)
        curvature = _ratio(_norm(slope - slopes[-1]), _norm(place - before))
        return Trial(
            *(place, loss, slope, column * _error(slopes)),
            *(wanted, step, curvature, torch.full_like(step, torch.inf), torch.ones_like(step, dtype=torch.bool)),
            *(torch.full_like(step, COST), torch.full_like(step, ORDER, dtype=torch.int64), kept),
        )


def _first(theta: Tensor, gradient: Tensor) -> Tensor:
    """How long the first step is wanted, `[restart]`."""
    return FIRST * (1 + _norm(theta)) / _norm(gradient).clamp(min=torch.finfo(theta.dtype).tiny)


def _error(slopes: list[Tensor]) -> Tensor:
    """The estimated error, divided by h; `[restart, parameter]`."""
    fifth, third = _combined(FIFTH, slopes), DAMPED * _combined(THIRD, slopes)
    return _ratio(fifth * fifth.abs(), (fifth * fifth + third * third).sqrt())


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Their quotient; 0 where the whole is 0."""
    return torch.where(whole == 0, 0.0, part / whole)


def _norm(vectors: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return length


def _combined(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """Σ_j weight_j k_j, in the order of the stages, without those of weight 0."""
    total: Tensor | None = None
    for weight, slope in zip(weights, slopes, strict=True):
        if weight != 0:
            total = slope * weight if total is None else total + slope * weight
    return torch.zeros_like(slopes[0]) if total is None else total
