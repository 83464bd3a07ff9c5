from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from basinet.plots import rarefaction

# Colwell (2013), EstimateS: Chao1 = 9 + 3 · 2 / (2 · 4) = 9.75
COUNTS = [1, 1, 4, 2, 5, 2, 4, 1, 2]


def table(counts: list[int], kind: str = "minimum") -> pd.DataFrame:
    return pd.DataFrame({"minimum": range(len(counts)), "kind": kind, "count": counts})


def test_the_curve_rises_from_one_to_what_was_found_and_on_towards_chao1(drawn: Callable[[Figure], Figure]) -> None:
    (axes,) = drawn(rarefaction(table(COUNTS), "a title")).axes
    inside, beyond, found, chao1, low = axes.lines
    x, y = inside.get_data()
    assert (x[0], y[0], x[-1], y[-1]) == (1, pytest.approx(1), 22, pytest.approx(9))
    assert (np.diff(y) > 0).all()
    x, y = beyond.get_data()
    assert (x[0], y[0], x[-1]) == (22, pytest.approx(9), 44)
    assert 9 < y[-1] < 9.75
    assert (found.get_xdata()[0], found.get_ydata()[0]) == (22, 9)
    assert set(chao1.get_ydata()) == {9.75}
    assert 9 < low.get_ydata()[0] < 9.75
    assert axes.get_ylim()[0] == 0


def test_the_legend_says_how_many_restarts_minima_and_how_much_they_cover(
    legend: Callable[[Figure], list[str]],
) -> None:
    title, *entries = legend(rarefaction(table(COUNTS), ""))
    assert title.startswith("N = 22\ncoverage 86.4 % [")  # 1 - 3 / 22
    assert title.endswith("]\nof the starts that end in a minimum")
    title, *_ = legend(rarefaction(table(COUNTS).assign(share=np.array(COUNTS) / 44), ""))
    assert title.endswith("]\nof the 50 % of the restarts\nthat ended in a minimum")
    assert entries[:4] == ["expected among n", "expected up to 2 N, at least", "found: 9", "Chao1's estimate: 9.8"]
    assert entries[4].startswith("there are at least 9.")


def test_where_nothing_is_unseen_there_is_nothing_beyond(
    drawn: Callable[[Figure], Figure], legend: Callable[[Figure], list[str]]
) -> None:
    figure = drawn(rarefaction(table([60, 40]), ""))
    assert len(figure.axes[0].lines) == 3
    assert "there are at least 2.0" in legend(figure)[-1]


def test_one_restart_is_one_minimum(drawn: Callable[[Figure], Figure]) -> None:
    (axes,) = drawn(rarefaction(table([1]), "")).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 1]]


@pytest.mark.parametrize("minima", [pd.DataFrame(), table([]), table([5, 3], "degenerate")])
def test_without_a_minimum_a_sentence_says_so(minima: pd.DataFrame, sentence: Callable[[Figure], str]) -> None:
    assert sentence(rarefaction(minima, "a title")) == "no restart was certified as a minimum"
