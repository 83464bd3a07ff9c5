from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from basinet.plots import final_losses, loss_fan, save, sweep_axes, waterfall

FLOOR, CEILING = 1e-20, 1e100


def drawn(figure: Figure) -> Figure:
    """The figure, after it has been drawn, which is when warnings and errors of layouts and axes come up."""
    figure.savefig(io.BytesIO(), dpi=20)
    return figure


def dots(axes: Axes) -> np.ndarray:
    """The points that are drawn one by one, `[point, 2]`."""
    lines = [line.get_xydata() for line in axes.lines if line.get_marker() == "."]
    return np.concatenate([np.empty((0, 2)), *lines])


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.fixture
def quantiles() -> pd.DataFrame:
    levels = {"min": 0.0, "q05": 0.1, "q25": 0.2, "median": 0.3, "q75": 0.4, "q95": 0.5, "max": 0.6}
    steps = np.array([0, 1, 10, 100])
    frame = pd.DataFrame({"record": range(4), "step": steps, "restarts": [30, 30, 29, 28]})
    return frame.assign(**{f"loss_{name}": level / (1 + steps) for name, level in levels.items()})


@pytest.fixture
def restarts() -> pd.DataFrame:
    """init × depth of 20 restarts each; every tenth has diverged."""
    count = 120
    frame = pd.DataFrame(
        {
            "init": pd.Categorical(np.repeat(["b", "a"], 60)),
            "network.depth": np.tile(np.repeat([2, 10, 1], 20), 2),
            "descent": "adam",
            "loss": np.random.default_rng(0).permutation(np.arange(1.0, count + 1)),
            "status": np.where(np.arange(count) % 2 == 0, "arrived", "budget"),
        }
    )
    frame["kind"] = np.where(np.arange(count) % 2 == 0, "minimum", "at_infinity")
    frame.loc[frame.index % 10 == 9, ["status", "kind"]] = "diverged"
    frame.loc[frame.index % 20 == 19, "loss"] = np.nan  # of some, a finite loss was the last that was seen
    return frame


def test_a_fan_shows_the_quantiles_over_the_steps_on_log_axes(quantiles: pd.DataFrame) -> None:
    (axes,) = drawn(loss_fan(quantiles, "a title")).axes
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_title()) == ("log", "log", "a title")
    (median,) = axes.lines
    np.testing.assert_array_equal(median.get_xdata(), [0.7, 1, 10, 100])  # the start, left of step 1
    np.testing.assert_array_equal(median.get_ydata(), quantiles["loss_median"])
    assert [band.get_label() for band in axes.collections] == ["all", "5-95 %", "25-75 %"]
    for band, low, high in zip(axes.collections, ("min", "q05", "q25"), ("max", "q95", "q75"), strict=True):
        heights = set(band.get_paths()[0].vertices[:, 1])
        expected = set(np.maximum(quantiles[f"loss_{low}"], FLOOR)) | set(quantiles[f"loss_{high}"])
        assert heights == expected


def test_a_fan_says_how_many_restarts_there_were(quantiles: pd.DataFrame) -> None:
    (axes,) = loss_fan(quantiles, "").axes
    assert axes.get_legend().get_title().get_text() == "30 restarts"


def test_a_fan_of_the_starts_alone_shows_a_point(quantiles: pd.DataFrame) -> None:
    (axes,) = drawn(loss_fan(quantiles.iloc[:1], "")).axes
    (median,) = axes.lines
    assert median.get_marker() == "o"


def test_a_fan_in_which_nothing_is_left_says_so(quantiles: pd.DataFrame) -> None:
    lost = quantiles.assign(restarts=0, **{name: np.nan for name in quantiles if name.startswith("loss_")})
    (axes,) = drawn(loss_fan(lost, "")).axes
    assert texts(axes) == ["every restart diverged"]


def test_a_fan_that_falls_to_zero_ends_at_the_floor(quantiles: pd.DataFrame) -> None:
    (axes,) = drawn(loss_fan(quantiles.assign(loss_median=[1.0, 0.1, 0.0, 0.0]), "")).axes
    assert axes.lines[0].get_ydata().tolist() == [1.0, 0.1, FLOOR, FLOOR]


