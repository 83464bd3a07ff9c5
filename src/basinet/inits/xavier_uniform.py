"""Xavier (Glorot), uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass

from basinet.inits.scaled import FanScaled, symmetric


@dataclass(frozen=True)
class XavierUniform(FanScaled):
    """W ~ U(-g, g), g = gain · √(6 / (fan-in + fan-out)) (Glorot & Bengio, 2010)."""

    draws = staticmethod(symmetric)

    def factor(self, fan_in: int, fan_out: int) -> float:
        return self.gain * math.sqrt(6 / (fan_in + fan_out))
