"""A step along a flow that was tried, and what a method of making one promises."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from basinet.protocols import Function


class Trial(NamedTuple):
    """One row per restart."""

    theta: Tensor  # [restart, parameter], where it leads
    loss: Tensor  # [restart], f there
    gradient: Tensor  # [restart, parameter], ∇f there
    error: Tensor  # [restart, parameter], estimated
    wanted: Tensor  # [restart], how long a step was wanted
    step: Tensor  # [restart], h: no longer than what is left until the next mark
    size: Tensor  # [restart], of the Hessian where it begins
    remaining: Tensor  # [restart], foretold: the length of the way from there to a bottom; inf if none is near
    exists: Tensor  # [restart] bool: whether there is such a step
    cost: Tensor  # [restart] float64, in gradients
    order: Tensor  # [restart] int64: the estimated error goes with this power of h
    remembered: Tensor  # [restart, number], for the next step


class Settled(NamedTuple):
    """What the next step begins with, one row per restart."""

    wanted: Tensor  # [restart], how long it shall be
    remembered: Tensor  # [restart, number]


class Method(Protocol):
    """How a step along θ' = -∇f(θ) is made, with an estimate of its error."""

    def remembers(self, size: int) -> int:
        """How many numbers from step to step, of a restart with so many parameters."""
        ...

    def numbers(self, size: int) -> int:
        """How many numbers a step holds of a restart in its largest arrays."""
        ...

    def attempt(
        self, f: Function, theta: Tensor, gradient: Tensor, wanted: Tensor, left: Tensor, kept: Tensor
    ) -> Trial:
        """Try a step from each `theta [restart, parameter]`.

        Args:
            f: what is minimised.
            theta: where it begins.
            gradient: ∇f there.
            wanted: how long, `[restart]`; NaN if nothing is known yet.
            left: how long at most, `[restart]`.
            kept: what the last one left, `[restart, number]`; 0 before the first.
        """
        ...

    def settle(self, trial: Trial, wanted: Tensor, left: Tensor, near: Tensor) -> Settled:
        """What the next step begins with, once it is known whether this one was taken.

        Args:
            trial: this step.
            wanted: how long the next one may be by its error, `[restart]`.
            left: how long at most, `[restart]`; 0 at a mark.
            near: whether ∇f is now as small as a restart that has arrived has it, `[restart]` bool.
        """
        ...


class Single:
    """A method that is alone: the next step is as long as its error lets it be."""

    def settle(self, trial: Trial, wanted: Tensor, left: Tensor, near: Tensor) -> Settled:
        """See `Method.settle`."""
        return Settled(wanted, trial.remembered)


def fitted(wanted: Tensor, left: Tensor) -> Tensor:
    """A step that ends at the next mark, or leaves room for another one that is no shorter."""
    return torch.where(wanted >= left, left, torch.minimum(wanted, left / 2))
