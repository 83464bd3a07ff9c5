"""What L-BFGS remembers of a function's curvature, and the direction that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """The last steps and how the gradient changed along them, newest first; zero where there is none yet.

    Everything is made by operations that leave vectors in the order of memory that they came in: sums are taken in it.
    """

    steps: tuple[Tensor, ...]  # s = θ' - θ, each [restart, parameter]
    changes: tuple[Tensor, ...]  # y = ∇f(θ') - ∇f(θ), likewise
    rho: tuple[Tensor, ...]  # 1 / s·y, each [restart]; 0 where there is no pair
    scale: Tensor  # [restart]: s·y / y·y of the newest pair, 1 without one

    @staticmethod
    def of(steps: Sequence[Tensor], changes: Sequence[Tensor]) -> Pairs:
        """What is remembered, from the vectors alone."""
        products = [dot(s, y) for s, y in zip(steps, changes, strict=True)]
        rho = tuple(torch.where(product > 0, 1 / product, 0) for product in products)
        return Pairs(tuple(steps), tuple(changes), rho, _scale(products[0], changes[0]))

    @property
    def none(self) -> Tensor:
        """Whether nothing is remembered, `[restart]` bool."""
        return self.rho[0] == 0

    def with_newest(self, where: Tensor, s: Tensor, y: Tensor, product: Tensor) -> Pairs:
        """With one more pair, of which s·y is the `product`, for some restarts; the oldest gives way."""
        rows = where.unsqueeze(1)
        return Pairs(
            _pushed(rows, s, self.steps),
            _pushed(rows, y, self.changes),
            _pushed(where, 1 / product, self.rho),
            torch.where(where, _scale(product, y), self.scale),
        )

    def forgotten(self, where: Tensor) -> Pairs:
        """Without any pair for some restarts."""
        rows = where.unsqueeze(1)
        return Pairs(
            tuple(torch.where(rows, 0, s) for s in self.steps),
            tuple(torch.where(rows, 0, y) for y in self.changes),
            tuple(torch.where(where, 0, rho) for rho in self.rho),
            torch.where(where, 1, self.scale),
        )

    def direction(self, gradient: Tensor) -> Tensor:
        """-H ∇f, H the inverse Hessian that the pairs tell: the two-loop recursion (Nocedal, 1980)."""
        q, alphas = gradient.clone(), []
        for s, y, rho in zip(self.steps, self.changes, self.rho, strict=True):
            alphas.append(rho * dot(s, q))
            q.sub_(alphas[-1].unsqueeze(1) * y)
        r = q.mul_(self.scale.unsqueeze(1))
        for s, y, rho, alpha in reversed(list(zip(self.steps, self.changes, self.rho, alphas, strict=True))):
            r.add_((alpha - rho * dot(y, r)).unsqueeze(1) * s)
        return r.neg_()


def dot(a: Tensor, b: Tensor) -> Tensor:
    """a·b for each restart."""
    return (a * b).sum(1)


def _scale(product: Tensor, y: Tensor) -> Tensor:
    return torch.where(product > 0, product / dot(y, y), 1)


def _pushed(where: Tensor, newest: Tensor, rest: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.where(where, one, old) for one, old in zip((newest, *rest[:-1]), rest, strict=True))
