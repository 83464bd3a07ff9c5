from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from basinet.plots import sharpness


def points(axes: Axes) -> set[tuple[float, float]]:
    return {tuple(place) for group in axes.collections for place in group.get_offsets().tolist()}


def test_every_bottom_is_a_dot_at_its_sharpness_and_loss(
    minima: pd.DataFrame, drawn: Callable[[Figure], Figure], legend: Callable[[Figure], list[str]]
) -> None:
    figure = drawn(sharpness(minima, "a title"))
    for axes, measure in zip(figure.axes, ("lambda_max", "trace"), strict=True):
        assert points(axes) == set(zip(minima[measure], minima["loss"], strict=True))
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "largest eigenvalue λ of the Hessian",
        "trace of the Hessian",
    ]
    assert legend(figure) == [
        "area of a dot: restarts",
        "minimum\n(4 bottoms, n = 60)",
        "at infinity\n(1 bottom, n = 48)",
    ]


def test_the_area_of_a_dot_is_the_number_of_restarts_in_the_bottom(minima: pd.DataFrame) -> None:
    figure = sharpness(minima.assign(count=[10, 20, 40, 80, 160]), "")
    areas = [float(area) for group in figure.axes[0].collections for area in group.get_sizes()]
    assert areas == [7.5, 15, 30, 60, 120]


def test_by_a_setting_the_colours_tell_its_values(
    minima: pd.DataFrame, drawn: Callable[[Figure], Figure], legend: Callable[[Figure], list[str]]
) -> None:
    both = pd.concat([minima.assign(depth=10), minima.assign(depth=2, loss=1.0)], ignore_index=True)
    figure = drawn(sharpness(both, "", by="depth"))
    assert legend(figure)[1:] == ["2\n(5 bottoms, n = 108)", "10\n(5 bottoms, n = 108)"]


def test_of_restarts_there_is_one_panel_for_no_trace_is_known(
    restarts: pd.DataFrame, drawn: Callable[[Figure], Figure], legend: Callable[[Figure], list[str]]
) -> None:
    figure = drawn(sharpness(restarts, ""))
    (axes,) = figure.axes
    kept = restarts[restarts["loss"].notna()]
    assert points(axes) == set(zip(kept["lambda_max"], kept["loss"], strict=True))
    assert legend(figure)[1:3] == ["minimum (n = 60)".replace(" (", "\n("), "at infinity\n(n = 48)"]


def test_of_too_many_dots_the_legend_says_which_share_is_drawn(
    restarts: pd.DataFrame, legend: Callable[[Figure], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("basinet.plots.style.POINTS_MAX", 50)
    figure = sharpness(restarts, "")
    assert legend(figure)[0] == "1 in 3 drawn"
    assert len(points(figure.axes[0])) == 20 + 16 + 2  # of 60, 48 and 6


def test_a_sharpness_that_is_not_positive_is_drawn_at_the_left_end(
    minima: pd.DataFrame, drawn: Callable[[Figure], Figure]
) -> None:
    axes = drawn(sharpness(minima.assign(lambda_max=[0.0, -1.0, 1.0, 1.0, 1.0]), "")).axes[0]
    assert sorted(x for x, _ in points(axes))[:2] == [1e-20, 1e-20]


def test_without_a_spectrum_a_sentence_says_so(minima: pd.DataFrame, sentence: Callable[[Figure], str]) -> None:
    unknown = minima.assign(lambda_max=np.nan, trace=np.nan)
    assert sentence(sharpness(unknown, "")) == "no spectrum was computed, so that no sharpness is known"
    assert sentence(sharpness(pd.DataFrame(), "")) == "there are no bottoms"
