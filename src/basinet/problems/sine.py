"""A sine wave to be fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from basinet.foundation.errors import require
from basinet.foundation.machine import require_room
from basinet.foundation.random_streams import Purpose, normal
from basinet.problems.samples import Samples


@dataclass(frozen=True)
class Sine:
    """y = sin(π · periods · x) + noise · N(0, 1) at `points` equally spaced x in [-1, 1]."""

    points: int
    periods: float
    noise: float

    natural_width: ClassVar[int] = 4
    natural_output: ClassVar[str] = "identity"

    def __post_init__(self) -> None:
        require(self.points >= 2, f"problem.points={self.points}: must be at least 2")
        require(self.noise >= 0, f"problem.noise={self.noise:g}: must be 0 or more")
        require_room(2 * self.points, f"problem.points={self.points:,}")

    def samples(self, seed: int) -> Samples:
        x = np.linspace(-1, 1, self.points)
        noise = normal(seed, range(1), self.points, Purpose.DATA)[0]
        return Samples(x[None], (np.sin(np.pi * self.periods * x) + self.noise * noise)[None])
