from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from basinet.plots import rank_abundance


def test_bottoms_stand_from_the_commonest_to_the_rarest_with_their_intervals(
    minima: pd.DataFrame, drawn: Callable[[Figure], Figure]
) -> None:
    (axes,) = drawn(rank_abundance(minima, "a title")).axes
    ordered = sorted(minima["share"], reverse=True)
    points = sorted((x, y) for line in axes.lines for x, y in line.get_xydata().tolist())
    assert points == list(zip(range(1, 6), ordered, strict=True))
    ends = {tuple(np.ravel(segment)) for lines in axes.collections for segment in lines.get_segments()}
    assert ends == {(rank, share / 2, rank, share * 1.5) for rank, share in enumerate(ordered, 1)}
    assert axes.get_title(loc="left") == "a title"


def test_their_colours_tell_the_kinds_and_the_legend_counts_bottoms_and_restarts(
    minima: pd.DataFrame, drawn: Callable[[Figure], Figure], legend: Callable[[Figure], list[str]]
) -> None:
    figure = drawn(rank_abundance(minima, ""))
    assert legend(figure) == [
        "n = 120\n95 % intervals (Wilson)",
        "minimum\n(4 found, n = 60)",
        "at infinity\n(1 found, n = 48)",
    ]
    assert [to_hex(line.get_color()) for line in figure.axes[0].lines] == ["#0072b2", "#009e73"]


def test_few_bottoms_have_their_loss_beside_them_and_many_have_not(
    minima: pd.DataFrame, drawn: Callable[[Figure], Figure]
) -> None:
    (axes,) = drawn(rank_abundance(minima, "")).axes
    expected = [f"f = {loss:.3g}" for loss in minima.sort_values("count", ascending=False, kind="stable")["loss"]]
    assert [text.get_text() for text in axes.texts] == expected
    many = pd.concat([minima.assign(minimum=minima["minimum"] + 5 * copy) for copy in range(400)])
    (axes,) = drawn(rank_abundance(many, "")).axes
    assert len(axes.texts) == 0
    assert sum(len(line.get_xdata()) for line in axes.lines) == 2000


def test_without_bottoms_a_sentence_says_so(minima: pd.DataFrame, sentence: Callable[[Figure], str]) -> None:
    assert sentence(rank_abundance(minima.iloc[:0], "")) == "no restart reached a bottom"
    assert sentence(rank_abundance(pd.DataFrame(), "a title")) == "no restart reached a bottom"
