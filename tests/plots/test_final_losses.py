from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from basinet.plots import final_losses

Draw = Callable[[Figure], Figure]
Dots = Callable[[Axes], np.ndarray]


def segments(axes: Axes) -> list[list[list[float]]]:
    """The thin lines, the thick lines and the bars, in this order and from left to right."""
    return [np.array(collection.get_segments()).round(12).tolist() for collection in axes.collections]


def test_final_losses_show_every_restart_over_its_depth_in_the_panel_of_its_init(
    restarts: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    figure = drawn(final_losses(restarts, "network.depth", ["init"], "a study"))
    assert [axes.get_title() for axes in figure.axes] == ["init a", "init b"]
    for axes, init in zip(figure.axes, "ab", strict=True):
        assert axes.get_yscale() == "log"
        assert axes.get_xlabel() == "network.depth"
        assert axes.get_xlim() == (-0.6, 2.6)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "10"]
        points = dots(axes)
        for position, depth in enumerate([1, 2, 10]):
            mine = restarts[(restarts["init"] == init) & (restarts["network.depth"] == depth)]
            kept = mine.loc[mine["status"] != "diverged", "loss"]
            near = np.abs(points[:, 0] - position) < 0.4
            np.testing.assert_array_equal(np.sort(points[near, 1]), np.sort(kept))
        assert len(points) == 54


def test_they_have_a_bar_at_the_median_a_thin_line_between_the_quartiles_and_a_thick_one_for_its_interval(
    restarts: pd.DataFrame,
) -> None:
    """Of 18 values the interval goes from the 5th smallest to the 5th largest (Conover, 1999, table A3)."""
    thin, thick, bars = segments(final_losses(restarts, "network.depth", ["init"], "").axes[1])
    mine = restarts[(restarts["init"] == "b") & (restarts["network.depth"] == 2) & (restarts["status"] != "diverged")]
    low, middle, high = mine["loss"].quantile([0.25, 0.5, 0.75]).tolist()
    ordered = sorted(mine["loss"])
    assert len(ordered) == 18
    assert thin[1] == [[1, low], [1, high]]
    assert thick[1] == [[1, ordered[4]], [1, ordered[-5]]]
    assert [end[1] for end in bars[1]] == [middle, middle]
    assert bars[1][0][0] == pytest.approx(1 - 0.3528)
    assert bars[1][1][0] == pytest.approx(1 + 0.3528)


def test_with_a_colour_the_inits_stand_side_by_side_in_one_panel_and_the_legend_counts_them(
    restarts: pd.DataFrame, drawn: Draw, dots: Dots, legend: Callable[[Figure], list[str]]
) -> None:
    figure = drawn(final_losses(restarts, "network.depth", [], "a study", colour="init"))
    (axes,) = figure.axes
    assert legend(figure) == ["init", "a (n = 60)", "b (n = 60)", "median", "its 95 % interval", "quartiles"]
    colours = {to_hex(line.get_color()) for line in axes.lines}
    assert colours == {"#0072b2", "#d55e00"}
    points = dots(axes)
    for position, depth in enumerate([1, 2, 10]):
        for init, side in (("a", -1), ("b", 1)):
            mine = restarts[(restarts["init"] == init) & (restarts["network.depth"] == depth)]
            kept = mine.loc[mine["status"] != "diverged", "loss"]
            near = np.abs(points[:, 0] - (position + side * 0.21)) < 0.2
            np.testing.assert_array_equal(np.sort(points[near, 1]), np.sort(kept))


