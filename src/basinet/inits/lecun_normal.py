"""LeCun, normal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from basinet.foundation.random_streams import normal
from basinet.inits.scaled import FanScaled


@dataclass(frozen=True)
class LecunNormal(FanScaled):
    """W ~ N(0, gain² / fan-in), gain = 1 (LeCun et al., 1998)."""

    draws = staticmethod(normal)

    def factor(self, fan_in: int, fan_out: int) -> float:
        return self.gain / math.sqrt(fan_in)
