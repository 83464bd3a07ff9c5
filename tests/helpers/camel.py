"""The six-hump camel function, and all its critical points by another way than searching them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from basinet.engines import TorchEngine
from basinet.objectives.plain import Plain
from basinet.stages.derivatives import Derivatives


@dataclass(frozen=True)
class Camel(Plain):
    """The six-hump camel function (4 - 2.1 x² + x⁴/3) x² + x y + 4 (y² - 1) y²."""

    size: int = 2

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        x, y = theta.unbind(1)
        value = (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + 4 * (y**2 - 1) * y**2
        return value, torch.stack([8 * x - 8.4 * x**3 + 2 * x**5 + y, x - 8 * y + 16 * y**3], 1)

    def hessian(self, theta: Tensor) -> Tensor:
        x, y = theta.unbind(1)
        one = torch.ones_like(x)
        first, second = torch.stack([8 - 25.2 * x**2 + 10 * x**4, one], 1), torch.stack([one, -8 + 48 * y**2], 1)
        return torch.stack([first, second], 1)


CAMEL = Derivatives(Camel(), TorchEngine())


def critical_points_of_the_camel() -> np.ndarray:
    """All of them, with their index, from the roots of a polynomial in y: x = 8 y - 16 y³ makes ∂f/∂y = 0."""
    y = np.polynomial.Polynomial([0, 1])
    x = 8 * y - 16 * y**3
    roots = (8 * x - 8.4 * x**3 + 2 * x**5 + y).roots()
    real = roots[np.abs(roots.imag) < 1e-9].real
    points = np.column_stack([8 * real - 16 * real**3, real])
    a, c = 8 - 25.2 * points[:, 0] ** 2 + 10 * points[:, 0] ** 4, -8 + 48 * points[:, 1] ** 2
    hessians = np.array([[[p, 1.0], [1.0, q]] for p, q in zip(a, c, strict=True)])
    return np.column_stack([points, (np.linalg.eigvalsh(hessians) < 0).sum(1)])
