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


def bars(axes: Axes, width: float) -> list[tuple[str, float, float, float]]:
    """The horizontal lines of a width in points: colour, where they begin and end, and the loss; from left to right."""
    found = []
    for lines in axes.collections:
        if lines.get_linewidths()[0] == width:
            ((left, loss), (right, _)), *more = lines.get_segments()
            assert not more
            found.append((to_hex(lines.get_color()[0]), float(left), float(right), float(loss)))
    return sorted(found, key=lambda bar: bar[1:])


BAR = 5.0
TRACK = "#e4e4e4"


@pytest.fixture
def ended() -> pd.DataFrame:
    """Two networks of ten restarts each, from each of two inits: six or nine end in the lowest minimum."""

    def condition(depth: int, init: str, lowest: int) -> pd.DataFrame:
        base = 0.1 / depth
        rest = 9 - lowest
        return pd.DataFrame(
            {
                "network.depth": depth,
                "init": init,
                "minimum": [0] * lowest + [1] * rest + [-1],
                "loss": [base] * lowest + [2 * base] * rest + [3 * base],
                "kind": ["minimum"] * 9 + ["unfinished"],
                "status": "arrived",
            }
        )

    return pd.concat([condition(1, "a", 6), condition(1, "b", 9), condition(4, "a", 6)], ignore_index=True)


def test_a_bar_is_as_wide_as_the_share_of_its_bottom_of_the_track_and_its_colour_counts_losses_from_the_lowest(
    ended: pd.DataFrame, drawn: Draw
) -> None:
    figure = drawn(final_losses(ended[ended["init"] == "a"], "network.depth", [], "a study"))
    (axes,) = figure.axes
    found = bars(axes, BAR)
    for place, base in ((0, 0.1), (1, 0.025)):
        mine = [bar for bar in found if abs((bar[1] + bar[2]) / 2 - place) < 0.1]
        tracks = [bar for bar in mine if bar[0] == TRACK]
        assert len(tracks) == 2
        full = tracks[0][2] - tracks[0][1]
        shares = {
            (colour, round(loss, 12)): (right - left) / full for colour, left, right, loss in mine if colour != TRACK
        }
        assert shares == {("#0072b2", base): pytest.approx(0.6), ("#d55e00", 2 * base): pytest.approx(0.3)}


def test_the_share_is_written_beside_its_bar(ended: pd.DataFrame, drawn: Draw) -> None:
    (axes,) = drawn(final_losses(ended[ended["init"] == "a"], "network.depth", [], "a study")).axes
    written = {(text.xy[0], round(text.xy[1], 12)): text.get_text() for text in axes.texts}
    assert written == {(0, 0.1): "60 %", (0, 0.2): "30 %", (1, 0.025): "60 %", (1, 0.05): "30 %"}


def test_bottoms_of_one_loss_stand_side_by_side_in_one_colour(ended: pd.DataFrame, drawn: Draw) -> None:
    frame = ended[(ended["init"] == "a") & (ended["network.depth"] == 1)].reset_index(drop=True)
    frame.loc[:2, "minimum"] = (
        2  # three of the six at the lowest loss are at a copy that no symmetry of the network maps
    )
    (axes,) = drawn(final_losses(frame, "network.depth", [], "")).axes
    lowest = [bar for bar in bars(axes, BAR) if bar[0] == "#0072b2"]
    assert len(lowest) == 2
    assert lowest[0][2] < lowest[1][1]
    assert [text.get_text() for text in axes.texts] == ["60 %", "30 %"]


def test_very_many_minima_stay_on_their_track_and_near_their_losses(drawn: Draw) -> None:
    """Two hundred that draw a restart each, beside a network with one minimum, far below."""
    crowd = pd.DataFrame({"network.width": 2, "loss": np.geomspace(0.5, 1.0, 200), "minimum": np.arange(200)})
    alone = pd.DataFrame({"network.width": 3, "loss": 0.1, "minimum": np.zeros(200, dtype=int)})
    frame = pd.concat([crowd, alone]).assign(kind="minimum", status="arrived")
    (axes,) = drawn(final_losses(frame, "network.width", [], "")).axes
    found = [bar for bar in bars(axes, BAR) if bar[1] < 0.5]
    tracks = [bar for bar in found if bar[0] == TRACK]
    left, right = tracks[0][1], tracks[0][2]
    mine = [bar for bar in found if bar[0] != TRACK]
    assert len(mine) == 200
    assert all(left - 1e-9 <= bar[1] <= bar[2] <= right + 1e-9 for bar in mine)
    assert sum(bar[2] - bar[1] for bar in mine) == pytest.approx(right - left)
    points = 72 * axes.get_window_extent().height / axes.figure.dpi / np.log(np.divide(*axes.get_ylim()[::-1]))
    drawn_at = np.sort([bar[3] for bar in mine])
    assert np.abs(points * np.log(drawn_at / np.sort(crowd["loss"]))).max() < 1.2 * BAR  # the axis is laid out last
    assert len(tracks) > 3


