"""By which quantiles a distribution over restarts is told: the one place where they are listed and taken."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
"""Of losses and gradient norms, by the names of their columns and metrics."""

INNER = ("q05", "q25", "median", "q75", "q95")
"""All but the extremes, which grow with the number of restarts."""

QUARTILES = ("q25", "median", "q75")


def quantiles(values: npt.NDArray[np.floating], names: Iterable[str] = tuple(QUANTILES)) -> dict[str, float]:
    """The quantiles of these names, taken in float64 whatever the values are; NaN of no values.

    >>> quantiles(np.array([3.0, 1.0, 2.0]), ("min", "median"))
    {'min': 1.0, 'median': 2.0}
    """
    names = list(names)
    if len(values) == 0:
        return dict.fromkeys(names, np.nan)
    taken = np.quantile(values.astype(np.float64), [QUANTILES[name] for name in names])
    return dict(zip(names, taken.tolist(), strict=True))
