"""Steps of Newton's method within trust regions, from the eigenvalues of many small Hessians."""

from __future__ import annotations

import torch
from torch import Tensor

from basinet.linalg.eigen import eigenvectors
from basinet.protocols import NewtonStep

SHIFT = 1e-10
"""The smallest shift of the spectrum, relative to its size: flat directions of a degenerate bottom stay still."""

BISECTIONS = 50
"""Of the shift, which then is exact enough: its range is bounded to begin with."""


def newton_step(hessian: Tensor, gradient: Tensor, region: Tensor, threads: int) -> NewtonStep:
    """The lowest point of the quadratic model within a trust region.

        p = argmin ∇f·p + ½ pᵀ H p  with ‖p‖ ≤ Δ,      p = -(H + μ I)⁻¹ ∇f  with μ ≥ 0 and H + μ I positive definite

    Source: Moré & Sorensen (1983), *Computing a trust region step*; Nocedal & Wright (2006), chapter 4.

    Args:
        hessian: H, `[restart, parameter, parameter]`.
        gradient: ∇f, `[restart, parameter]`.
        region: Δ, `[restart]`.
        threads: for the eigenvectors.
    """
    eigenvalues, vectors = eigenvectors(hessian, threads)
    along = (vectors * gradient.unsqueeze(2)).sum(1)  # ∇f in the eigenbasis
    size = eigenvalues.abs().amax(1)
    tiny = torch.finfo(size.dtype).tiny
    low = torch.maximum(SHIFT * size, SHIFT * size - eigenvalues[:, 0]).clamp(min=tiny)
    length = torch.linalg.vector_norm(gradient, dim=1)
    high = torch.maximum(low, length / region.clamp(min=tiny) - eigenvalues[:, 0])  # there, ‖p‖ ≤ Δ
    too_long = _length(along, eigenvalues, low) > region
    for _ in range(BISECTIONS if bool(too_long.any()) else 0):
        middle = (low * high).sqrt()
        longer = _length(along, eigenvalues, middle) > region
        low, high = torch.where(longer, middle, low), torch.where(longer, high, middle)
    shift = torch.where(too_long, high, low)
    parts = -along / (eigenvalues + shift.unsqueeze(1))
    foretold = -(along * parts + 0.5 * eigenvalues * parts * parts).sum(1)
    return NewtonStep((vectors * parts.unsqueeze(1)).sum(2), foretold, torch.linalg.matrix_norm(hessian))


def _length(along: Tensor, eigenvalues: Tensor, shift: Tensor) -> Tensor:
    """‖p‖ `[restart]` with a shift `[restart]`."""
    length: Tensor = torch.linalg.vector_norm(along / (eigenvalues + shift.unsqueeze(1)), dim=1)
    return length
