"""How long a flow goes on, when it stops, and at which times it is looked at."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from basinet.descents.budget import require_limits
from basinet.foundation.errors import require

_LONGEST = 1e100  # what is still falling then rests for every number that there is; figures need room above it
_FIRST = 1e-3  # the first time that is looked at, or as much of `time` where that is shorter


@dataclass(frozen=True)
class Horizon:
    """The limits of a descent whose clock is time."""

    time: float  # how far θ' = -∇f is followed
    steps: int  # at most, however much time is left
    tolerance: float
    records: int
    seed: int = 0

    clock: Literal["time"] = field(default="time", init=False, repr=False)

    def __post_init__(self) -> None:
        require(math.isfinite(self.time) and self.time > 0, f"descent.time={self.time:g}: must be positive")
        require(self.time <= _LONGEST, f"descent.time={self.time:g}: must be at most {_LONGEST:g}")
        require_limits(self.steps, self.tolerance, self.records)

    @property
    def marks(self) -> list[float]:
        """0, and `records` log-spaced times from a thousandth (of `time`, if that is less than 1) to `time`.

        >>> Horizon(time=10, steps=100, tolerance=1e-8, records=5).marks
        [0.0, 0.001, 0.01, 0.1, 1.0, 10.0]
        """
        if self.steps == 0:
            return [0.0]
        first = _FIRST * min(1.0, self.time)
        spaced = np.geomspace(first, self.time, self.records) if self.records > 1 else np.array([self.time])
        return [0.0, *spaced[:-1].tolist(), float(self.time)]

    def share(self, mark: float) -> float:
        """The part of the marks: the later, the longer the steps of a flow are, too."""
        marks = self.marks
        return (bisect(marks, mark) - 1) / max(len(marks) - 1, 1)
