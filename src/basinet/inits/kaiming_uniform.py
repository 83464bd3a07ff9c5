"""Kaiming (He), uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass

from basinet.inits.scaled import FanScaled, symmetric


@dataclass(frozen=True)
class KaimingUniform(FanScaled):
    """W ~ U(-g, g), g = gain · √(3 / fan-in), gain = √2 for ReLU (He et al., 2015)."""

    draws = staticmethod(symmetric)

    def factor(self, fan_in: int, fan_out: int) -> float:
        return self.gain * math.sqrt(3 / fan_in)
