"""Permutations that may turn signs, and groups of them, by a chain of stabilisers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Point = tuple[int, int]
"""A row and a sign: where a row may be taken."""


@dataclass(frozen=True, eq=False)
class Signed:
    """Row i becomes sign_i times row image_i of what it is applied to."""

    image: Indices  # [row]
    sign: Indices  # [row], 1 or -1

    @staticmethod
    def identity(rows: int) -> Signed:
        """What leaves every row where it is."""
        return Signed(np.arange(rows), np.ones(rows, dtype=np.int64))

    @staticmethod
    def exchange(rows: int, i: int, j: int, sign: int = 1) -> Signed:
        """Rows i and j exchanged, both with this sign; i = j gives the row its sign."""
        image, signs = np.arange(rows), np.ones(rows, dtype=np.int64)
        image[[i, j]], signs[[i, j]] = [j, i], sign
        return Signed(image, signs)

    def then(self, other: Signed) -> Signed:
        """Row i goes where `other` takes the place to which this one takes it.

        >>> cycle = Signed.exchange(3, 0, 1).then(Signed.exchange(3, 1, 2))
        >>> cycle.image.tolist()
        [2, 0, 1]
        """
        return Signed(other.image[self.image], self.sign * other.sign[self.image])

    def point(self, row: int) -> Point:
        """Where a row is taken."""
        return int(self.image[row]), int(self.sign[row])


@dataclass(frozen=True)
class Level:
    """The elements that leave all earlier rows where they are, one for each point that they take `row` to."""

    row: int
    transversal: dict[Point, Signed]


@dataclass(frozen=True)
class Group:
    """A group of signed permutations: each element is, in one way only, a product of one of each level.

    That of the last level comes first: u_m then … then u_1. So there are as many elements as the levels' sizes
    multiplied, and not one of them has to be written down (Sims, 1970).
    """

    rows: int
    levels: tuple[Level, ...]
    generators: tuple[Signed, ...]
    complete: bool = True  # False: the search for it was cut short, there may be more elements

    @property
    def order(self) -> int:
        """How many elements there are."""
        return math.prod(len(level.transversal) for level in self.levels)

    @property
    def is_trivial(self) -> bool:
        """Whether it is the identity alone."""
        return not self.generators


def trivial(rows: int, complete: bool = True) -> Group:
    """The identity alone."""
    return Group(rows, (), (), complete)


def orbit(row: int, generators: Iterable[Signed], rows: int) -> dict[Point, Signed]:
    """Where a group takes a row, with an element that takes it there."""
    known = list(generators)
    found = {(row, 1): Signed.identity(rows)}
    fresh = list(found)
    while fresh:
        reached = [found[point].then(generator) for point in fresh for generator in known]
        fresh = []
        for element in reached:
            if element.point(row) not in found:
                found[element.point(row)] = element
                fresh.append(element.point(row))
    return found