def test_bars_at_infinity_are_hollow(ended: pd.DataFrame, drawn: Draw) -> None:
    frame = ended.assign(kind=ended["kind"].where(ended["minimum"] != 1, "at_infinity"))
    (axes,) = drawn(final_losses(frame[frame["network.depth"] == 4], "network.depth", [], "")).axes
    ((_, left, right, loss),) = bars(axes, BAR / 2.5)
    assert (loss, round((left + right) / 2, 9)) == (pytest.approx(0.05), 0)


def test_dots_are_the_restarts_that_ended_at_no_bottom(ended: pd.DataFrame, drawn: Draw, dots: Dots) -> None:
    (axes,) = drawn(final_losses(ended, "network.depth", [], "", colour="init")).axes
    np.testing.assert_allclose(np.sort(dots(axes)[:, 1]), [0.075, 0.3, 0.3])


def test_where_most_restarts_ended_at_no_bottom_there_is_the_median_and_its_interval_and_quartiles(
    restarts: pd.DataFrame,
) -> None:
    """Of 18 values the interval goes from the 5th smallest to the 5th largest (Conover, 1999, table A3)."""
    axes = final_losses(restarts.assign(minimum=-1), "network.depth", ["init"], "").axes[1]
    thin, thick, middle = [np.array(lines.get_segments()).round(12).tolist() for lines in axes.collections]
    mine = restarts[(restarts["init"] == "b") & (restarts["network.depth"] == 2) & (restarts["status"] != "diverged")]
    low, median, high = mine["loss"].quantile([0.25, 0.5, 0.75]).tolist()
    ordered = sorted(mine["loss"])
    assert len(ordered) == 18
    assert thin[1] == [[1, low], [1, high]]
    assert thick[1] == [[1, ordered[4]], [1, ordered[-5]]]
    assert [end[1] for end in middle[1]] == [median, median]


def test_the_legend_has_an_entry_for_what_is_drawn_and_no_other(
    ended: pd.DataFrame, restarts: pd.DataFrame, drawn: Draw, legend: Callable[[Figure], list[str]]
) -> None:
    levels = ["", "lowest loss of its network", "2nd lowest", "as wide as all restarts", "a restart at no bottom"]
    assert legend(drawn(final_losses(ended, "network.depth", [], "", colour="init"))) == levels
    loose = ["", "a restart at no bottom", "median", "its 95 % interval", "quartiles"]
    assert legend(drawn(final_losses(restarts.assign(minimum=-1), "network.depth", [], ""))) == loose


def test_with_a_colour_the_inits_stand_side_by_side_and_their_names_below_them(
    ended: pd.DataFrame, drawn: Draw
) -> None:
    (axes,) = drawn(final_losses(ended, "network.depth", [], "a study", colour="init")).axes
    assert [label.get_text() for label in axes.get_xticklabels(minor=True)] == ["a", "b", "a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4"]
    assert axes.get_xlabel() == "init, network.depth"
    places = sorted({round((left + right) / 2, 9) for colour, left, right, _ in bars(axes, BAR) if colour == TRACK})
    np.testing.assert_allclose(places, [-0.215, 0.215, 0.785])


def test_of_three_inits_the_middle_one_has_its_name_below_it_too(ended: pd.DataFrame, drawn: Draw) -> None:
    three = pd.concat([ended, ended[ended["init"] == "b"].assign(init="c")])
    (axes,) = drawn(final_losses(three[three["network.depth"] == 1], "network.depth", [], "", colour="init")).axes
    shown = {label.get_text(): label.get_window_extent() for label in axes.get_xticklabels(minor=True)}
    assert list(shown) == ["a", "b", "c"]
    below = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert not any(own.overlaps(other) for own in shown.values() for other in below)


def test_every_restart_at_no_bottom_stands_over_its_depth_in_the_panel_of_its_init(
    loose: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    figure = drawn(final_losses(loose, "network.depth", ["init"], "a study"))
    assert [axes.get_title() for axes in figure.axes] == ["init a", "init b"]
    for axes, init in zip(figure.axes, "ab", strict=True):
        assert axes.get_yscale() == "log"
        assert axes.get_xlabel() == "network.depth"
        assert axes.get_xlim() == (-0.6, 2.6)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "10"]
        points = dots(axes)
        for position, depth in enumerate([1, 2, 10]):
            mine = loose[(loose["init"] == init) & (loose["network.depth"] == depth)]
            kept = mine.loc[mine["status"] != "diverged", "loss"]
            near = np.abs(points[:, 0] - position) < 0.4
            np.testing.assert_array_equal(np.sort(points[near, 1]), np.sort(kept))
        assert len(points) == 54


