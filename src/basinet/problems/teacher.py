"""Targets made by a random teacher network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from basinet.foundation import synonyms
from basinet.foundation.elementary import VALUES
from basinet.foundation.errors import require, unknown
from basinet.foundation.machine import require_room
from basinet.foundation.random_streams import Array, Purpose, normal
from basinet.problems.samples import Samples


@dataclass(frozen=True)
class Teacher:
    """y = v · σ(W x + b) + noise · N(0, 1), with x from N(0, 1) and a teacher of one hidden layer drawn once.

    Teacher weights are N(0, 1 / fan-in), its biases N(0, 1/4). A student at least as wide can reach zero loss where
    there is no noise, so every other bottom is a spurious minimum.
    """

    features: int
    width: int
    outputs: int
    activation: str
    points: int
    noise: float

    def __post_init__(self) -> None:
        for name in ("features", "width", "outputs", "points"):
            value = getattr(self, name)
            require(value >= 1, f"problem.{name}={value}: must be at least 1")
        require(self.noise >= 0, f"problem.noise={self.noise:g}: must be 0 or more")
        widths = (self.features, self.width, self.outputs)
        sizes = f"problem.points={self.points:,}, features, width and outputs {widths}"
        require_room(max(self.points, self.width) * sum(widths), sizes)
        if self.activation not in VALUES:
            raise unknown("problem.activation", self.activation, (*VALUES, *synonyms.ACTIVATIONS))

    @property
    def natural_width(self) -> int:
        return self.width

    @property
    def natural_output(self) -> str:
        return "identity"

    def samples(self, seed: int) -> Samples:
        sizes = ((self.width, self.features), (self.width, 1), (self.outputs, self.width))
        ends = np.cumsum([rows * columns for rows, columns in sizes])
        parts = np.split(normal(seed, range(1), int(ends[-1]), Purpose.TEACHER)[0], ends[:-1])
        weight, bias, readout = (part.reshape(size) for part, size in zip(parts, sizes, strict=True))
        # One row of the stream per sample: more points keep the earlier ones.
        draws = normal(seed, range(self.points), self.features + self.outputs, Purpose.DATA).T
        inputs, noise = draws[: self.features], draws[self.features :]
        hidden = VALUES[self.activation](_product(weight, inputs) / np.sqrt(self.features) + 0.5 * bias)
        return Samples(inputs.copy(), _product(readout, hidden) / np.sqrt(self.width) + self.noise * noise)


def _product(matrix: Array, columns: Array) -> Array:
    """`matrix @ columns`, term by term: matrix-product libraries add in an order of their own, by processor."""
    result = np.zeros((len(matrix), columns.shape[1]))
    for entry, row in zip(matrix.T, columns, strict=True):
        result += np.outer(entry, row)
    return result
