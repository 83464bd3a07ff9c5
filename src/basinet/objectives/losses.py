"""Losses of one sample, with their first and second derivative with respect to the network's output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """ℓ(a, y) summed over outputs, ∂ℓ/∂a and the product ∂²ℓ/∂a² v; all want tensors `[restart, output, …]`."""

    name: str
    value: Callable[[Tensor, Tensor], Tensor]  # [restart, output, sample], to be summed over outputs
    gradient: Callable[[Tensor, Tensor], Tensor]  # [restart, output, sample]
    curvature: Callable[[Tensor, Tensor, Tensor], Tensor]  # of (a, y, v), a new tensor shaped like v
    output: str | None  # the output activation that the loss brings with it, if any


def _squared(a: Tensor, y: Tensor) -> Tensor:
    return (a - y).square_().mul_(0.5)


def _squared_gradient(a: Tensor, y: Tensor) -> Tensor:
    return a - y


def _squared_curvature(a: Tensor, y: Tensor, v: Tensor) -> Tensor:
    return v.clone()


def _cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return (torch.logsumexp(z, 1, keepdim=True) - z).mul_(y)


def _cross_entropy_gradient(z: Tensor, y: Tensor) -> Tensor:
    return torch.softmax(z, 1).sub_(y)


def _cross_entropy_curvature(z: Tensor, y: Tensor, v: Tensor) -> Tensor:
    p = torch.softmax(z, 1)
    return (v - (v * p).sum(1, keepdim=True)).mul_(p)  # (diag(p) - p pᵀ) v


# Functions with a name: what is to be minimised goes to other processes, and no other function does.
LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("squared", _squared, _squared_gradient, _squared_curvature, None),
        Loss("cross_entropy", _cross_entropy, _cross_entropy_gradient, _cross_entropy_curvature, "identity"),
    )
}
