from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from basinet.plots import trajectories

Draw = Callable[[Figure], Figure]


def test_each_bottom_has_a_panel_with_the_curves_of_its_first_restarts_and_its_loss(
    curves: pd.DataFrame, restarts: pd.DataFrame, drawn: Draw
) -> None:
    figure = drawn(trajectories(curves, restarts, "a title"))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert figure.get_suptitle() == "a title"
    for minimum, axes in enumerate(shown):
        mine = restarts[restarts["minimum"] == minimum]
        *lines, level = axes.lines
        assert len(lines) == 8
        for line, restart in zip(lines, sorted(mine["restart"])[:8], strict=True):
            curve = curves[curves["restart"] == restart]
            assert line.get_xdata().tolist() == [0.7, 1, 10, 100]
            np.testing.assert_allclose(line.get_ydata(), curve["loss"], rtol=1e-6)  # float32
        assert set(level.get_ydata()) == {mine["loss"].min()}
        kind = "at infinity" if minimum == 4 else "minimum"
        assert axes.get_title() == f"{kind} {minimum}, f = {mine['loss'].min():.3g}\n8 of n = {len(mine)}"
    assert len(shown) == 5


def test_the_colours_of_the_panels_count_the_losses_of_the_bottoms(
    curves: pd.DataFrame, restarts: pd.DataFrame
) -> None:
    """Five bottoms, each at the median of its restarts' losses."""
    losses = restarts[restarts["minimum"] >= 0].groupby("minimum")["loss"].median()
    palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"]
    figure = trajectories(curves, restarts, "")
    colours = [to_hex(axes.lines[0].get_color()) for axes in figure.axes if axes.get_visible()]
    assert colours == [palette[int((losses < loss).sum())] for loss in losses]


def test_of_hundreds_of_bottoms_the_commonest_twelve_are_shown(
    curves: pd.DataFrame, restarts: pd.DataFrame, drawn: Draw
) -> None:
    figure = drawn(trajectories(curves, restarts.assign(minimum=np.arange(120) // 2, kind="minimum"), ""))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert len(titles) == 12
    assert all(title.endswith("2 of n = 2") for title in titles)


def test_a_bottom_none_of_whose_restarts_has_a_curve_has_no_panel(curves: pd.DataFrame, restarts: pd.DataFrame) -> None:
    figure = trajectories(curves[curves["restart"] < 3], restarts, "")
    assert sum(axes.get_visible() for axes in figure.axes) == 3  # restarts 0, 1, 2 ended in 0, 4, 1


def test_where_nothing_can_be_shown_a_sentence_says_so(
    curves: pd.DataFrame, restarts: pd.DataFrame, sentence: Callable[[Figure], str]
) -> None:
    assert sentence(trajectories(curves, restarts.assign(minimum=-1), "")) == "no restart reached a bottom"
    assert sentence(trajectories(curves.iloc[:0], restarts, "")) == "no curves were kept"
    assert sentence(trajectories(pd.DataFrame(), pd.DataFrame(), "")) == "no curves were kept"
