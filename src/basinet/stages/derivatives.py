"""What the stages after a descent ask of an objective: values, gradients and Hessians of many restarts at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from basinet.protocols import Engine, NewtonStep, Objective


class Derivatives(NamedTuple):
    """An objective in float64, and the engine that computes what is asked of it."""

    objective: Objective
    engine: Engine

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∇f `[restart, parameter]` at `theta [restart, parameter]`."""
        return self.engine.loss_and_gradient(self.objective, theta)

    def rounding(self, loss: Tensor, share: Tensor | float) -> Tensor:
        """What differences of f say nothing about, `[restart]`: a share of f, or what rounding leaves near 0."""
        return (share * loss.abs()).clamp(min=self.objective.rounding)

    def hessian(self, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`."""
        return self.engine.hessian(self.objective, theta)

    def eigenvectors(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Its eigenvalues `[restart, parameter]`, ascending, and eigenvectors `[restart, parameter, eigenvalue]`."""
        return self.engine.eigenvectors(self.objective, theta)

    def newton_step(self, theta: Tensor, gradient: Tensor, region: Tensor) -> NewtonStep:
        """A step of Newton's method from `theta` that is no longer than `region [restart]`."""
        return self.engine.newton_step(self.objective, theta, gradient, region)


def norm(vectors: Tensor) -> Tensor:
    """Euclidean norm of each row of `vectors [restart, parameter]`, `[restart]`."""
    result: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return result
