"""Data on which one logistic neuron has exponentially many minima."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from basinet.foundation.errors import require
from basinet.foundation.machine import require_room
from basinet.problems.samples import Samples


@dataclass(frozen=True)
class Neuron:
    """A one-dimensional block of samples (x_t, y_t) repeated on every axis: x_t e_i → y_t, i = 1 … dimension.

    One logistic neuron without a bias (`network.depth=1 network.bias=false`) then has a separable loss: m minima of the
    block make m^dimension minima. Source: Auer, Herbster & Warmuth (1995).
    """

    dimension: int
    block_inputs: tuple[float, ...]
    block_targets: tuple[float, ...]

    natural_width: ClassVar[int] = 2
    natural_output: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        require(self.dimension >= 1, f"problem.dimension={self.dimension}: must be at least 1")
        require_room(self.dimension**2 * len(self.block_inputs), f"problem.dimension={self.dimension:,}")
        require(
            len(self.block_inputs) == len(self.block_targets) >= 1,
            f"problem.block_inputs has {len(self.block_inputs)} entries, problem.block_targets "
            f"{len(self.block_targets)}: one target for each input is needed",
        )

    def samples(self, seed: int) -> Samples:
        inputs = np.kron(np.eye(self.dimension), np.array(self.block_inputs))
        return Samples(inputs, np.tile(np.array(self.block_targets), self.dimension)[None])
