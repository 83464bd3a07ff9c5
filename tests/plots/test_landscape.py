from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure

from basinet.plots import landscape

Draw = Callable[[Figure], Figure]


@pytest.fixture
def grid() -> pd.DataFrame:
    """A bowl, 0.1 + x² + y², on 21 × 11 points."""
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(-2, 6, 21), np.linspace(-1, 3, 11)))
    return pd.DataFrame({"x": x, "y": y, "loss": 0.1 + x**2 + y**2})


@pytest.fixture
def points() -> pd.DataFrame:
    """A triangle with sides 3, 4 and 5; two of its corners are copies of one minimum."""
    places = {"x": [0.0, 4, 0], "y": [0.0, 0, 3]}
    return pd.DataFrame({"minimum": [3, 0, 3], "kind": "minimum", "restart": [7, 8, 9], **places, "loss": 0.25})


@pytest.fixture
def paths() -> pd.DataFrame:
    """Two descents to the corners, and one to another bottom; the first begins 2.5 off the plane."""
    return pd.DataFrame(
        {
            "restart": [7, 7, 7, 8, 8, 2, 2],
            "minimum": [3, 3, 3, 0, 0, 5, 5],
            "step": [0, 1, 1, 0, 1, 0, 1],
            "x": [1.0, 0.5, 0, 5, 4, 1, 1],
            "y": [1.0, 0.5, 0, 1, 0, 2, 1],
            "distance": [2.5, 1.0, 0, 0, 0, 50, 0],
        }
    )


def test_the_plane_is_coloured_by_its_loss_on_a_log_scale(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame, drawn: Draw
) -> None:
    axes, bar = drawn(landscape(grid, paths, points, "a title")).axes
    (mesh,) = [part for part in axes.collections if hasattr(part, "get_coordinates")]
    np.testing.assert_array_equal(np.ravel(mesh.get_array()), grid["loss"])
    assert (mesh.norm.vmin, mesh.norm.vmax) == (grid["loss"].min(), grid["loss"].max())
    assert bar.get_ylabel() == "loss f on the plane"
    assert axes.get_title(loc="left") == "a title"
    assert (axes.get_xlim(), axes.get_ylim()) == ((-2, 6), (-1, 3))
    assert axes.get_aspect() == 1


def test_minima_are_stars_and_descents_go_from_a_ring_to_a_dot(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame
) -> None:
    axes = landscape(grid, paths, points, "").axes[0]
    stars = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "*"]
    assert stars == [[0, 0], [4, 0], [0, 3]]
    ends = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]
    assert ends == [[1, 2], [1, 1], [1, 1], [0, 0], [5, 1], [4, 0]]  # restarts 2, 7 and 8
    lines = [part for part in axes.collections if type(part) is LineCollection]
    assert [len(line.get_segments()) for line in lines] == [1, 2, 1]


def test_a_path_is_the_fainter_the_farther_it_is_from_the_plane(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame
) -> None:
    """1 - distance / longest side (5), not below 0.15; of a segment, the mean of its ends."""
    axes = landscape(grid, paths, points, "").axes[0]
    far, first, second = (part for part in axes.collections if type(part) is LineCollection)
    assert first.get_colors()[:, 3] == pytest.approx([(0.5 + 0.8) / 2, (0.8 + 1) / 2])
    assert second.get_colors()[:, 3] == pytest.approx([1])
    assert far.get_colors()[:, 3] == pytest.approx([(0.15 + 1) / 2])


def test_the_legend_counts_the_descents_and_says_how_far_off_the_plane_they_are(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame, drawn: Draw, legend: Callable[[Figure], list[str]]
) -> None:
    title, *entries = legend(drawn(landscape(grid, paths, points, "")))
    assert title.replace("\n", " ") == (
        "A path fades with its distance from the plane: 2.5 at the start (median), 50 at most. The minima are 5 apart."
    )
    assert entries == [
        "minimum 3, f = 0.25\n(n = 1 descents; 2 of its copies)",
        "minimum 0, f = 0.25\n(n = 1 descents)",
        "another bottom\n(n = 1 descents)",
        "start",
    ]


def test_where_no_descent_leaves_the_plane_the_legend_says_so(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame, legend: Callable[[Figure], list[str]]
) -> None:
    assert legend(landscape(grid, paths.assign(distance=0.0), points, ""))[0].startswith(
        "Every descent lies in the plane"
    )


def heights(figure: Figure) -> np.ndarray:
    """The numbers that are shown as shades of grey; NaN where there is none."""
    (mesh,) = [found for found in figure.axes[0].collections if isinstance(found, QuadMesh)]
    return np.ma.filled(mesh.get_array().astype(float), np.nan).ravel()


@pytest.mark.parametrize("loss", [0.0, 0.25, 1e300])
def test_a_flat_plane_can_be_drawn(
    loss: float, grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame, drawn: Draw
) -> None:
    figure = drawn(landscape(grid.assign(loss=loss), paths, points, ""))
    assert len(heights(figure)) == len(grid)
    assert len(set(heights(figure))) == 1


def test_a_loss_that_is_not_finite_leaves_a_hole(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame, drawn: Draw
) -> None:
    kept = grid["x"] < 3
    figure = drawn(landscape(grid.assign(loss=grid["loss"].where(kept)), paths, points, ""))
    assert np.isfinite(heights(figure)).sum() == kept.sum() < len(grid)


def test_it_is_small_as_a_vector_graphic(grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame) -> None:
    many = pd.concat([paths.assign(restart=paths["restart"] + 10 * copy) for copy in range(200)])
    file = io.BytesIO()
    landscape(grid, many, points, "").savefig(file, format="svg")
    assert len(file.getvalue()) < 400_000


def test_without_a_plane_a_sentence_says_so(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame, sentence: Callable[[Figure], str]
) -> None:
    nothing = grid.iloc[:0], paths.iloc[:0], points.iloc[:0]
    assert sentence(landscape(*nothing, "")) == "there is no plane through three minima"
    assert sentence(landscape(grid.assign(loss=np.nan), paths, points, "")) == "there is no plane through three minima"


def test_points_of_a_degenerate_set_are_no_stars_and_not_called_minima(
    grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame
) -> None:
    figure = landscape(grid, paths, points.assign(minimum=3, kind="degenerate"), "")
    assert [line.get_marker() for line in figure.axes[0].lines if line.get_marker() in "*D"] == ["D"] * 3
    (legend,) = figure.legends
    first = legend.get_texts()[0].get_text()
    assert first.startswith("degenerate 3, f = 0.25")
    assert "3 points of the set" in first
