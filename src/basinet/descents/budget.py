"""What every descent shares: learning rate and schedule, budget of steps, tolerance, records, and the study's seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from basinet.foundation.errors import require, unknown

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),  # Loshchilov & Hutter (2017), without restarts
    "step": lambda t: 0.1 ** ((t >= 0.5) + (t >= 0.75)),  # a tenth after half of the budget, a hundredth after 3/4
}
"""Factor of the learning rate at t = step / steps, 0 ≤ t < 1."""


@dataclass(frozen=True)
class Budget:
    """Learning rate η_t = learning_rate · schedule(t / steps), how long to go on, when to stop, when to record."""

    learning_rate: float
    steps: int
    schedule: str
    tolerance: float
    records: int
    seed: int = 0  # of what is random about a descent

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.learning_rate) and self.learning_rate > 0,
            f"descent.learning_rate={self.learning_rate:g}: must be positive",
        )
        require(self.steps >= 0, f"descent.steps={self.steps}: must be 0 (certify the starts) or more")
        require(self.steps < 2**53, f"descent.steps={self.steps}: must be below 2^53")
        require(self.records >= 1, f"descent.records={self.records}: must be at least 1")
        require(self.records <= 10**6, f"descent.records={self.records}: must be at most 1,000,000")
        require(
            math.isfinite(self.tolerance) and self.tolerance >= 0,
            f"descent.tolerance={self.tolerance:g}: must be 0 (never stop early) or more",
        )
        if self.schedule not in SCHEDULES:
            raise unknown("descent.schedule", self.schedule, SCHEDULES)

    def rate(self, step: int) -> float:
        """η at step number `step`, counted from 0."""
        return self.learning_rate * SCHEDULES[self.schedule](step / max(self.steps, 1))


def require_fraction(key: str, value: float) -> None:
    """Raise `ConfigError` unless 0 ≤ value < 1."""
    require(0 <= value < 1, f"{key}={value:g}: must be at least 0 and below 1")
