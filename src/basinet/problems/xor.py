"""Exclusive or."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from basinet.problems.samples import Samples


@dataclass(frozen=True)
class Xor:
    """y = x₁ xor x₂ on the four corners of the unit square; `low` and `high` are the target values."""

    low: float
    high: float

    natural_width: ClassVar[int] = 2
    natural_output: ClassVar[str] = "logistic"

    def samples(self, seed: int) -> Samples:
        inputs = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
        targets = np.where(inputs[0] != inputs[1], self.high, self.low)[None]
        return Samples(inputs, targets, classes=True)
