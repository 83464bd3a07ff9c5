"""What every descent shares: learning rate and schedule, budget of steps, tolerance, records, and the study's seed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from basinet.foundation.errors import require, unknown

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),  # Loshchilov & Hutter (2017), without restarts
    "step": lambda t: 0.1 ** ((t >= 0.5) + (t >= 0.75)),  # a tenth after half of the budget, a hundredth after 3/4
}
"""Factor of the learning rate at t = step / steps, 0 ≤ t < 1."""


def record_steps(steps: int, records: int) -> list[int]:
    """The steps at which losses are recorded: 0, and up to `records` log-spaced ones from 1 to the budget.

    >>> record_steps(1000, 4)
    [0, 1, 10, 100, 1000]
    """
    return list(_record_steps(steps, records))


@functools.lru_cache(maxsize=8)
def _record_steps(steps: int, records: int) -> tuple[int, ...]:
    """Kept, since every batch of runs asks for them again."""
    if steps == 0:
        return (0,)
    spaced = np.geomspace(1, steps, records) if records > 1 else np.array([steps])
    return 0, *np.unique(np.rint(spaced).astype(np.int64)).tolist()


@dataclass(frozen=True)
class Budget:
    """Learning rate η_t = learning_rate · schedule(t / steps), how long to go on, when to stop, when to record."""

    learning_rate: float
    steps: int
    schedule: str
    tolerance: float
    records: int
    seed: int = 0  # of what is random about a descent

    clock: Literal["step"] = field(default="step", init=False, repr=False)

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.learning_rate) and self.learning_rate > 0,
            f"descent.learning_rate={self.learning_rate:g}: must be positive",
        )
        require_limits(self.steps, self.tolerance, self.records)
        if self.schedule not in SCHEDULES:
            raise unknown("descent.schedule", self.schedule, SCHEDULES)

    @property
    def marks(self) -> list[int]:
        """The steps at which losses are recorded."""
        return record_steps(self.steps, self.records)

    def share(self, mark: float) -> float:
        """The part of all steps."""
        return mark / max(self.steps, 1)

    def rate(self, step: int) -> float:
        """η at step number `step`, counted from 0."""
        return self.learning_rate * SCHEDULES[self.schedule](step / max(self.steps, 1))


@dataclass(frozen=True)
class StepLimits:
    """What is left of a budget where steps have a length of their own: how many, when to stop, when to record."""

    steps: int
    tolerance: float
    records: int
    seed: int = 0

    clock: Literal["step"] = field(default="step", init=False, repr=False)

    def __post_init__(self) -> None:
        require_limits(self.steps, self.tolerance, self.records)

    @property
    def marks(self) -> list[int]:
        """The steps at which losses are recorded."""
        return record_steps(self.steps, self.records)

    def share(self, mark: float) -> float:
        """The part of all steps."""
        return mark / max(self.steps, 1)


def require_limits(steps: int, tolerance: float, records: int) -> None:
    """Raise `ConfigError` for what no descent can have."""
    require(steps >= 0, f"descent.steps={steps}: must be 0 (certify the starts) or more")
    require(steps < 2**53, f"descent.steps={steps}: must be below 2^53")
    require(records >= 1, f"descent.records={records}: must be at least 1")
    require(records <= 10**6, f"descent.records={records}: must be at most 1,000,000")
    within = math.isfinite(tolerance) and tolerance >= 0
    require(within, f"descent.tolerance={tolerance:g}: must be 0 (never stop early) or more")


def require_fraction(key: str, value: float) -> None:
    """Raise `ConfigError` unless 0 ≤ value < 1."""
    require(0 <= value < 1, f"{key}={value:g}: must be at least 0 and below 1")
