"""The textbook's problem: a number in, a number out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from basinet.foundation.errors import require
from basinet.problems.samples import Samples


@dataclass(frozen=True)
class Chain:
    """One or a few pairs (x, y) of numbers, for a network of one neuron per layer (Nielsen, 2015, chapter 5)."""

    inputs: tuple[float, ...]
    targets: tuple[float, ...]

    natural_width: ClassVar[int] = 1
    natural_output: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        require(
            len(self.inputs) == len(self.targets) >= 1,
            f"problem.inputs has {len(self.inputs)} entries, problem.targets {len(self.targets)}: "
            "one target for each input is needed",
        )

    def samples(self, seed: int) -> Samples:
        return Samples(np.array(self.inputs)[None], np.array(self.targets)[None])
