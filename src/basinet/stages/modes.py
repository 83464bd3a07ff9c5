"""Which eigenvalues of a Hessian are zero, and which negative: the one place where that line is drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from basinet.stages.tolerances import Tolerances


def count_modes(
    eigenvalues: npt.NDArray[np.float64], tolerances: Tolerances
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many eigenvalues of each restart are zero, and how many negative, `[restart]` each.

    Zero is relative to the spectrum (there are true minima with λ_min = 4e-5) with an absolute floor.
    """
    size = np.abs(np.nan_to_num(eigenvalues)).max(axis=1, initial=0.0)
    line = np.maximum(tolerances.zero * size, tolerances.floor)[:, None]
    return (np.abs(eigenvalues) <= line).sum(1), (eigenvalues < -line).sum(1)
