from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basinet.foundation.quantiles import QUANTILES
from basinet.foundation.selection import Selection

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ALIKE = st.sampled_from([0.0, 0.1, 0.5, 1e-30])


def selected(values: npt.NDArray[np.float32], sizes: int, column: int = 0) -> Selection:
    """All values of a column, in parts of this size."""
    selection = Selection(column + 1)
    for again in (False, True):
        for begin in range(0, len(values), sizes):
            selection.look(column, values[begin : begin + sizes], again=again)
    return selection


@given(values=st.lists(SINGLE | ALIKE, min_size=1, max_size=60), sizes=st.integers(1, 60))
def test_quantiles_of_parts_are_those_of_all_values_to_the_bit(values: list[float], sizes: int) -> None:
    every = np.array(values, dtype=np.float32)
    selection = selected(every, sizes)
    expected = np.quantile(every.astype(np.float64), list(QUANTILES.values()))
    np.testing.assert_array_equal(list(selection.quantiles(0).values()), expected)
    assert selection.count(0) == len(values)


@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40))
def test_medians_of_whole_numbers_are_exact(values: list[int]) -> None:
    selection = Selection(1, ("median",))
    for again in (False, True):
        selection.look(0, np.array(values, dtype=np.int32), again=again)
    assert selection.quantiles(0, np.int32) == {"median": float(np.median(values))}


def test_nothing_has_no_quantiles() -> None:
    found = selected(np.array([1.0], dtype=np.float32), 1, column=1).quantiles(0)
    assert list(found) == list(QUANTILES)
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize("count", [10_000, 10_001])
def test_many_values_close_to_each_other_are_told_apart(count: int) -> None:
    values = (1 + np.random.default_rng(3).permutation(count) * 2.0**-23).astype(np.float32)
    expected = np.quantile(values.astype(np.float64), list(QUANTILES.values()))
    np.testing.assert_array_equal(list(selected(values, 999).quantiles(0).values()), expected)
