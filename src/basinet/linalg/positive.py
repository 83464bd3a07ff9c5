"""Many small systems of equations with positive definite matrices."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from basinet.linalg.alignment import aligned


class Factors(NamedTuple):
    """Cholesky factors A = L Lᵀ of many matrices."""

    lower: Tensor  # [matrix, row', row'], padded
    positive: Tensor  # [matrix] bool: A is positive definite, so that L exists

    @staticmethod
    def of(matrices: Tensor) -> Factors:
        """Of symmetric matrices `[matrix, row, row]`.

        >>> Factors.of(torch.tensor([[[4.0]], [[-4.0]]], dtype=torch.float64)).positive
        tensor([ True, False])
        """
        lower, failed = torch.linalg.cholesky_ex(aligned(matrices, matrices.new_ones(matrices.shape[0])))
        return Factors(lower, failed == 0)

    def solve(self, right: Tensor) -> Tensor:
        """x `[matrix, row]` with A x = `right [matrix, row]`; meaningless where A is not positive definite."""
        size = right.shape[1]
        padded = right.new_zeros(right.shape[0], self.lower.shape[1], 1)
        padded.narrow(1, 0, size).copy_(right.unsqueeze(2))
        return torch.cholesky_solve(padded, self.lower).squeeze(2).narrow(1, 0, size)
