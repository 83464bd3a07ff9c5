"""k(u, v) = E[φ(u·x) φ(v·x)] over inputs x ~ N(0, I): what two units have in common, with its derivatives by hand.

Vectors are `[unit, feature, restart]` with the restarts innermost, and everything is elementwise over them: where they
are a multiple of `LANES`, what one restart gets does not depend on the others, to the bit. Every pair of vectors is
written through t/2, half of the angle between them, from the norms of the difference and of the sum of their
directions: exact for parallel vectors, where the inverse cosine of a product loses half of the digits.

k depends on |u|, |v| and t alone, so that ∂k/∂u = along_u · u + along_v · v. Let p and q be the directions of the sum
and of the difference of u/|u| and v/|v|; they are zero where the sum or the difference is.

Sources: Cho & Saul (2009) and Safran & Shamir (2018) for ReLU; Saad & Solla (1995) for erf.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

LANES = 64
"""Restarts come in multiples of this, see `basinet.mlp.layouts`."""


@dataclass(frozen=True)
class Pairs:
    """Every u with every v. What belongs to a pair is `[u, v, restart]`, or `[u, v, feature, restart]`."""

    u: Tensor  # [u, feature, restart]
    v: Tensor  # [v, feature, restart]

    @cached_property
    def u_norm(self) -> Tensor:
        """|u|, `[u, 1, restart]`."""
        return _dot(self.u, self.u).sqrt_().unsqueeze(1)

    @cached_property
    def v_norm(self) -> Tensor:
        """|v|, `[1, v, restart]`."""
        return _dot(self.v, self.v).sqrt_().unsqueeze(0)

    @cached_property
    def u_unit(self) -> Tensor:
        """u/|u|, `[u, 1, feature, restart]`; 0 of the zero vector."""
        return self.u.unsqueeze(1) * inverse(self.u_norm).unsqueeze(2)

    @cached_property
    def v_unit(self) -> Tensor:
        """v/|v|, `[1, v, feature, restart]`; 0 of the zero vector."""
        return self.v.unsqueeze(0) * inverse(self.v_norm).unsqueeze(2)

    @cached_property
    def difference(self) -> Tensor:
        """|v/|v| - u/|u|| = 2 sin(t/2)."""
        return self._norm(-1)

    @cached_property
    def total(self) -> Tensor:
        """|v/|v| + u/|u|| = 2 cos(t/2)."""
        return self._norm(1)

    @cached_property
    def sine(self) -> Tensor:
        """sin t."""
        return self.difference * self.total / 2

    @cached_property
    def cosine(self) -> Tensor:
        """cos t."""
        return (self.total - self.difference) * (self.total + self.difference) / 4

    @cached_property
    def supplement(self) -> Tensor:
        """π - t."""
        return 2 * torch.atan2(self.total, self.difference)

    @cached_property
    def p(self) -> Tensor:
        """The direction of the sum."""
        return (self.v_unit + self.u_unit) * inverse(self.total).unsqueeze(2)

    @cached_property
    def q(self) -> Tensor:
        """The direction of the difference."""
        return (self.v_unit - self.u_unit) * inverse(self.difference).unsqueeze(2)

    @cached_property
    def identity(self) -> Tensor:
        """The identity matrix, `[1, 1, feature, feature, 1]`."""
        return torch.eye(self.u.shape[1], dtype=self.u.dtype, device=self.u.device)[None, None, :, :, None]

    def _norm(self, sign: int) -> Tensor:
        """Feature by feature, so that nothing larger than the result is made."""
        total: Tensor | None = None
        for feature in range(self.u.shape[1]):
            one = torch.add(self.v_unit.select(2, feature), self.u_unit.select(2, feature), alpha=sign)
            total = one.square_() if total is None else total.addcmul_(one, one)
        assert total is not None
        return total.sqrt_()


class FirstOrder(NamedTuple):
    """k and its derivative ∂k/∂u = along_u · u + along_v · v, `[u, v, restart]` each."""

    value: Tensor
    along_u: Tensor
    along_v: Tensor


class SecondOrder(NamedTuple):
    """∂²k/∂u∂u and ∂²k/∂u∂v, `[u, v, feature, feature, restart]` each."""

    same: Tensor
    mixed: Tensor


class Kernel(Protocol):
    """k of one φ."""

    @property
    def kinked(self) -> bool:
        """Whether k is not differentiable where a vector is zero."""
        ...

    @property
    def bounded(self) -> bool:
        """Whether k stays bounded however long the vectors are."""
        ...

    def first_order(self, pairs: Pairs) -> FirstOrder:
        """k and what its gradient is made of."""
        ...

    def second_order(self, pairs: Pairs) -> SecondOrder:
        """The blocks of its Hessian."""
        ...


class Relu:
    """φ(z) = max(z, 0):  k = |u||v| (sin t + (π - t) cos t) / 2π.

        ∂k/∂u     = (|v| sin t · u/|u| + (π - t) v) / 2π
        ∂²k/∂u∂u  = |v|/|u| sin t (I - ûûᵀ + n nᵀ) / 2π,   û = u/|u|, n = sin(t/2) p + cos(t/2) q ⊥ u
        ∂²k/∂u∂v  = ((π - t) I + sin t (p pᵀ - q qᵀ)) / 2π

    A zero vector is a kink. There all derivatives are taken as 0, as φ'(0) = 0 is elsewhere in this package.
    """

    kinked = True
    bounded = False

    def first_order(self, pairs: Pairs) -> FirstOrder:
        u, v, sine, supplement = pairs.u_norm, pairs.v_norm, pairs.sine, pairs.supplement
        return FirstOrder(
            value=u * v * torch.addcmul(sine, supplement, pairs.cosine) / (2 * math.pi),
            along_u=v * sine * (inverse(u) / (2 * math.pi)),
            along_v=supplement * (u > 0) / (2 * math.pi),
        )

    def second_order(self, pairs: Pairs) -> SecondOrder:
        u, v = pairs.u_norm, pairs.v_norm
        half_sine, half_cosine = (half.unsqueeze(2) / 2 for half in (pairs.difference, pairs.total))
        n = half_sine * pairs.p + half_cosine * pairs.q
        pulls = v * pairs.sine * (inverse(u) / (2 * math.pi))
        alive = ((u > 0) & (v > 0)).to(u) / (2 * math.pi)
        turns = _outer(pairs.p, pairs.p) - _outer(pairs.q, pairs.q)
        return SecondOrder(
            same=_block(pulls) * (pairs.identity - _outer(pairs.u_unit, pairs.u_unit) + _outer(n, n)),
            mixed=_block(alive * pairs.supplement) * pairs.identity + _block(alive * pairs.sine) * turns,
        )


class Erf:
    """φ(z) = erf(z / √2):  k = (2/π) asin(c / √(A B)) = (2/π) atan2(c, D).

    A = 1 + |u|², B = 1 + |v|², c = u·v, D² = A B - c² = 1 + |u|² + |v|² + |u|²|v|² sin²t.

        ∂k/∂u     = (2/π) m / D,   m = v - (c/A) u
        ∂²k/∂u∂u  = (2/π) (-(c/A) I - (u mᵀ + m uᵀ)/A + (c/A²) u uᵀ + (c/D²) m mᵀ) / D
        ∂²k/∂u∂v  = (2/π) (I - u uᵀ/A - (A/D²) m mᵀ) / D
    """

    kinked = False
    bounded = True

    def first_order(self, pairs: Pairs) -> FirstOrder:
        a, c, d = self._scalars(pairs)
        along_v = (2 / math.pi) / d
        return FirstOrder((2 / math.pi) * torch.atan2(c, d), -along_v * (c / a), along_v)

    def second_order(self, pairs: Pairs) -> SecondOrder:
        a, c, d = (_block(scalar) for scalar in self._scalars(pairs))
        u, v = pairs.u.unsqueeze(1), pairs.v.unsqueeze(0)
        m = v - (c / a).squeeze(2) * u
        uu, mm, um = _outer(u, u), _outer(m, m), _outer(u, m)
        same = c / a * (uu / a - pairs.identity) - (um + um.transpose(2, 3)) / a + c / (d * d) * mm
        mixed = pairs.identity - uu / a - a / (d * d) * mm
        return SecondOrder((2 / math.pi) / d * same, (2 / math.pi) / d * mixed)

    def _scalars(self, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
        """A, c and D."""
        u, v = pairs.u_norm, pairs.v_norm
        product = u * v
        across = product * pairs.sine
        d = torch.addcmul(torch.addcmul(1 + u * u, v, v), across, across).sqrt_()
        return 1 + u * u, product * pairs.cosine, d


KERNELS: Mapping[str, Kernel] = {"relu": Relu(), "erf": Erf()}
"""k by the names of `basinet.mlp.activations`."""


def inverse(norm: Tensor) -> Tensor:
    """1 / |u|, and 0 of the zero vector."""
    return torch.where(norm > 0, 1 / norm, 0.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """a · b of `[unit, feature, restart]`, `[unit, restart]`."""
    total = a.select(1, 0) * b.select(1, 0)
    for feature in range(1, a.shape[1]):
        total.addcmul_(a.select(1, feature), b.select(1, feature))
    return total


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ of `[u, v, feature, restart]`."""
    return a.unsqueeze(3) * b.unsqueeze(2)


def _block(scalar: Tensor) -> Tensor:
    """`[u, v, restart]` beside blocks `[u, v, feature, feature, restart]`."""
    return scalar.unsqueeze(2).unsqueeze(3)
