"""The ends of a Hessian's spectrum from Hessian–vector products alone, for networks too large for a dense Hessian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose, normal
from basinet.foundation.threads import single_threaded_operations
from basinet.linalg.eigen import eigenvalues

_ELEMENTS = 1 << 19  # of the basis of a chunk of restarts: 4 MB, which caches hold, and no new pages for each product

HessianProduct = Callable[[Tensor, Tensor], Tensor]
"""H v `[restart, parameter]` at (theta, v), one direction per restart."""


@dataclass(frozen=True)
class ExtremeEigenvalues:
    """Approximations of the lowest and the highest eigenvalue, `[restart]` each; NaN where H v is not finite.

    Both lie inside the spectrum: `lowest` ≥ λ_min and `highest` ≤ λ_max, up to rounding. So a negative `lowest` shows a
    direction downwards, but a positive one nothing: no verdict is built on it.
    """

    lowest: Tensor
    highest: Tensor


def extreme_eigenvalues(hvp: HessianProduct, theta: Tensor, iterations: int, seed: int = 0) -> ExtremeEigenvalues:
    """The ends of the spectrum of H by the Lanczos recursion with full reorthogonalisation, batched over restarts.

        β_j q_{j+1} = H q_j - α_j q_j - β_{j-1} q_{j-1}        α_j = q_jᵀ H q_j        ‖q_j‖ = 1
        T = Qᵀ H Q = tridiag(β, α, β)        λ_min(H) ≤ λ_min(T) ≤ λ_max(T) ≤ λ_max(H)

    Where the space of a start is exhausted (β_j = 0) the recursion goes on from another direction, so that
    `iterations` = size gives the exact ends whatever the multiplicities. Ends that stand apart converge first; a lowest
    eigenvalue that is small beside the highest one needs many iterations.

    Source: Lanczos (1950); Parlett (1998), *The Symmetric Eigenvalue Problem*, chapter 13.

    Args:
        hvp: products with the Hessian.
        theta: where, `[restart, parameter]`.
        iterations: products to spend on each restart, at least 1; at most `size` are used.
        seed: of the starting directions, which are the same for all restarts.

    Returns:
        The ends. A row does not depend on the others if those of `hvp` do not.

    Raises:
        ConfigError: if `iterations` is less than 1.

    >>> H = torch.diag(torch.tensor([-1.0, 2.0, 5.0], dtype=torch.float64))
    >>> ends = extreme_eigenvalues(lambda theta, v: v @ H, torch.zeros(1, 3, dtype=torch.float64), iterations=3)
    >>> round(ends.lowest.item(), 12), round(ends.highest.item(), 12)
    (-1.0, 5.0)
    """
    require(iterations >= 1, f"iterations={iterations}: must be at least 1")
    size = theta.shape[1]
    directions = torch.from_numpy(normal(seed, range(min(iterations, size)), size, Purpose.STATISTICS)).to(theta)
    restarts = max(1, _ELEMENTS // directions.numel())
    with single_threaded_operations():
        chunks = [_ends(*_tridiagonal(hvp, part, directions)) for part in theta.split(restarts)]
    return ExtremeEigenvalues(*(torch.cat(column) for column in zip(*chunks, strict=True)))


def _tridiagonal(hvp: HessianProduct, theta: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """α and β, `[restart, iteration]` each."""
    restarts, (iterations, size) = theta.shape[0], directions.shape
    basis = theta.new_empty(restarts, iterations, size)
    alpha, beta = theta.new_zeros(restarts, iterations), theta.new_zeros(restarts, iterations)
    rounding = 10 * torch.finfo(theta.dtype).eps
    scale = theta.new_zeros(restarts)
    q = _unit(directions.select(0, 0).expand(restarts, -1))
    for j in range(iterations):
        basis.select(1, j).copy_(q)
        known = basis.narrow(1, 0, j + 1)
        product = hvp(theta, q)
        alpha.select(1, j).copy_((q * product).sum(1))
        rest = _orthogonal_to(known, product)
        length = torch.linalg.vector_norm(rest, dim=1)
        scale = torch.maximum(scale, torch.maximum(alpha.select(1, j).abs(), length))
        exhausted = length <= rounding * scale
        beta.select(1, j).copy_(length.masked_fill(exhausted, 0))
        if j + 1 < iterations:
            q = rest / length.unsqueeze(1)
            if exhausted.any():
                other = _unit(_orthogonal_to(known, directions.select(0, j + 1).expand(restarts, -1)))
                q = torch.where(exhausted.unsqueeze(1), other, q)
    return alpha, beta


def _unit(v: Tensor) -> Tensor:
    unit: Tensor = v / torch.linalg.vector_norm(v, dim=1, keepdim=True)
    return unit


def _orthogonal_to(basis: Tensor, v: Tensor) -> Tensor:
    """v without its part in the span of `basis [restart, direction, parameter]`, by classical Gram–Schmidt, twice.

    Sums, not matrix products: those may answer differently for another number of restarts.
    """
    for _ in range(2):
        coefficients = (basis * v.unsqueeze(1)).sum(2, keepdim=True)
        v = v - (basis * coefficients).sum(1)
    return v


def _ends(alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    inner = beta.narrow(1, 0, beta.shape[1] - 1)
    T = torch.diag_embed(alpha) + torch.diag_embed(inner, 1) + torch.diag_embed(inner, -1)
    finite = torch.isfinite(T).all(2).all(1)
    values = eigenvalues(torch.where(finite.view(-1, 1, 1), T, 0), threads=1)
    values = values.masked_fill(~finite.unsqueeze(1), torch.nan)
    return values.select(1, 0), values.select(1, -1)
