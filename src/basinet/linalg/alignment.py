"""Where matrices of a batch start in memory, on which the last bits of what LAPACK makes of them depend."""

from __future__ import annotations

from torch import Tensor

_ROWS = 4  # matrices are padded to a multiple of


def aligned(matrices: Tensor, diagonal: Tensor) -> Tensor:
    """Matrices `[matrix, row, row]` with a multiple of four rows: the new ones are zero but for `diagonal [matrix]`.

    Eigenvalues of a matrix depend, in the last bits, on where in memory it starts: a batch of 9 x 9 matrices is an odd
    number of 8 bytes apart, and the results of each would depend on its place among the others. With a multiple of four
    rows every matrix starts at a multiple of 128 bytes, the longest vector there is.
    """
    size = matrices.shape[1]
    missing = -size % _ROWS
    if missing == 0:
        return matrices
    result = matrices.new_zeros(matrices.shape[0], size + missing, size + missing)
    result.narrow(1, 0, size).narrow(2, 0, size).copy_(matrices)
    result.diagonal(dim1=1, dim2=2).narrow(1, size, missing).copy_(diagonal.unsqueeze(1).expand(-1, missing))
    return result
