from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from basinet.plots import heat

Draw = Callable[[Figure], Figure]


@pytest.fixture
def spread() -> pd.DataFrame:
    """Two inits × three depths, one of which has no minimum and one of which is missing."""
    return pd.DataFrame(
        {
            "init": ["a", "a", "a", "b", "b"],
            "network.depth": [2, 10, 1, 1, 10],
            "restarts": 300,
            "share_best": [0.5, 0.125, 1.0, 0.0, np.nan],
            "minima": [2.0, 12.0, 1.0, 3.0, 0.0],
        }
    )


def cells(axes: object) -> list[str]:
    return [text.get_text() for text in axes.texts]  # type: ignore[attr-defined]


def test_every_condition_is_a_cell_with_its_number_depth_across_and_init_down(
    spread: pd.DataFrame, drawn: Draw
) -> None:
    figure = drawn(heat(spread, ["init"], "network.depth", ["share_best", "minima"], "a title"))
    share, minima, *_ = figure.axes
    assert [label.get_text() for label in share.get_xticklabels()] == ["1", "2", "10"]
    assert [label.get_text() for label in share.get_yticklabels()] == ["a", "b"]
    assert cells(share) == ["100", "50", "12.5", "0", "-", "-"]
    assert cells(minima) == ["1", "2", "12", "3", "-", "0"]
    assert figure.get_suptitle() == "a title (n = 300 per condition)"
    assert share.get_title().replace("\n", " ") == "share of restarts at the best minimum"
    assert minima.get_title() == "distinct minima found"


def test_the_colours_are_the_numbers_and_shares_are_on_a_scale_from_0_to_1(spread: pd.DataFrame) -> None:
    share, minima, *_ = heat(spread, ["init"], "network.depth", ["share_best", "minima"], "").axes
    np.testing.assert_array_equal(share.images[0].get_array().filled(-1), [[1, 0.5, 0.125], [0, -1, -1]])
    np.testing.assert_array_equal(minima.images[0].get_array().filled(-1), [[1, 2, 12], [3, -1, 0]])
    assert share.images[0].get_clim() == (0, 1)
    assert minima.images[0].get_clim() == (0, 12)


def test_every_number_stands_out_from_its_colour(spread: pd.DataFrame) -> None:
    """W3C's contrast ratio is above 3 (large text) in every cell."""
    (axes, *_) = heat(spread, ["init"], "network.depth", ["share_best"], "").axes
    image = axes.images[0]

    def luminance(rgb: np.ndarray) -> float:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for value in np.linspace(0, 1, 21):
        frame = spread.assign(share_best=value)
        (axes, *_) = heat(frame, ["init"], "network.depth", ["share_best"], "").axes
        text = 0.0 if axes.texts[0].get_color() == "k" else 1.0
        pair = sorted([luminance(np.array(image.cmap(value)[:3])), text])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) > 3


def test_combinations_of_several_settings_are_rows(spread: pd.DataFrame, drawn: Draw) -> None:
    both = pd.concat([spread.assign(descent="adam"), spread.assign(descent="sgd", restarts=20)], ignore_index=True)
    figure = drawn(heat(both, ["descent", "init"], "network.depth", ["minima"], "a title"))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["adam, a", "adam, b", "sgd, a", "sgd, b"]
    assert figure.get_suptitle().replace("\n", " ") == "a title (n = 20 to 300 per condition)"


def test_hundreds_of_conditions_are_coloured_but_not_written_into(drawn: Draw) -> None:
    frame = pd.DataFrame({"seed": np.arange(900), "depth": 2, "restarts": 5, "minima": np.arange(900)})
    figure = drawn(heat(frame, ["seed"], "depth", ["minima"], ""))
    assert cells(figure.axes[0]) == []
    assert len(figure.axes[0].get_yticks()) <= 60


def test_where_nothing_is_known_every_cell_is_a_dash(spread: pd.DataFrame, drawn: Draw) -> None:
    figure = drawn(heat(spread.assign(share_best=np.nan), ["init"], "network.depth", ["share_best"], ""))
    assert set(cells(figure.axes[0])) == {"-"}


def test_without_conditions_a_sentence_says_so(sentence: Callable[[Figure], str]) -> None:
    assert sentence(heat(pd.DataFrame(), ["init"], "network.depth", ["minima"], "")) == "there are no conditions"
