"""The population loss of a committee, by hand: value, gradient and Hessian as sums over pairs of units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.mlp.gaussian import Kernel, Pairs


class Slopes(NamedTuple):
    """The loss and its derivatives with respect to the output weights and to the units."""

    loss: Tensor  # [restart]
    outputs: Tensor  # [unit, restart]
    weights: Tensor  # [unit, feature, restart]


class Curvatures(NamedTuple):
    """The second derivatives with respect to one unit w_i, and all units and output weights."""

    weights: Tensor  # [unit, feature of that unit, feature of w_i, restart]
    outputs: Tensor  # [unit, feature of w_i, restart]


@dataclass(frozen=True)
class CommitteeLoss:
    """F(w, a) = ½ E[(Σ_i a_i φ(w_i·x) - Σ_j φ(v_j·x))²] over inputs x ~ N(0, I).

    Written out it is a sum of k(u, v) = E[φ(u·x) φ(v·x)] over all pairs of units, those of the teacher with the weight
    -1. With z = (w_1 … w_n, v_1 … v_k), c = (a_1 … a_n, -1 … -1), the sums over all j, j = i among them,

        S_i = Σ_j c_j k(w_i, z_j)        G_i = Σ_j c_j k'(w_i, z_j),     k' = ∂k/∂u

        F        = ½ Σ_i a_i (S_i - Σ_j k(w_i, v_j)) + ½ Σ_jl k(v_j, v_l)
        ∂F/∂a_i  = S_i                   ∂F/∂w_i  = a_i G_i

    A unit's pair with itself needs no rule of its own: ½ d k(w, w) = k'(w, w) dw. Likewise for second derivatives:

        ∂²F/∂w_i∂w_j = a_i a_j ∂²k/∂u∂v (w_i, w_j) + δ_ij a_i Σ_l c_l ∂²k/∂u∂u (w_i, z_l)
        ∂²F/∂a_j∂w_i = a_i k'(w_i, w_j) + δ_ij G_i                 ∂²F/∂a_i∂a_j = k(w_i, w_j)

    Restarts are innermost, a multiple of `LANES`; sums over features and units are taken in one order.
    """

    kernel: Kernel
    teacher: Tensor  # [unit, feature]

    def at_nothing(self) -> Tensor:
        """½ Σ_jl k(v_j, v_l), the loss of an answer that is zero everywhere: one number."""
        vectors = self.teacher.unsqueeze(2)
        return self.kernel.first_order(Pairs(vectors, vectors)).value.sum() / 2

    def slopes(self, weights: Tensor, outputs: Tensor, at_nothing: float) -> Slopes:
        """First order, at `weights [unit, feature, restart]` and `outputs [unit, restart]`."""
        units = weights.shape[0]
        pairs, coefficients = self._pairs(weights, weights, outputs)
        value, along_u, along_v = self.kernel.first_order(pairs)
        value = value * coefficients
        sums = value.sum(1)
        pulls = (along_u * coefficients).sum(1).unsqueeze(1) * weights + _combined(along_v * coefficients, pairs.v)
        crossed = value.narrow(1, units, value.shape[1] - units).sum(1)
        loss = ((sums + crossed) * outputs).sum(0).mul_(0.5).add_(at_nothing)
        return Slopes(loss.clamp_(min=0), sums, pulls.mul_(outputs.unsqueeze(1)))  # rounding may go below 0

    def common(self, weights: Tensor) -> Tensor:
        """k(w_i, w_j), the second derivatives with respect to the output weights, `[unit, unit, restart]`."""
        return self.kernel.first_order(Pairs(weights, weights)).value

    def curvatures(self, unit: int, weights: Tensor, outputs: Tensor) -> Curvatures:
        """Second order, of one unit."""
        units, own = weights.shape[0], outputs.narrow(0, unit, 1)
        pairs, coefficients = self._pairs(weights.narrow(0, unit, 1), weights, outputs)
        _, along_u, along_v = self.kernel.first_order(pairs)
        same, mixed = self.kernel.second_order(pairs)

        with_units = mixed.select(0, 0).narrow(0, 0, units) * (outputs * own).unsqueeze(1).unsqueeze(2)
        with_itself = (same.select(0, 0) * coefficients.select(0, 0).unsqueeze(1).unsqueeze(2)).sum(0)
        with_units.select(0, unit).addcmul_(with_itself, own.unsqueeze(0))

        pulls = along_u.unsqueeze(2) * pairs.u.unsqueeze(1) + along_v.unsqueeze(2) * pairs.v.unsqueeze(0)
        with_outputs = pulls.select(0, 0).narrow(0, 0, units) * own.unsqueeze(1)
        with_outputs.select(0, unit).add_((pulls.select(0, 0) * coefficients.select(0, 0).unsqueeze(1)).sum(0))
        return Curvatures(with_units, with_outputs)

    def _pairs(self, some: Tensor, weights: Tensor, outputs: Tensor) -> tuple[Pairs, Tensor]:
        """Some units with all, those of the teacher last, and the coefficients c, `[1, all, restart]`."""
        restarts = weights.shape[2]
        teacher = self.teacher.unsqueeze(2).expand(-1, -1, restarts)
        minus = outputs.new_full((teacher.shape[0], restarts), -1)
        return Pairs(some, torch.cat([weights, teacher])), torch.cat([outputs, minus]).unsqueeze(0)


def _combined(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Σ_j c_ij z_j of `[unit, j, restart]` and `[j, feature, restart]`, `[unit, feature, restart]`."""
    total = coefficients.narrow(1, 0, 1) * vectors.select(0, 0)
    for j in range(1, vectors.shape[0]):
        total.addcmul_(coefficients.narrow(1, j, 1), vectors.select(0, j))
    return total
