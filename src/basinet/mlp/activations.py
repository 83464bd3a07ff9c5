"""Activation functions: value, first and second derivative.

The derivatives are written through the activation a = σ(z) where that is possible, so that a forward pass keeps one
tensor a layer; `reads` says which of the two tensors `slope` and `curvature` want.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Activation:
    """σ with σ' (`slope`) and σ'' (`curvature`) as functions of a = σ(z) (`reads="a"`) or of z (`reads="z"`)."""

    name: str
    reads: Literal["a", "z"]
    value: Function
    slope: Function
    curvature: Function


def _logistic_slope(a: Tensor) -> Tensor:
    return torch.addcmul(a, a, a, value=-1)


def _logistic_curvature(a: Tensor) -> Tensor:
    return _logistic_slope(a).mul_(1 - 2 * a)


def _tanh_slope(a: Tensor) -> Tensor:
    return 1 - a * a


def _relu_slope(a: Tensor) -> Tensor:
    return torch.sign(a)  # a ≥ 0: 1 where the unit is on, 0 where it is off and at z = 0


def _softplus_value(z: Tensor) -> Tensor:
    # max(z, 0) + log(1 + e^-|z|). torch's softplus turns linear at z > 20, an error of 2e-9.
    return z.abs().neg_().exp_().log1p_().add_(z.clamp(min=0))


def _softplus_slope(a: Tensor) -> Tensor:
    return torch.expm1(-a).neg_()  # logistic(z) = 1 - e^-softplus(z)


def _softplus_curvature(a: Tensor) -> Tensor:
    return _softplus_slope(a).mul_(torch.exp(-a))


def _normal_density(z: Tensor) -> Tensor:
    return (z * z).mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))


def _normal_distribution(z: Tensor) -> Tensor:
    tail: Tensor = torch.special.erfc(z * -math.sqrt(0.5))  # keeps the relative accuracy of the left tail
    return tail.mul_(0.5)


def _gelu_value(z: Tensor) -> Tensor:
    return _normal_distribution(z).mul_(z)


def _gelu_slope(z: Tensor) -> Tensor:
    return _normal_density(z).mul_(z).add_(_normal_distribution(z))


def _gelu_curvature(z: Tensor) -> Tensor:
    return _normal_density(z).mul_(2 - z * z)


def _erf_value(z: Tensor) -> Tensor:
    return torch.erf(z * math.sqrt(0.5))


def _erf_slope(z: Tensor) -> Tensor:
    return _normal_density(z).mul_(2)


def _erf_curvature(z: Tensor) -> Tensor:
    return _normal_density(z).mul_(-2 * z)


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("logistic", "a", torch.sigmoid, _logistic_slope, _logistic_curvature),
        Activation("tanh", "a", torch.tanh, _tanh_slope, lambda a: _tanh_slope(a).mul_(-2 * a)),
        Activation("relu", "a", torch.relu, _relu_slope, torch.zeros_like),
        Activation("softplus", "a", _softplus_value, _softplus_slope, _softplus_curvature),
        Activation("gelu", "z", _gelu_value, _gelu_slope, _gelu_curvature),
        Activation("erf", "z", _erf_value, _erf_slope, _erf_curvature),
        Activation("identity", "a", torch.clone, torch.ones_like, torch.zeros_like),
    )
}
