"""A map of which few pixels are asked for: against the one of which all are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from basinet.pipeline.sharpening import Labels, sharpened

Label = Callable[[Labels], Labels]


def disc(places: Labels) -> Labels:
    row, column = places.T
    return np.asarray((row - 31.3) ** 2 + (column - 40.7) ** 2 < 500.0, dtype=np.int64)


def sectors(places: Labels) -> Labels:
    row, column = places.T
    return np.floor(np.arctan2(row - 30.2, column - 47.9)).astype(np.int64)


def bent(places: Labels) -> Labels:
    row, column = places.T
    return np.asarray(column > 50 + 12 * np.sin(row / 9), dtype=np.int64) + 7 * (row > 66)


@pytest.mark.parametrize("label", [disc, sectors, bent])
@pytest.mark.parametrize("shape", [(97, 97), (80, 101), (64, 90)])
def test_every_pixel_is_that_of_the_map_of_which_all_are_asked_for(label: Label, shape: tuple[int, int]) -> None:
    labels, asked = sharpened(label, *shape)
    dense = label(np.argwhere(np.ones(shape, dtype=bool))).reshape(shape)
    np.testing.assert_array_equal(labels, dense)
    assert asked.mean() < 0.6  # borders are long on so small a map


def test_a_line_is_sharp_too() -> None:
    labels, asked = sharpened(lambda places: np.asarray(places[:, 1] > 333, dtype=np.int64), 1, 1000)
    assert labels.shape == (1, 1000)
    assert labels[0].tolist() == [0] * 334 + [1] * 666
    assert asked.sum() < 150


def test_what_is_taken_over_was_never_asked_for_and_no_pixel_is_asked_for_twice() -> None:
    calls: list[tuple[int, int]] = []

    def label(places: Labels) -> Labels:
        calls.extend(map(tuple, places.tolist()))
        return disc(places)

    _, asked = sharpened(label, 97, 97)
    assert len(calls) == len(set(calls)) == asked.sum()
    assert all(asked[place] for place in calls)
