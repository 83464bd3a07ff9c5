from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from basinet.plots import distribution

Draw = Callable[[Figure], Figure]


def test_a_line_is_at_the_share_of_the_restarts_that_ended_at_or_below_a_loss(
    restarts: pd.DataFrame, drawn: Draw
) -> None:
    figure = drawn(distribution(restarts, "network.depth", ["init"], "a title"))
    assert figure.get_suptitle() == "a title"
    assert [axes.get_title() for axes in figure.axes] == ["init a", "init b"]
    for axes, init in zip(figure.axes, "ab", strict=True):
        assert (axes.get_xscale(), axes.get_ylim()) == ("log", (0, 1.02))
        for line, depth in zip(axes.lines, (1, 2, 10), strict=True):
            mine = restarts[(restarts["init"] == init) & (restarts["network.depth"] == depth)]
            x, y = line.get_xdata(), line.get_ydata()
            assert y[0] == 0
            for loss, share in zip(x[1:], y[1:], strict=True):
                below = (mine["loss"] <= loss) & (mine["status"] != "diverged")
                assert share == pytest.approx(below.sum() / 20)
            assert y[-1] == 0.9  # 2 of 20 have diverged
            assert x[-1] > restarts["loss"].max()
        assert len(axes.collections) == 3  # bands


def test_the_legend_counts_the_restarts_of_each_line_and_those_that_diverged(
    restarts: pd.DataFrame, legend: Callable[[Figure], list[str]]
) -> None:
    figure = distribution(restarts, "network.depth", ["init"], "")
    counted = "(n = 40, 4 diverged)"
    assert legend(figure) == ["network.depth", f"1 {counted}", f"2 {counted}", f"10 {counted}"]
    assert legend(distribution(restarts, None, [], "")) == ["", "all (n = 120, 12 diverged)"]


def test_of_more_than_four_lines_no_bands_are_drawn(restarts: pd.DataFrame, drawn: Draw) -> None:
    (axes,) = drawn(distribution(restarts.assign(seed=np.arange(120) % 12), "seed", [], "")).axes
    assert len(axes.lines) == 12
    assert len(axes.collections) == 0
    assert len({tuple(np.ravel(line.get_color())) for line in axes.lines}) == 12


def test_a_line_of_a_million_restarts_has_some_thousand_points_and_both_ends(drawn: Draw) -> None:
    losses = np.random.default_rng(0).exponential(size=1_000_000)
    (axes,) = drawn(distribution(pd.DataFrame({"loss": losses, "status": "arrived"}), None, [], "")).axes
    x, y = axes.lines[0].get_data()
    assert len(x) <= 2002
    assert x[1] == losses.min()
    assert x[-2] == losses.max()
    np.testing.assert_allclose(np.diff(y)[1:-1], 1 / 2000, atol=2e-6)  # at even shares
    for loss, share in zip(x[1::200], y[1::200], strict=True):
        assert share == pytest.approx((losses <= loss).mean(), abs=1e-12)


def test_a_line_of_equal_losses_is_one_step(drawn: Draw) -> None:
    (axes,) = drawn(distribution(pd.DataFrame({"loss": [0.5] * 9, "status": "arrived"}), None, [], "")).axes
    x, y = axes.lines[0].get_data()
    assert x[:2].tolist() == [0.5, 0.5]
    assert y.tolist() == [0, 1, 1]


def test_where_nothing_is_left_a_sentence_says_so(restarts: pd.DataFrame, sentence: Callable[[Figure], str]) -> None:
    lost = restarts.assign(status="diverged")
    assert sentence(distribution(lost, "network.depth", [], "")) == "every restart diverged (n = 120)"
    assert sentence(distribution(pd.DataFrame(), None, [], "")) == "there are no restarts"