def test_there_is_one_panel_for_each_problem_with_init_by_depth_in_it(
    restarts: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = pd.concat([restarts.assign(problem="xor"), restarts.assign(problem="sine")], ignore_index=True)
    figure = drawn(final_losses(frame, "network.depth", ["problem"], "", colour="init"))
    assert [axes.get_title() for axes in figure.axes] == ["problem sine", "problem xor"]
    assert [len(dots(axes)) for axes in figure.axes] == [108, 108]


def test_final_losses_say_how_many_restarts_there_were_and_how_many_are_drawn(
    restarts: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, dots: Dots
) -> None:
    def title(frame: pd.DataFrame) -> str:
        text: str = final_losses(frame, "network.depth", ["init"], "a study").get_suptitle()
        return text.replace("\n", " ")

    assert title(restarts) == "a study (n = 120, 12 diverged; every restart drawn)"
    assert title(restarts[restarts["status"] != "diverged"]) == "a study (n = 108; every restart drawn)"
    monkeypatch.setattr("basinet.plots.style.POINTS_MAX", 50)
    assert title(restarts) == "a study (n = 120, 12 diverged; 1 in 3 restarts drawn)"
    figure = final_losses(restarts, "network.depth", ["init"], "")
    assert sum(len(dots(axes)) for axes in figure.axes) == 36


def test_a_third_setting_that_varies_gets_panels_of_its_own(restarts: pd.DataFrame, drawn: Draw, dots: Dots) -> None:
    """In one panel the restarts of different conditions would pass for one distribution."""
    frame = pd.concat([restarts, restarts.assign(descent="sgd")], ignore_index=True)
    figure = drawn(final_losses(frame, "network.depth", ["descent", "init"], ""))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == [f"descent {descent}, init {init}" for descent in ("adam", "sgd") for init in ("a", "b")]
    assert [len(dots(axes)) for axes in figure.axes if axes.get_visible()] == [54] * 4


@pytest.mark.parametrize(("count", "rows", "columns"), [(3, 1, 3), (4, 1, 4), (5, 2, 3), (6, 2, 3), (9, 3, 3)])
def test_panels_are_rows_of_at_most_four_and_empty_ones_are_hidden(
    restarts: pd.DataFrame, drawn: Draw, count: int, rows: int, columns: int
) -> None:
    frame = restarts.assign(seed=np.arange(120) % count)
    figure = drawn(final_losses(frame, "network.depth", ["seed"], ""))
    assert [axes.get_visible() for axes in figure.axes] == [True] * count + [False] * (rows * columns - count)
    assert [axes.get_title() for axes in figure.axes[:count]] == [f"seed {seed}" for seed in range(count)]
    labelled = [bool(axes.get_xlabel()) for axes in figure.axes[:count]]
    assert labelled == [False] * (count - columns) + [True] * columns  # the lowest of every column


def test_a_setting_that_some_conditions_do_not_have_is_a_level_and_a_panel_too(
    restarts: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = restarts.assign(gain=np.where(restarts["init"] == "a", np.nan, 2.0))
    over = drawn(final_losses(frame, "gain", [], ""))
    assert [label.get_text() for label in over.axes[0].get_xticklabels()] == ["2.0", "-"]
    beside = drawn(final_losses(frame, "network.depth", ["gain"], ""))
    assert [axes.get_title() for axes in beside.axes] == ["gain 2.0", "gain -"]
    for figure in (over, beside):
        assert sum(len(dots(axes)) for axes in figure.axes) == 108


def test_restarts_of_several_conditions_below_each_other_may_share_row_labels(
    restarts: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = pd.concat([restarts, restarts.assign(init="c")])  # as pd.concat leaves it
    figure = drawn(final_losses(frame, "network.depth", ["init"], ""))
    assert [len(dots(axes)) for axes in figure.axes] == [54, 54, 108]


def test_a_condition_that_has_wholly_diverged_leaves_its_place_empty(
    restarts: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = restarts.assign(status=restarts["status"].where(restarts["network.depth"] != 2, "diverged"))
    figure = drawn(final_losses(frame, "network.depth", ["init"], ""))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "2", "10"]
    assert not any((np.abs(dots(axes)[:, 0] - 1) < 0.5).any() for axes in figure.axes)


def test_a_sweep_in_which_nothing_is_left_says_so(restarts: pd.DataFrame, sentence: Callable[[Figure], str]) -> None:
    figure = final_losses(restarts.assign(status="diverged"), "network.depth", ["init"], "a study")
    assert sentence(figure) == "every restart diverged (n = 120)"
    assert figure.get_suptitle() == "a study"
    assert sentence(final_losses(pd.DataFrame(), "network.depth", ["init"], "")) == "there are no restarts"


def test_a_sweep_over_hundreds_of_values_stays_within_what_can_be_drawn(drawn: Draw, dots: Dots) -> None:
    """A raster has at most 65,535 pixels a side, at 150 to the inch; and labels must not run into each other."""
    frame = pd.DataFrame({"seed": np.arange(900), "loss": 1.0, "status": "arrived"})
    figure = drawn(final_losses(frame, "seed", [], ""))
    assert max(figure.get_size_inches()) * 150 < 65_535
    assert len(figure.axes[0].get_xticks()) <= 24
    assert len(dots(figure.axes[0])) == 900
