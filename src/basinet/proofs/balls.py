"""Balls: numbers with a radius that holds what rounding and an uncertain argument may have changed, by python-flint.

Source: Johansson (2017), *Arb: efficient arbitrary-precision midpoint-radius interval arithmetic*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flint import arb, arb_mat

Vector = list[arb]
ZERO, ONE = arb(0), arb(1)


def exact(number: float) -> arb:
    """A float as the binary number that it is.

    >>> exact(0.1).is_exact(), exact(0.1) == ONE / 10
    (True, False)
    """
    return arb(number)


def around(centre: Sequence[arb], radius: arb, free: Iterable[int]) -> Vector:
    """The box of all points that are at most `radius` from `centre` in the `free` coordinates, and equal in others."""
    box = list(centre)
    for index in free:
        box[index] = centre[index] + arb(0, radius)
    return box


def root(square: arb) -> arb:
    """√x of a number that cannot be negative, whatever its ball says."""
    if square > 0:
        return square.sqrt()
    return ZERO.union(square.upper().sqrt())


def dot(a: Iterable[arb], b: Iterable[arb]) -> arb:
    """a · b."""
    total = ZERO
    for x, y in zip(a, b, strict=True):
        total += x * y
    return total


def column(vector: Sequence[arb]) -> arb_mat:
    """A vector as a matrix of one column."""
    return arb_mat(len(vector), 1, list(vector))


def part(matrix: arb_mat, rows: Sequence[int]) -> arb_mat:
    """The rows and columns of a square matrix that are named."""
    return arb_mat([[matrix[i, j] for j in rows] for i in rows])
