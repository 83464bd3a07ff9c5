from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from basinet.plots import loss_fan, style, waterfall

# Machado, Oliveira & Fernandes (2009): what people without one kind of cone see, on linear RGB, severity 1
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """A colour in CIE 1976 L*a*b* (D65), as somebody with that sight sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = sight @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = np.clip(np.array(to_xyz) @ np.clip(linear, 0, 1) / [0.9505, 1, 1.089], 1e-9, None)
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["usual", "deuteranopia", "protanopia"])
def test_any_two_colours_are_told_apart_also_by_colour_blind_readers(sight: list[list[float]]) -> None:
    """At least 17 apart; a difference of 2.3 is just noticeable (Mahy, 1994)."""
    assert set(style.KIND_COLOURS.values()) <= set(style.COLOURS)
    assert {style.rank_colour(rank) for rank in range(9)} <= set(style.COLOURS)
    seen = [lab(colour, np.array(sight)) for colour in style.COLOURS]
    apart = [np.linalg.norm(one - other) for i, one in enumerate(seen) for other in seen[:i]]
    assert min(apart) > 17


def test_the_style_is_the_same_whatever_the_users_settings_are_and_leaves_them_alone(quantiles: pd.DataFrame) -> None:
    with mpl.rc_context({"font.size": 30, "axes.grid": False}):
        figure = loss_fan(quantiles, "a title")
        assert mpl.rcParams["font.size"] == 30
    assert figure.axes[0].xaxis.label.get_size() == 9


def test_text_is_never_smaller_than_seven_points(
    restarts: pd.DataFrame, quantiles: pd.DataFrame, drawn: Callable[[Figure], Figure]
) -> None:
    for figure in (loss_fan(quantiles, "a title"), waterfall(restarts, "a title")):
        sizes = [text.get_size() for text in drawn(figure).findobj(mpl.text.Text) if text.get_text()]
        assert min(sizes) >= 7


def test_a_long_title_is_wrapped_and_does_not_reach_into_the_legend(
    restarts: pd.DataFrame, drawn: Callable[[Figure], Figure]
) -> None:
    figure = drawn(waterfall(restarts, "init=kaiming_uniform network.depth=12 descent=gradient_descent " * 3))
    text = figure.axes[0].get_title(loc="left")
    (title,) = [found for found in figure.axes[0].findobj(mpl.text.Text) if found.get_text() == text]
    (legend,) = figure.legends
    assert title.get_window_extent().x1 < legend.get_window_extent().x0
    assert text.count("\n") >= 2


def test_what_looks_like_mathematics_is_written_as_it_is(
    restarts: pd.DataFrame, drawn: Callable[[Figure], Figure]
) -> None:
    figure = drawn(waterfall(restarts, r"cost=$1 path=$\frac{$"))
    (title,) = [found for found in figure.findobj(mpl.text.Text) if "cost=" in found.get_text()]
    assert not mpl.cbook.is_math_text(title.get_text())


def test_axes_are_linear_for_numbers_that_hardly_differ_and_logarithmic_otherwise() -> None:
    for values, expected in (([1.0, 2.0], "linear"), ([5.0, 5.0], "linear"), ([1.0, 100.0], "log"), ([0, 1], "log")):
        axes = Figure().add_subplot()
        axes.plot([0, 1], values)
        style.scale(axes.yaxis, values)
        assert axes.get_yscale() == expected


def test_ticks_are_written_as_people_write_them(drawn: Callable[[Figure], Figure]) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], [0.01, 0.3])
    style.scale(axes.yaxis, [0.01, 0.3])
    drawn(figure)
    low, high = axes.get_ylim()
    places = axes.get_yticks()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    shown = [label for label, place in zip(labels, places, strict=True) if low <= place <= high]
    assert shown == ["0.01", "0.02", "0.05", "0.1", "0.2"]
