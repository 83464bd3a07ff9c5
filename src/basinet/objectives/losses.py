"""Losses of one sample, with their gradient with respect to the network's output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """ℓ(a, y) summed over outputs, and ∂ℓ/∂a; both want tensors `[restart, output, sample]`."""

    name: str
    value: Callable[[Tensor, Tensor], Tensor]  # [restart, output, sample], to be summed over outputs
    gradient: Callable[[Tensor, Tensor], Tensor]  # [restart, output, sample]
    output: str | None  # the output activation that the loss brings with it, if any
    formula: str


def _squared(a: Tensor, y: Tensor) -> Tensor:
    return (a - y).square_().mul_(0.5)


def _cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return (torch.logsumexp(z, 1, keepdim=True) - z).mul_(y)


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("squared", _squared, torch.sub, None, "½ ‖a_L - y‖²"),
        Loss(
            "cross_entropy",
            _cross_entropy,
            lambda z, y: torch.softmax(z, 1).sub_(y),
            "identity",
            "-Σ y log softmax(z_L)",
        ),
    )
}
