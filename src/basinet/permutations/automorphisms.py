"""Which permutations of a table's rows, some with their signs turned, leave its columns the same as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from basinet.permutations.signed import Group, Indices, Level, Point, Signed, orbit, trivial

_SAME = 1e-12  # numbers of rows with the same largest one are equal if they differ by less than this share of it
_WORK = 20_000_000  # numbers that are compared, in all: some seconds
_OVERHEAD = 1000  # of trying a place, in numbers
_ROWS = 400  # more rows are not searched, …
_NUMBERS = 1 << 24  # … nor are more numbers


@dataclass(frozen=True)
class Table:
    """Rows that may be permuted among those of their kind; the order of columns says nothing."""

    values: npt.NDArray[np.float64]  # [row, column]
    kind: Indices  # [row]: rows of different kinds are never exchanged
    turns: npt.NDArray[np.bool_]  # [row]: whether its sign may be turned
    stays: npt.NDArray[np.bool_]  # [row]: whether it is left out, being the same number in all columns

    @staticmethod
    def of(values: npt.ArrayLike, kind: npt.ArrayLike = 0, turns: npt.ArrayLike = True) -> Table:
        """A table none of whose rows is left out; one entry stands for all rows."""
        table = np.asarray(values, dtype=np.float64)
        rows = len(table)
        return Table(
            table,
            np.broadcast_to(np.asarray(kind, dtype=np.int64), rows),
            np.broadcast_to(np.asarray(turns, dtype=np.bool_), rows),
            np.zeros(rows, dtype=np.bool_),
        )


def automorphisms(table: Table) -> Group:
    """All signed permutations of the rows after which the table has the same columns, each as often.

    Numbers count as the same up to rounding. Row by row, a place is looked for that agrees with the places of the rows
    before in how often each column occurs, with backtracking; what is found at one row spares searches at others
    (Sims' chain of stabilisers). A table whose columns are hardly alike is decided by its first rows; one that is
    highly symmetric has hardly a dead end. In between there are tables that would take for ever: after some seconds'
    work, the same on every machine, the search ends, and with more than 400 rows that may move, or 16 million numbers,
    it does not begin; the group then says that it may not be complete.

    >>> corners = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
    >>> [one.image.tolist() for one in automorphisms(Table.of(corners, kind=[0, 0, 1])).generators]
    [[1, 0, 2]]
    """
    rows = len(table.values)
    moving = np.flatnonzero(~table.stays)
    if len(moving) > _ROWS or table.values.size > _NUMBERS:
        return trivial(rows, complete=False)
    search = _Search(_codes(table), table.turns, moving.tolist())
    generators: list[Signed] = []
    levels = []
    for depth in reversed(range(len(moving))):
        row = search.order[depth]
        reached = orbit(row, generators, rows)
        for point in search.candidates(row, search.order[depth:]):
            found = None if point in reached else search.extended(depth, point)
            if found is not None:
                generators.append(found)
                reached = orbit(row, generators, rows)
        levels.append(Level(row, reached))
    return Group(rows, tuple(reversed(levels)), tuple(generators), search.work < _WORK)


class _Search:
    """Backtracking over places for rows; how much is compared is counted."""

    def __init__(self, codes: Indices, turns: npt.NDArray[np.bool_], order: list[int]) -> None:
        self.codes = codes  # [row, column], equal where numbers are, with the sign of the number
        self.order = order  # the rows that move, in which they are placed
        self.work = 0
        self._turns = turns
        self._profiles: dict[Point, bytes] = {}
        self._labels = [_columns(codes)]  # of the columns, by how many of the rows stay where they are

    def candidates(self, row: int, free: Sequence[int]) -> Iterator[Point]:
        """Places whose numbers are those of the row: itself first, then the others."""
        for other in sorted(free, key=lambda place: (place != row, place)):
            for sign in (1, -1) if self._turns[row] and self._turns[other] else (1,):
                if self._profile((other, sign)) == self._profile((row, 1)):
                    yield other, sign

    def extended(self, depth: int, point: Point) -> Signed | None:
        """An automorphism that leaves the first `depth` rows where they are and takes the next one to `point`."""
        element = Signed.identity(len(self.codes))
        labels = self._by_rows(depth)
        return element if self._place(element, depth, iter([point]), labels, labels) else None

    def _place(self, element: Signed, depth: int, points: Iterator[Point], left: Indices, right: Indices) -> bool:
        """Write places of the row of this depth and of all later ones into `element`.

        `left` and `right` label the columns of the table, and of what has become of it, by the rows that are placed.
        """
        row = self.order[depth]
        taken = {int(element.image[earlier]) for earlier in self.order[:depth]}
        for other, sign in points:
            self.work += left.size + _OVERHEAD
            if self.work >= _WORK:
                return False
            labels = _refined(left, right, self.codes[row], sign * self.codes[other])
            if not np.array_equal(np.bincount(labels[0]), np.bincount(labels[1])):
                continue
            element.image[row], element.sign[row] = other, sign
            if depth + 1 == len(self.order):
                return True
            rest = [place for place in self.order if place not in taken and place != other]
            following = self.candidates(self.order[depth + 1], rest)
            if self._place(element, depth + 1, following, *labels):
                return True
        return False

    def _by_rows(self, depth: int) -> Indices:
        while len(self._labels) <= depth:
            row = self.codes[self.order[len(self._labels) - 1]]
            self._labels.append(_refined(self._labels[-1], self._labels[-1], row, row)[0])
        return self._labels[depth]

    def _profile(self, point: Point) -> bytes:
        if point not in self._profiles:
            other, sign = point
            self._profiles[point] = np.sort(sign * self.codes[other]).tobytes()
        return self._profiles[point]


def _refined(left: Indices, right: Indices, row: Indices, other: Indices) -> tuple[Indices, Indices]:
    """Labels that are equal where label and number were, on both sides."""
    pairs = np.stack([np.concatenate([left, right]), np.concatenate([row, other])])
    order = np.lexsort(pairs)
    changes = (np.diff(pairs[:, order], axis=1) != 0).any(0)
    labels = np.empty(pairs.shape[1], dtype=np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(changes)])
    return labels[: len(left)], labels[len(left) :]


def _columns(codes: Indices) -> Indices:
    """Labels of columns, equal where one could become the other: as multisets of numbers without their signs.

    Rows that are left out are constant, and tell no columns apart.
    """
    return np.unique(np.sort(np.abs(codes), axis=0), axis=1, return_inverse=True)[1].reshape(-1)


def _codes(table: Table) -> Indices:
    """Whole numbers `[row, column]` that are equal where the table's are, and have their signs.

    Rows are only compared where kind and largest number are the same; others share no code.
    """
    largest = np.abs(table.values).max(axis=1, initial=0.0)
    codes = np.zeros(table.values.shape, dtype=np.int64)
    first = 1
    for kind in np.unique(table.kind):
        of_kind = np.flatnonzero(table.kind == kind)
        for rows in _clusters(largest[of_kind], _SAME * largest[of_kind]):
            members = of_kind[rows]
            sizes = np.abs(table.values[members])
            labels = np.zeros(sizes.size, dtype=np.int64)
            tolerance = np.full(sizes.size + 1, _SAME * largest[members].max())
            groups = _clusters(np.concatenate([[0.0], sizes.reshape(-1)]), tolerance)  # the first is what counts as 0
            for label, group in enumerate(groups[1:]):
                labels[group - 1] = first + label
            first += len(groups)
            codes[members] = labels.reshape(sizes.shape) * np.sign(table.values[members]).astype(np.int64)
    return codes


def _clusters(values: npt.NDArray[np.float64], tolerance: npt.NDArray[np.float64]) -> list[Indices]:
    """Positions of values that are the same, ascending: cut apart where the next one is farther than the tolerance."""
    order = np.argsort(values, kind="stable")
    apart = np.diff(values[order]) > tolerance[order[1:]]
    return np.split(order, np.flatnonzero(apart) + 1)
