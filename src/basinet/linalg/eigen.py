"""Eigenvalues of many small symmetric matrices, in several threads; a matrix's own do not depend on the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from basinet.foundation.threads import in_threads
from basinet.linalg.alignment import aligned

_FEWEST = 1 << 12  # numbers in the matrices for which another thread is worth waking


def eigenvalues(matrices: Tensor, threads: int) -> Tensor:
    """Ascending, `[matrix, row]`, of symmetric matrices `[matrix, row, row]`.

    >>> eigenvalues(torch.tensor([[[2.0, 1.0], [1.0, 2.0]]], dtype=torch.float64), threads=1).round(decimals=12)
    tensor([[1., 3.]], dtype=torch.float64)
    """
    size = matrices.shape[1]
    parts = _in_parts(torch.linalg.eigvalsh, _aligned(matrices), threads)
    return torch.cat(parts).narrow(1, 0, size)


def eigenvectors(matrices: Tensor, threads: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues `[matrix, row]`, ascending, and eigenvectors `[matrix, row, eigenvalue]`."""
    size = matrices.shape[1]
    values, vectors = zip(*_in_parts(torch.linalg.eigh, _aligned(matrices), threads), strict=True)
    return torch.cat(values).narrow(1, 0, size), torch.cat(vectors).narrow(1, 0, size).narrow(2, 0, size)


def _aligned(matrices: Tensor) -> Tensor:
    """Symmetric matrices that start where vectors want them, if need be by more eigenvalues, larger than all others."""
    return aligned(matrices, 2 * torch.linalg.matrix_norm(matrices))


def _in_parts(function: Callable[[Tensor], Any], matrices: Tensor, threads: int) -> list[Any]:
    fewest = max(1, _FEWEST // matrices[0].numel()) if len(matrices) else 1
    count = min(threads, -(-len(matrices) // fewest))
    if count <= 1:
        return [function(matrices)]
    return in_threads(function, matrices.chunk(count), count)
