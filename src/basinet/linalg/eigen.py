"""Eigenvalues of many small symmetric matrices, in several threads; a matrix's own do not depend on the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from basinet.foundation.threads import workers

_FEWEST = 64  # matrices for which another thread is worth waking


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
    """Symmetric matrices with an even number of rows, if need be by one more eigenvalue, the largest.

    Eigenvalues of a matrix depend, in the last bits, on where in memory it starts: a batch of 9 x 9 matrices is an odd
    number of 8 bytes apart, and the results of each would depend on its place among the others.
    """
    size = matrices.shape[1]
    if size % 2 == 0:
        return matrices
    result = matrices.new_zeros(matrices.shape[0], size + 1, size + 1)
    result.narrow(1, 0, size).narrow(2, 0, size).copy_(matrices)
    result.select(1, size).select(1, size).copy_(2 * torch.linalg.matrix_norm(matrices))
    return result


def _in_parts(function: Callable[[Tensor], Any], matrices: Tensor, threads: int) -> list[Any]:
    count = min(threads, -(-len(matrices) // _FEWEST))
    if count <= 1:
        return [function(matrices)]
    return list(workers(count).map(function, matrices.chunk(count)))
