"""The networks that the tests of the native engine share: a kernel is compiled once and then kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk


@dataclass(frozen=True)
class _Case:
    """All activations, losses and penalties; layers of one unit and of more than a tile; samples that leave a rest."""

    widths: tuple[int, ...]
    output: str
    bias: bool
    loss: str
    penalties: tuple[float, float]
    samples: int


_CASES = {
    "logistic": _Case((2, 5, 3), "logistic", True, "squared", (0.0, 0.0), 11),
    "tanh": _Case((3, 7, 2), "identity", True, "cross_entropy", (1e-2, 1e-3), 9),
    "relu": _Case((4, 4, 4, 1), "gelu", False, "squared", (0.0, 0.0), 13),
    "softplus": _Case((1, 2, 2, 1), "softplus", True, "squared", (1e-2, 0.0), 3),
    "gelu": _Case((2, 3, 2), "identity", True, "cross_entropy", (0.0, 0.0), 16),
    "identity": _Case((2, 3, 3, 2), "tanh", False, "squared", (1e-2, 1e-2), 1),
}


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _risk(activation: str, dtype: torch.dtype, samples: int | None = None) -> EmpiricalRisk:
    case = _CASES[activation]
    network = Network(case.widths, activation, case.output, case.bias)
    count = case.samples if samples is None else samples
    x, y = _normal(1, case.widths[0], count), _normal(2, case.widths[-1], count)
    targets = torch.softmax(y, 0) if case.loss == "cross_entropy" else y
    return EmpiricalRisk(network, x.to(dtype), targets.to(dtype), case.loss, *case.penalties)


@pytest.fixture(scope="session")
def risk_of() -> Callable[..., EmpiricalRisk]:
    """The objective that goes with a hidden activation, in some precision, and with other samples where asked for."""
    return _risk


@pytest.fixture(scope="session")
def normal() -> Callable[..., Tensor]:
    """Standard normal numbers of a seed and a shape."""
    return _normal
