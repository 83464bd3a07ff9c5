"""Xavier (Glorot), normal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from basinet.foundation.random_streams import normal
from basinet.inits.scaled import FanScaled


@dataclass(frozen=True)
class XavierNormal(FanScaled):
    """W ~ N(0, gain² · 2 / (fan-in + fan-out)) (Glorot & Bengio, 2010)."""

    draws = staticmethod(normal)

    def factor(self, fan_in: int, fan_out: int) -> float:
        return self.gain * math.sqrt(2 / (fan_in + fan_out))