def test_a_waterfall_shows_every_restart_that_has_not_diverged_in_the_order_of_its_loss(
    restarts: pd.DataFrame,
) -> None:
    (axes,) = drawn(waterfall(restarts, "a title")).axes
    points = dots(axes)
    points = points[np.argsort(points[:, 0])]
    kept = restarts.loc[restarts["status"] != "diverged", "loss"]
    np.testing.assert_array_equal(points, np.stack([np.arange(1, 109), np.sort(kept)], axis=1))
    assert (axes.get_yscale(), axes.get_title()) == ("log", "a title")
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["minimum (60)", "at infinity (48)"]
    assert axes.get_legend().get_title().get_text() == "120 restarts, 12 diverged"


@pytest.mark.parametrize("losses", [[0.0], [0.0, 0.0, 0.0], [1e-300, 1e300]])
def test_a_waterfall_of_extreme_losses_can_be_drawn(losses: list[float]) -> None:
    frame = pd.DataFrame({"loss": losses, "status": "arrived", "kind": "minimum"})
    (axes,) = drawn(waterfall(frame, "")).axes
    assert dots(axes)[:, 1].tolist() == [min(max(loss, FLOOR), CEILING) for loss in losses]


def test_a_waterfall_in_which_nothing_is_left_says_so() -> None:
    (axes,) = drawn(waterfall(pd.DataFrame({"loss": [np.nan, 1.0], "status": "diverged", "kind": "diverged"}), "")).axes
    assert texts(axes) == ["every restart diverged"]
    assert len(dots(axes)) == 0
    assert axes.get_legend().get_title().get_text() == "2 restarts, 2 diverged"


def test_final_losses_show_every_restart_over_its_depth_in_the_panel_of_its_init(restarts: pd.DataFrame) -> None:
    figure = drawn(final_losses(restarts, "network.depth", ["init"], "a study"))
    assert [axes.get_title() for axes in figure.axes] == ["init a", "init b"]
    for axes, init in zip(figure.axes, "ab", strict=True):
        assert axes.get_yscale() == "log"
        assert axes.get_xlabel() == "network.depth"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "10"]
        points = dots(axes)
        for position, depth in enumerate([1, 2, 10]):
            mine = restarts[(restarts["init"] == init) & (restarts["network.depth"] == depth)]
            kept = mine.loc[mine["status"] != "diverged", "loss"]
            near = np.abs(points[:, 0] - position) < 0.36
            np.testing.assert_array_equal(np.sort(points[near, 1]), np.sort(kept))
        assert len(points) == 54


def test_final_losses_have_a_bar_at_the_median_and_a_line_between_the_quartiles(restarts: pd.DataFrame) -> None:
    figure = final_losses(restarts, "network.depth", ["init"], "")
    bars = [line.get_xydata() for line in figure.axes[1].lines if line.get_marker() != "."]
    mine = restarts[(restarts["init"] == "b") & (restarts["network.depth"] == 2) & (restarts["status"] != "diverged")]
    quartiles = mine["loss"].quantile([0.25, 0.5, 0.75]).tolist()
    assert any(np.array_equal(bar, [[1, quartiles[0]], [1, quartiles[2]]]) for bar in bars)
    assert any(np.array_equal(bar, [[0.7, quartiles[1]], [1.3, quartiles[1]]]) for bar in bars)


