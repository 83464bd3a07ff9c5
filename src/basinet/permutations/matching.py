"""Which elements of a group may take one thing to another, given numbers about pairs of rows that go with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from basinet.permutations.signed import Group, Point, Signed

Array = npt.NDArray[np.float64]

_SAME = 1e-3  # of the largest entry, to which kernels agree: coarse, what passes is looked at more closely
_TRIED = 20_000  # places for a row that are tried
_FOUND = 256  # elements that are named


def matches(group: Group, kernels: Array, others: Array) -> Iterator[Signed]:
    """Elements g of the group with K'[g(i), g(j)] = ± K[i, j] for all pairs of rows and all kernels.

    K are of one thing, K' of the other; the sign is that of g at i times that at j. Rows are placed one after the other
    along the group's levels, and where the numbers of a row do not fit those before it, no element that begins so is
    looked at: of the 10! permutations of 10 rows mostly some ten. Where the kernels hardly tell rows apart there may
    be many; after 20,000 places or 256 elements no more come.

    Args:
        group: what may be done to the rows.
        kernels: K `[kernel, row, row]`, symmetric.
        others: K' `[kernel, row, row]`.

    >>> from basinet.permutations.automorphisms import Table, automorphisms
    >>> exchange = automorphisms(Table.of([[0.0, 1.0], [1.0, 0.0]]))
    >>> weights = np.array([[[1.0, 0.5], [0.5, 2.0]]])
    >>> [g.image.tolist() for g in matches(exchange, weights, weights[:, ::-1, ::-1])]
    [[1, 0]]
    """
    sizes = np.maximum(np.abs(kernels).max((1, 2)), np.abs(others).max((1, 2)))
    if bool((np.abs(_traces(kernels) - _traces(others)) > _SAME * sizes * group.rows).any()):
        return
    yield from _Matching(group, kernels, others, _SAME * sizes).elements()


def _traces(kernels: Array) -> Array:
    traces: Array = np.trace(kernels, axis1=1, axis2=2)
    return traces


class _Matching:
    """Backtracking along the levels of a group."""

    def __init__(self, group: Group, kernels: Array, others: Array, tolerance: Array) -> None:
        self._group = group
        self._kernels, self._others, self._tolerance = kernels, others, tolerance[:, None]
        self._alike = self._rows_alike()
        self._tried = self._found = 0

    def elements(self) -> Iterator[Signed]:
        """All that fit, as far as the search goes."""
        placed = {level.row for level in self._group.levels}
        others = [row for row in range(self._group.rows) if row not in placed]  # which no element moves
        identity = Signed.identity(self._group.rows)
        if self._fit(identity, others):
            yield from self._from(0, identity, others)

    def _from(self, depth: int, element: Signed, placed: list[int]) -> Iterator[Signed]:
        """Those that begin with `element`, which has put the rows `placed` where they are to be."""
        if depth == len(self._group.levels):
            self._found += 1
            yield element
            return
        level = self._group.levels[depth]
        for choice in _nearest_first(level.transversal, level.row):
            self._tried += 1
            if self._tried > _TRIED or self._found >= _FOUND:
                return
            further = choice.then(element)
            if self._fits(further, level.row, placed):
                yield from self._from(depth + 1, further, [*placed, level.row])

    def _fit(self, element: Signed, rows: list[int]) -> bool:
        return all(self._fits(element, row, rows) for row in rows)

    def _fits(self, element: Signed, row: int, placed: list[int]) -> bool:
        """Whether the numbers of a row at its place are right, with those of the rows `placed`."""
        to, sign = element.point(row)
        if not self._alike[row, to]:
            return False
        rows = [*placed, row]
        here = self._kernels[:, row, rows] * (sign * element.sign[rows])
        there = self._others[:, to, element.image[rows]]
        return bool((np.abs(here - there) <= self._tolerance).all())

    def _rows_alike(self) -> npt.NDArray[np.bool_]:
        """Whether a row's numbers are those of another one, in any order and without signs, `[row, row]`."""
        mine, theirs = (np.sort(np.abs(values), axis=2) for values in (self._kernels, self._others))
        apart = np.abs(mine[:, :, None] - theirs[:, None, :]).max(3)  # [kernel, row, row]
        alike: npt.NDArray[np.bool_] = (apart <= self._tolerance[:, :, None]).all(0)
        return alike


def _nearest_first(transversal: dict[Point, Signed], row: int) -> list[Signed]:
    return [transversal[point] for point in sorted(transversal, key=lambda point: (point[0] != row, -point[1], point))]
