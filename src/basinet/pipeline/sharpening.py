"""A map of labels that is as sharp as if every pixel had been asked for, at the price of those where labels meet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

_COARSEST = 8  # pixels between the first ones that are asked for


def sharpened(label: Callable[[Labels], Labels], rows: int, columns: int) -> tuple[Labels, Marks]:
    """The label of every pixel `[row, column]`, of which only those near a border are asked for.

    Every eighth pixel is asked for first, then every fourth, and so on. Between them a pixel takes the label of its
    coarser neighbour, unless labels differ within two pixels of that spacing: then it is asked for, and so are those
    beside it, until no pixel that was taken over stands next to another label. What is smaller than eight pixels and
    touches no border may be missed.

    Args:
        label: the labels of pixels, given as `[pixel, 2]`: row and column.
        rows: of the map.
        columns: of the map.

    Returns:
        The labels, and which pixels were asked for.
    """
    labels = np.zeros((rows, columns), dtype=np.int64)
    asked = np.zeros((rows, columns), dtype=bool)
    step = _COARSEST
    wanted = np.ones(labels[::step, ::step].shape, dtype=bool)
    while True:
        part, known = labels[::step, ::step], asked[::step, ::step]  # views
        while wanted.any():
            places = np.argwhere(wanted)
            part[wanted] = label(places * step)
            known |= wanted
            wanted = _near_borders(part) & ~known
        if step == 1:
            return labels, asked
        step //= 2
        _take_over(labels[::step, ::step], asked[::step, ::step])
        wanted = _near_borders(labels[::step, ::step]) & ~asked[::step, ::step]


def _take_over(part: Labels, known: Marks) -> None:
    """Give every pixel between those of twice the spacing the label of the one before it."""
    row, column = (np.arange(size) // 2 * 2 for size in part.shape)
    part[:] = np.where(known, part, part[np.ix_(row, column)])


def _near_borders(labels: Labels) -> Marks:
    """Which pixels have another label than one of their eight neighbours, or stand beside such a pixel."""
    around = _windows(labels)
    return np.asarray(_windows(np.ptp(around, axis=(2, 3)) > 0).any(axis=(2, 3)))


def _windows(values: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Each pixel with its eight neighbours, `[row, column, 3, 3]`; those beyond the edge are like those at it."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values.astype(np.int64), 1, mode="edge"), (3, 3))