def test_final_losses_say_how_many_restarts_there_were_and_how_many_are_drawn(
    restarts: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def title(frame: pd.DataFrame) -> str:
        return final_losses(frame, "network.depth", ["init"], "a study").get_suptitle()

    assert title(restarts) == "a study (n = 120, 12 diverged; every restart drawn)"
    assert title(restarts[restarts["status"] != "diverged"]) == "a study (n = 108; every restart drawn)"
    monkeypatch.setattr("basinet.plots._POINTS_MAX", 50)
    assert title(restarts) == "a study (n = 120, 12 diverged; one in 3 restarts drawn)"
    figure = final_losses(restarts, "network.depth", ["init"], "")
    assert sum(len(dots(axes)) for axes in figure.axes) == 36


def test_a_third_setting_that_varies_gets_panels_of_its_own(restarts: pd.DataFrame) -> None:
    """In one panel the restarts of different conditions would pass for one distribution."""
    frame = pd.concat([restarts, restarts.assign(descent="sgd")], ignore_index=True)
    figure = drawn(final_losses(frame, "network.depth", ["descent", "init"], ""))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == [f"descent {descent}, init {init}" for descent in ("adam", "sgd") for init in ("a", "b")]
    assert [len(dots(axes)) for axes in figure.axes if axes.get_visible()] == [54] * 4


def test_panels_are_rows_of_four_and_empty_ones_are_hidden(restarts: pd.DataFrame) -> None:
    frame = restarts.assign(seed=np.arange(120) % 6)
    figure = drawn(final_losses(frame, "network.depth", ["seed"], ""))
    assert [axes.get_visible() for axes in figure.axes] == [True] * 6 + [False] * 2
    assert [axes.get_title() for axes in figure.axes[:6]] == [f"seed {seed}" for seed in range(6)]


def test_a_setting_that_some_conditions_do_not_have_is_a_level_and_a_panel_too(restarts: pd.DataFrame) -> None:
    frame = restarts.assign(gain=np.where(restarts["init"] == "a", np.nan, 2.0))
    over = drawn(final_losses(frame, "gain", [], ""))
    assert [label.get_text() for label in over.axes[0].get_xticklabels()] == ["2.0", "-"]
    beside = drawn(final_losses(frame, "network.depth", ["gain"], ""))
    assert [axes.get_title() for axes in beside.axes] == ["gain 2.0", "gain -"]
    for figure in (over, beside):
        assert sum(len(dots(axes)) for axes in figure.axes) == 108


def test_a_condition_that_has_wholly_diverged_leaves_its_place_empty(restarts: pd.DataFrame) -> None:
    frame = restarts.assign(status=restarts["status"].where(restarts["network.depth"] != 2, "diverged"))
    figure = drawn(final_losses(frame, "network.depth", ["init"], ""))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "2", "10"]
    assert not any((np.abs(dots(axes)[:, 0] - 1) < 0.5).any() for axes in figure.axes)


def test_a_sweep_in_which_nothing_is_left_says_so(restarts: pd.DataFrame) -> None:
    figure = drawn(final_losses(restarts.assign(status="diverged"), "network.depth", ["init"], "a study"))
    assert texts(figure.axes[0]) == ["every restart diverged"]
    assert figure.get_suptitle() == "a study (n = 120, 120 diverged; every restart drawn)"


def test_a_sweep_over_hundreds_of_values_stays_within_what_can_be_drawn() -> None:
    """A raster has at most 65,535 pixels a side, at 150 to the inch; and labels must not run into each other."""
    frame = pd.DataFrame({"seed": np.arange(900), "loss": 1.0, "status": "arrived"})
    figure = drawn(final_losses(frame, "seed", [], ""))
    assert max(figure.get_size_inches()) * 150 < 65_535
    assert len(figure.axes[0].get_xticks()) <= 24
    assert len(dots(figure.axes[0])) == 900


@pytest.mark.parametrize(
    ("varied", "axes"),
    [
        ([], ("network.depth", [])),
        (["network.depth", "init"], ("network.depth", ["init"])),
        (["init", "seed"], ("init", ["seed"])),
        (["descent", "network.depth", "init"], ("network.depth", ["descent", "init"])),
    ],
)
def test_the_depth_goes_across_and_everything_else_that_varies_into_panels(
    varied: list[str], axes: tuple[str, list[str]]
) -> None:
    assert sweep_axes(varied) == axes


def test_figures_are_saved_as_png_into_a_folder_that_is_made(quantiles: pd.DataFrame, tmp_path: Path) -> None:
    paths = save({"one": loss_fan(quantiles, "1"), "two": loss_fan(quantiles, "2")}, tmp_path / "new" / "figures")
    assert paths == [tmp_path / "new" / "figures" / "one.png", tmp_path / "new" / "figures" / "two.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
