from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from basinet.plots import fans, loss_fan

FLOOR = 1e-20


def test_a_fan_shows_the_quantiles_over_the_steps_on_log_axes(
    quantiles: pd.DataFrame, drawn: Callable[[Figure], Figure]
) -> None:
    (axes,) = drawn(loss_fan(quantiles, "a title")).axes
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_title(loc="left")) == ("log", "log", "a title")
    (median,) = axes.lines
    np.testing.assert_array_equal(median.get_xdata(), [0.7, 1, 10, 100])  # the start, left of step 1
    np.testing.assert_array_equal(median.get_ydata(), quantiles["loss_median"])
    assert [band.get_label() for band in axes.collections] == ["all", "5-95 %", "25-75 %"]
    for band, low, high in zip(axes.collections, ("min", "q05", "q25"), ("max", "q95", "q75"), strict=True):
        heights = set(band.get_paths()[0].vertices[:, 1])
        expected = set(np.maximum(quantiles[f"loss_{low}"], FLOOR)) | set(quantiles[f"loss_{high}"])
        assert heights == expected


def test_a_fan_says_how_many_restarts_there_were_and_how_many_diverged(
    quantiles: pd.DataFrame, legend: Callable[[Figure], list[str]]
) -> None:
    expected = ["n = 30, 2 diverged", "all", "5-95 %", "25-75 %", "median"]
    assert legend(loss_fan(quantiles, "")) == expected


def test_a_fan_of_the_starts_alone_shows_a_point(quantiles: pd.DataFrame, drawn: Callable[[Figure], Figure]) -> None:
    (axes,) = drawn(loss_fan(quantiles.iloc[:1], "")).axes
    (median,) = axes.lines
    assert median.get_marker() == "o"


def test_a_fan_in_which_nothing_is_left_says_so(quantiles: pd.DataFrame, sentence: Callable[[Figure], str]) -> None:
    lost = quantiles.assign(restarts=0, **{name: np.nan for name in quantiles if name.startswith("loss_")})
    assert sentence(loss_fan(lost, "")) == "every restart diverged"
    assert sentence(loss_fan(quantiles.iloc[:0], "")) == "no steps were recorded"


def test_a_fan_that_falls_to_zero_ends_at_the_floor(quantiles: pd.DataFrame, drawn: Callable[[Figure], Figure]) -> None:
    (axes,) = drawn(loss_fan(quantiles.assign(loss_median=[1.0, 0.1, 0.0, 0.0]), "")).axes
    assert axes.lines[0].get_ydata().tolist() == [1.0, 0.1, FLOOR, FLOOR]


def test_there_is_a_fan_for_every_kind_in_its_colour_with_the_number_of_its_restarts(
    curves: pd.DataFrame,
    restarts: pd.DataFrame,
    drawn: Callable[[Figure], Figure],
    legend: Callable[[Figure], list[str]],
) -> None:
    figure = drawn(fans(curves, restarts, "kind", "a title"))
    (axes,) = figure.axes
    assert legend(figure) == [
        "restarts by kind: median,\n25-75 %, 5-95 %",
        "minimum (n = 60)",
        "at infinity (n = 48)",
        "diverged (n = 12)",
    ]
    assert [to_hex(line.get_color()) for line in axes.lines] == ["#0072b2", "#009e73", "#000000"]
    for line, kind in zip(axes.lines, ("minimum", "at_infinity", "diverged"), strict=True):
        mine = curves[curves["restart"].isin(restarts.loc[restarts["kind"] == kind, "restart"])]
        medians = mine.groupby("step")["loss"].median()
        np.testing.assert_array_equal(line.get_xdata(), medians.index.to_series().clip(lower=0.7))
        np.testing.assert_allclose(line.get_ydata(), medians, rtol=1e-6)  # float32
    assert len(axes.collections) == 6  # two bands each


def test_of_many_minima_the_commonest_six_have_fans_of_their_own(
    curves: pd.DataFrame, restarts: pd.DataFrame, legend: Callable[[Figure], list[str]]
) -> None:
    """Nine minima of 15, 14, … restarts; the rest of the restarts reached none."""
    sizes = [15, 14, 13, 12, 11, 10, 9, 8, 7]
    minimum = np.full(120, -1)
    minimum[: sum(sizes)] = np.repeat(np.arange(9), sizes)
    figure = fans(curves, restarts.assign(minimum=minimum, loss=0.25 + minimum), "minimum", "")
    own = [f"minimum {number}, f = {number + 0.25:.3g} (n = {size})" for number, size in enumerate(sizes[:6])]
    assert legend(figure) == ["restarts by minimum: median,\n25-75 %", *own, "others (n = 24)", "no minimum (n = 21)"]
    colours = [to_hex(line.get_color()) for line in figure.axes[0].lines]
    assert len(set(colours)) == 8
    assert colours[6] == "#555555"


def test_minima_of_one_loss_have_one_colour_and_are_dashed_differently(
    curves: pd.DataFrame, restarts: pd.DataFrame
) -> None:
    figure = fans(curves, restarts.assign(minimum=np.arange(120) % 2, loss=0.25), "minimum", "")
    lines = figure.axes[0].lines
    assert len({to_hex(line.get_color()) for line in lines}) == 1
    assert len({line.get_linestyle() for line in lines}) == 2


def test_a_fan_ends_where_hardly_a_restart_is_left(curves: pd.DataFrame, restarts: pd.DataFrame) -> None:
    """One restart of 20 goes on to step 100: its losses are not those of the fan."""
    some = restarts.iloc[:20].assign(kind="minimum")
    kept = curves[(curves["restart"] < 20) & ((curves["step"] < 100) | (curves["restart"] == 0))]
    (line,) = fans(kept, some, "kind", "").axes[0].lines
    assert line.get_xdata().tolist() == [0.7, 1, 10]


@pytest.mark.parametrize("by", ["kind", "minimum"])
def test_without_curves_a_fan_says_so(restarts: pd.DataFrame, by: str, sentence: Callable[[Figure], str]) -> None:
    nothing = pd.DataFrame({"restart": [], "step": [], "loss": []})
    assert sentence(fans(nothing, restarts, by, "a title")) == "no curves were kept"
    assert sentence(fans(nothing.assign(restart=[]), restarts.iloc[:0], by, "")) == "no curves were kept"
