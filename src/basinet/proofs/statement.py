"""What is minimised, as exact numbers: what a proof is about, and all that it knows of the rest of the program."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from basinet.proofs.balls import Vector, exact

Rows = list[list[float]]
Statement = Mapping[str, Any]
"""As an objective gives it (`basinet.protocols.Objective.statement`): names, and floats for the numbers they are."""


@dataclass(frozen=True)
class Shape:
    """Where the parameters of a network lie in θ: layer by layer the weights row by row, then the biases."""

    widths: tuple[int, ...]
    bias: bool

    @property
    def depth(self) -> int:
        """Number of weight layers."""
        return len(self.widths) - 1

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self._start(self.depth)

    def row(self, layer: int, unit: int) -> range:
        """The weights that come into a unit."""
        first = self._start(layer) + unit * self.widths[layer]
        return range(first, first + self.widths[layer])

    def offset(self, layer: int, unit: int) -> int:
        """The bias of a unit, where there is one."""
        return self._start(layer) + self.widths[layer + 1] * self.widths[layer] + unit

    def incoming(self, layer: int, unit: int) -> list[int]:
        """All that comes into a unit, its bias last."""
        return [*self.row(layer, unit), *([self.offset(layer, unit)] if self.bias else [])]

    def offsets(self) -> set[int]:
        """All biases."""
        units = ((layer, unit) for layer in range(self.depth) for unit in range(self.widths[layer + 1]))
        return {self.offset(*unit) for unit in units} if self.bias else set()

    def _start(self, layer: int) -> int:
        below = itertools.islice(itertools.pairwise(self.widths), layer)
        return sum(o * (i + self.bias) for i, o in below)


@dataclass(frozen=True)
class Risk:
    """The mean loss of a network over samples, with penalties."""

    shape: Shape
    activation: str
    output: str  # under cross-entropy identity: the softmax is a part of the loss
    loss: str  # squared | cross_entropy
    l2_weights: float
    l2_biases: float
    inputs: Rows  # [sample][feature]
    targets: Rows  # [sample][output]


@dataclass(frozen=True)
class Population:
    """The mean loss of a committee over all Gaussian inputs, with a penalty."""

    shape: Shape  # two layers; or the first one alone: then all output weights are 1
    activation: str  # relu | erf
    l2_weights: float
    teacher: Rows  # [unit][feature]


def read(statement: Statement) -> Risk | Population:
    """What an objective says of itself, in a form to compute with."""
    shape = Shape(tuple(statement["widths"]), statement["bias"])
    if statement["loss"] == "population":
        return Population(shape, statement["activation"], statement["l2_weights"], statement["teacher"])
    names = ("activation", "output", "loss", "l2_weights", "l2_biases", "inputs", "targets")
    return Risk(shape, *(statement[name] for name in names))


def hexadecimals(value: Any) -> Any:
    """A statement with its numbers written as `float.hex` does: nothing is rounded.

    >>> hexadecimals({"l2_weights": 0.5, "widths": (2, 1)})
    {'l2_weights': '0x1.0000000000000p-1', 'widths': [2, 1]}
    """
    if isinstance(value, Mapping):
        return {key: hexadecimals(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [hexadecimals(entry) for entry in value]
    return value.hex() if isinstance(value, float) else value


def digest(written: Statement) -> str:
    """A name for a written statement, which is another one if anything in it is changed."""
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()


def probes(features: int) -> Rows:
    """Inputs at which networks are compared: eight points of a cube, as irregular as multiples of √2 and φ are."""
    return [[4 * ((k * 0.6180339887 + j * k * 1.4142135624) % 1) - 2 for j in range(features)] for k in range(1, 9)]


def balls(rows: Rows) -> list[Vector]:
    """Numbers as the exact ones that they are."""
    return [[exact(number) for number in row] for row in rows]
