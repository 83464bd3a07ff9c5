"""Which rows of a table are near: single linkage in every column, of points and of boxes of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Boxes:
    """The smallest box around each of several sets of points; of a point, `low` and `high` are one array."""

    low: Array  # [box, column]
    high: Array  # [box, column]

    @staticmethod
    def of_points(values: Array) -> Boxes:
        """A box for each row of `values [row, column]`."""
        return Boxes(values, values)

    def beside(self, others: Boxes) -> Boxes:
        """These, and behind them the others."""
        return Boxes(np.concatenate([self.low, others.low]), np.concatenate([self.high, others.high]))

    def around(self, members: Members) -> Boxes:
        """The box around each set of boxes."""
        return Boxes(members.least(self.low), members.most(self.high))


@dataclass(frozen=True)
class Members:
    """Rows by the sets that they are in, of which there are the numbers from 0 on without a gap."""

    order: Indices  # [row], set by set
    begin: Indices  # [set], where each begins in this order

    @staticmethod
    def of(labels: Indices) -> Members:
        """From the set of each row."""
        order = np.argsort(labels, kind="stable")
        changes = np.flatnonzero(np.diff(labels[order], prepend=-1))
        return Members(order, changes.astype(np.int64))

    def least(self, values: Array) -> Array:
        """The least of each set, column by column."""
        return self._folded(np.minimum, values)

    def most(self, values: Array) -> Array:
        """The greatest of each set, column by column."""
        return self._folded(np.maximum, values)

    def sums(self, values: Indices) -> Indices:
        """The sum of each set."""
        return self._folded(np.add, values)

    def first(self, values: Indices) -> Indices:
        """Of each set the row with the least of `values [row]`."""
        order = self.order[np.lexsort((values[self.order], self._labels))]
        return order[self.begin]

    @property
    def _labels(self) -> Indices:
        return np.repeat(np.arange(len(self.begin)), np.diff(self.begin, append=len(self.order)))

    def _folded(self, function: np.ufunc, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if len(self.begin) == 0:
            return values[:0]
        folded: npt.NDArray[Any] = function.reduceat(values[self.order], self.begin, axis=0)
        return folded


def near(values: Array, tolerance: float) -> Indices:
    """Labels `[row]` of rows that are the same up to `tolerance` · (1 + |x|) in every column.

    Rows are cut apart where a sorted column has a gap, column after column, until nothing more comes apart: single
    linkage in each column, in O(rows · log rows) where all pairs would be too many.

    >>> near(np.array([[0.0, 5.0], [1e-9, 7.0], [0.0, 5.0]]), 1e-6).tolist()
    [0, 1, 0]
    """
    rows = len(values)
    return touching(Boxes.of_points(values), np.full(rows, tolerance), np.zeros(rows, dtype=np.int64))


def touching(boxes: Boxes, tolerance: Array, labels: Indices) -> Indices:
    """`near` of sets of points, each of them near itself, of which no more is known than the boxes around them.

    That is enough. A set that is near itself has no gap in any column, so that it fills the interval between its ends:
    a gap of several sets together is one between their intervals, and what is cut apart, in which order, is what
    would be if every point were there.

    Args:
        boxes: around the sets.
        tolerance: `[box]`, the same for all with one label.
        labels: `[box]`, of sets that are told apart already; from 0 on without a gap.

    Returns:
        Labels `[box]` from 0 on, those with the same one before beside each other.
    """
    labels = labels.copy()
    if len(labels) == 0:
        return labels
    while True:
        before = labels.max()
        for low, high in zip(boxes.low.T, boxes.high.T, strict=True):
            order = np.lexsort((low, labels))
            begins, own = low[order], labels[order]
            reached = begins if boxes.high is boxes.low else _highest_so_far(high[order], own)
            gap = begins[1:] - reached[:-1] > tolerance[order][1:] * (1 + np.abs(begins[1:]))
            apart = np.concatenate([[False], gap | (np.diff(own) > 0)])
            labels[order] = np.cumsum(apart)
        if labels.max() == before:
            return labels


def _highest_so_far(values: Array, labels: Indices) -> Array:
    """The highest of each value and those before it with the same label; labels ascend."""
    order = np.lexsort((values, labels))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    highest: Array = values[order][np.maximum.accumulate(place)]
    return highest
