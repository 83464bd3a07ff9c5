"""A committee of orthonormal units as a teacher, on Gaussian inputs: samples, or the law that they are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from basinet.foundation import synonyms
from basinet.foundation.elementary import VALUES
from basinet.foundation.errors import require, unknown
from basinet.foundation.random_streams import Purpose, normal
from basinet.problems.samples import Samples


@dataclass(frozen=True)
class GaussianTeacher:
    """y = Σ_j φ(v_j·x) with inputs x ~ N(0, I): the units v_j are the first `units` axes, φ is `activation`.

    `objective=empirical_risk` learns from a number of samples, `objective=population` from all that there could be:
    the limit of many samples. Sources: Saad & Solla (1995), Safran & Shamir (2018).
    """

    dimension: int
    units: int
    activation: str
    drawn: int = field(metadata={"setting": "samples"})

    natural_output: ClassVar[str] = "identity"

    def __post_init__(self) -> None:
        for name, value in (("dimension", self.dimension), ("units", self.units), ("samples", self.drawn)):
            require(value >= 1, f"problem.{name}={value}: must be at least 1")
        require(
            self.units <= self.dimension,
            f"problem.units={self.units}: orthonormal units are at most as many as problem.dimension={self.dimension}",
        )
        if self.activation not in VALUES:
            raise unknown("problem.activation", self.activation, (*VALUES, *synonyms.ACTIVATIONS))

    @property
    def natural_width(self) -> int:
        return self.units

    def samples(self, seed: int) -> Samples:
        import torch

        from basinet.protocols import Committee

        # One row of the stream per sample: more samples keep the earlier ones.
        inputs = normal(seed, range(self.drawn), self.dimension, Purpose.DATA).T.copy()
        targets = np.zeros((1, self.drawn))
        for answers in VALUES[self.activation](inputs[: self.units]):
            targets += answers  # one after the other: libraries add in an order of their own
        teacher = Committee(torch.eye(self.units, self.dimension, dtype=torch.float64), self.activation)
        return Samples(inputs, targets, natural_bias=False, teacher=teacher)
