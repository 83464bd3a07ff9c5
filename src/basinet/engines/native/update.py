"""What the native engine needs to know of a descent: one row each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from basinet.descents import Adam, GradientDescent, Momentum, Nesterov, Sgd
from basinet.protocols import Descent

Array = npt.NDArray[np.float64]


class Update(NamedTuple):
    """The header that makes a step of a descent, and the numbers that it takes."""

    header: Path  # in this folder, or a whole path
    constants: Callable[[Any], list[float]] = lambda descent: []
    rates: Callable[[Any, Array, Array], list[Array]] = lambda descent, t, eta: [eta]
    """Functions of the numbers t = 1, 2, … of the steps and their learning rates."""


UPDATES: dict[type[Descent], Update] = {
    GradientDescent: Update(Path("updates/gradient_descent.h")),
    Sgd: Update(Path("updates/gradient_descent.h")),
    Momentum: Update(Path("updates/momentum.h"), lambda d: [d.momentum]),
    Nesterov: Update(Path("updates/nesterov.h"), lambda d: [d.momentum]),
    Adam: Update(
        Path("updates/adam.h"),
        lambda d: [d.beta1, d.beta2, d.epsilon],
        lambda d, t, eta: [eta / (1 - d.beta1**t), 1 / np.sqrt(1 - d.beta2**t)],
    ),
}


def rates_of(descent: Descent, first: int, until: int) -> Array:
    """The numbers of every step of a segment, `[step, rate]`; one row of them if all steps have the same."""
    budget: Any = descent.budget
    steps = until - first
    if budget.schedule == "constant":
        eta = np.full(steps, budget.rate(0))
    else:
        eta = np.array([budget.rate(step) for step in range(first, until)])
    columns = UPDATES[type(descent)].rates(descent, np.arange(first + 1, until + 1, dtype=np.float64), eta)
    table = np.stack(np.broadcast_arrays(*columns), axis=1)
    return table[:1] if (table == table[:1]).all() else table


def constants_of(descent: Descent) -> Array:
    """The numbers that are the same in every step, `[constant]`."""
    return np.array(UPDATES[type(descent)].constants(descent), dtype=np.float64)
