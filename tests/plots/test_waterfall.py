from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from basinet.plots import waterfall

FLOOR, CEILING = 1e-20, 1e100


def test_a_waterfall_shows_every_restart_that_has_not_diverged_in_the_order_of_its_loss(
    restarts: pd.DataFrame,
    drawn: Callable[[Figure], Figure],
    dots: Callable[[Axes], np.ndarray],
    legend: Callable[[Figure], list[str]],
) -> None:
    figure = drawn(waterfall(restarts, "a title"))
    (axes,) = figure.axes
    points = dots(axes)
    points = points[np.argsort(points[:, 0])]
    kept = restarts.loc[restarts["status"] != "diverged", "loss"]
    np.testing.assert_array_equal(points, np.stack([np.arange(1, 109), np.sort(kept)], axis=1))
    assert (axes.get_yscale(), axes.get_title(loc="left")) == ("log", "a title")
    assert axes.get_xlim() == (0, 109)
    assert legend(figure)[0] == "n = 120, 12 diverged\nevery restart drawn"


def test_levels_have_the_colours_of_their_losses_from_the_lowest_and_their_shares_beside_them(
    drawn: Callable[[Figure], Figure], legend: Callable[[Figure], list[str]]
) -> None:
    frame = pd.DataFrame(
        {
            "loss": [0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 0.9, np.nan],
            "minimum": [1, 0, 0, 0, 0, 2, 1, 1, -1, -1],
            "kind": ["minimum"] * 8 + ["unfinished", "diverged"],
            "status": ["arrived"] * 9 + ["diverged"],
        }
    )
    figure = drawn(waterfall(frame, ""))
    (axes,) = figure.axes
    entries = ["f = 0.1: minimum (n = 5)", "f = 0.5: minimum (n = 3)", "at no bottom: unfinished (n = 1)"]
    assert legend(figure)[1:] == entries
    assert [to_hex(line.get_color()) for line in axes.lines] == ["#0072b2", "#d55e00", "#000000"]
    assert [(text.xy[1], text.get_text()) for text in axes.texts] == [(0.1, "50 %"), (0.5, "30 %")]


def test_a_waterfall_of_too_many_restarts_says_which_share_is_drawn(
    restarts: pd.DataFrame,
    dots: Callable[[Axes], np.ndarray],
    legend: Callable[[Figure], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("basinet.plots.style.POINTS_MAX", 50)
    figure = waterfall(restarts, "")
    assert legend(figure)[0] == "n = 120, 12 diverged\n1 in 3 restarts drawn"
    assert len(dots(figure.axes[0])) == 60 / 3 + 48 / 3


@pytest.mark.parametrize("losses", [[0.0], [0.0, 0.0, 0.0], [1e-300, 1e300]])
def test_a_waterfall_of_extreme_losses_can_be_drawn(
    losses: list[float], drawn: Callable[[Figure], Figure], dots: Callable[[Axes], np.ndarray]
) -> None:
    frame = pd.DataFrame({"loss": losses, "status": "arrived", "kind": "minimum"})
    (axes,) = drawn(waterfall(frame, "")).axes
    assert dots(axes)[:, 1].tolist() == [min(max(loss, FLOOR), CEILING) for loss in losses]


def test_losses_that_hardly_differ_stand_on_a_linear_axis_with_labels_that_tell_them_apart(
    drawn: Callable[[Figure], Figure],
) -> None:
    frame = pd.DataFrame({"loss": [0.0137, 0.0138], "status": "arrived", "kind": "minimum"})
    (axes,) = drawn(waterfall(frame, "")).axes
    assert axes.get_yscale() == "linear"
    labels = [float(label.get_text()) for label in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels) >= 2


def test_a_waterfall_in_which_nothing_is_left_says_so(sentence: Callable[[Figure], str]) -> None:
    lost = pd.DataFrame({"loss": [np.nan, 1.0], "status": "diverged", "kind": "diverged"})
    assert sentence(waterfall(lost, "a title")) == "every restart diverged (n = 2)"
    assert sentence(waterfall(lost.iloc[:0], "")) == "there are no restarts"
