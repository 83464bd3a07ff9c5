"""Parity: exclusive or of several bits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from basinet.foundation.errors import require
from basinet.problems.samples import Samples


@dataclass(frozen=True)
class Parity:
    """y = (x₁ + … + x_bits) mod 2 on all corners of the unit cube; `low` and `high` are the target values."""

    bits: int
    low: float
    high: float

    natural_output: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        require(1 <= self.bits <= 16, f"problem.bits={self.bits}: must be between 1 and 16")

    @property
    def natural_width(self) -> int:
        return self.bits

    def samples(self, seed: int) -> Samples:
        inputs = np.array(list(itertools.product([0.0, 1.0], repeat=self.bits))).T.copy()
        targets = np.where(inputs.sum(0) % 2 == 1, self.high, self.low)[None]
        return Samples(inputs, targets, classes=True)
