"""Handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose, permutation
from basinet.problems.samples import Samples


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 images of 8×8 pixels (Alpaydin & Kaynak, 1998), grey values in [0, 1], one output a class.

    `points` of them, drawn at random with `problem.seed`.
    """

    points: int

    natural_width: ClassVar[int] = 16
    natural_output: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        require(1 <= self.points <= 1797, f"problem.points={self.points}: must be between 1 and 1797")

    def samples(self, seed: int) -> Samples:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        chosen = permutation(seed, 0, len(labels), Purpose.DATA)[: self.points]
        return Samples(images[chosen].T / 16, np.eye(10)[labels[chosen]].T.copy(), classes=True)