@pytest.fixture
def loose(restarts: pd.DataFrame) -> pd.DataFrame:
    """The same restarts, none of them at a bottom: each is drawn as a dot."""
    return restarts.assign(minimum=-1)


def test_there_is_one_panel_for_each_problem_with_init_by_depth_in_it(
    loose: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = pd.concat([loose.assign(problem="xor"), loose.assign(problem="sine")], ignore_index=True)
    figure = drawn(final_losses(frame, "network.depth", ["problem"], "", colour="init"))
    assert [axes.get_title() for axes in figure.axes] == ["problem sine", "problem xor"]
    assert [len(dots(axes)) for axes in figure.axes] == [108, 108]


def test_final_losses_say_how_many_restarts_there_were_and_how_many_are_drawn(
    loose: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, dots: Dots
) -> None:
    def title(frame: pd.DataFrame) -> str:
        text: str = final_losses(frame, "network.depth", ["init"], "a study").get_suptitle()
        return text.replace("\n", " ")

    assert title(loose) == "a study (n = 120, 12 diverged)"
    assert title(loose[loose["status"] != "diverged"]) == "a study (n = 108)"
    monkeypatch.setattr("basinet.plots.style.POINTS_MAX", 50)
    assert title(loose) == "a study (n = 120, 12 diverged; of dots, 1 in 3 restarts drawn)"
    figure = final_losses(loose, "network.depth", ["init"], "")
    assert sum(len(dots(axes)) for axes in figure.axes) == 36


def test_a_third_setting_that_varies_gets_panels_of_its_own(loose: pd.DataFrame, drawn: Draw, dots: Dots) -> None:
    """In one panel the restarts of different conditions would pass for one distribution."""
    frame = pd.concat([loose, loose.assign(descent="sgd")], ignore_index=True)
    figure = drawn(final_losses(frame, "network.depth", ["descent", "init"], ""))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == [f"descent {descent}, init {init}" for descent in ("adam", "sgd") for init in ("a", "b")]
    assert [len(dots(axes)) for axes in figure.axes if axes.get_visible()] == [54] * 4


@pytest.mark.parametrize(("count", "rows", "columns"), [(3, 1, 3), (4, 1, 4), (5, 2, 3), (6, 2, 3), (9, 3, 3)])
def test_panels_are_rows_of_at_most_four_and_empty_ones_are_hidden(
    loose: pd.DataFrame, drawn: Draw, count: int, rows: int, columns: int
) -> None:
    frame = loose.assign(seed=np.arange(120) % count)
    figure = drawn(final_losses(frame, "network.depth", ["seed"], ""))
    assert [axes.get_visible() for axes in figure.axes] == [True] * count + [False] * (rows * columns - count)
    assert [axes.get_title() for axes in figure.axes[:count]] == [f"seed {seed}" for seed in range(count)]
    labelled = [bool(axes.get_xlabel()) for axes in figure.axes[:count]]
    assert labelled == [False] * (count - columns) + [True] * columns  # the lowest of every column


def test_a_setting_that_some_conditions_do_not_have_is_a_level_and_a_panel_too(
    loose: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = loose.assign(gain=np.where(loose["init"] == "a", np.nan, 2.0))
    over = drawn(final_losses(frame, "gain", [], ""))
    assert [label.get_text() for label in over.axes[0].get_xticklabels()] == ["2.0", "-"]
    beside = drawn(final_losses(frame, "network.depth", ["gain"], ""))
    assert [axes.get_title() for axes in beside.axes] == ["gain 2.0", "gain -"]
    for figure in (over, beside):
        assert sum(len(dots(axes)) for axes in figure.axes) == 108


def test_restarts_of_several_conditions_below_each_other_may_share_row_labels(
    loose: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = pd.concat([loose, loose.assign(init="c")])  # as pd.concat leaves it
    figure = drawn(final_losses(frame, "network.depth", ["init"], ""))
    assert [len(dots(axes)) for axes in figure.axes] == [54, 54, 108]


def test_a_condition_that_has_wholly_diverged_leaves_its_place_empty(
    loose: pd.DataFrame, drawn: Draw, dots: Dots
) -> None:
    frame = loose.assign(status=loose["status"].where(loose["network.depth"] != 2, "diverged"))
    figure = drawn(final_losses(frame, "network.depth", ["init"], ""))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "2", "10"]
    assert not any((np.abs(dots(axes)[:, 0] - 1) < 0.5).any() for axes in figure.axes)


def test_a_sweep_in_which_nothing_is_left_says_so(loose: pd.DataFrame, sentence: Callable[[Figure], str]) -> None:
    figure = final_losses(loose.assign(status="diverged"), "network.depth", ["init"], "a study")
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
