from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import basinet
from basinet import Findings, Study
from basinet.foundation.errors import ConfigError
from basinet.reporting.plane import View, landscape, landscape_of_run, nearest_corners, plane_through

SMALL = View(resolution=9, records=30, others=3)
XOR = {
    "problem": "xor",
    "network": {"width": 2},
    "init": {"name": "normal", "std": 2.0},
    "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
    "descent": {"name": "nesterov", "learning_rate": 0.5, "momentum": 0.95, "steps": 2000, "tolerance": 1e-7},
    "restarts": 80,
}
NEURON = {
    "problem": {"name": "neuron", "dimension": 2},
    "network": {"depth": 1, "bias": False},
    "init": {"name": "uniform", "bound": 20.0},
    "descent": {"learning_rate": 80.0, "steps": 3000},
    "restarts": 60,
}


@pytest.fixture(scope="module")
def xor() -> Findings:
    """Some ten minima in nine dimensions."""
    return basinet.run(Study.from_config(XOR))


@pytest.fixture(scope="module")
def neuron() -> Findings:
    """Four minima in the plane."""
    return basinet.run(Study.from_config(NEURON))


def off_plane(point: np.ndarray, corners: np.ndarray) -> float:
    """The distance of a point from the plane through three, by least squares."""
    sides = (corners[1:] - corners[0]).T
    best, *_ = np.linalg.lstsq(sides, point - corners[0], rcond=None)
    return float(np.linalg.norm(point - corners[0] - sides @ best))


def test_the_plane_goes_through_its_points_and_keeps_their_distances() -> None:
    for size in (2, 3, 30):
        corners = np.random.default_rng(size).normal(size=(3, size))
        plane = plane_through(corners)
        places, distance = plane.project(corners)
        np.testing.assert_allclose(distance, 0, atol=1e-14)
        for one, other in itertools.combinations(range(3), 2):
            assert np.linalg.norm(places[one] - places[other]) == pytest.approx(
                np.linalg.norm(corners[one] - corners[other])
            )
        np.testing.assert_allclose(plane.at(places), corners, atol=1e-14)
        np.testing.assert_array_equal(places[0], 0)
        assert places[1, 1] == pytest.approx(0, abs=1e-14)  # on the first axis


def test_a_point_is_as_far_from_the_plane_as_least_squares_say() -> None:
    random = np.random.default_rng(0)
    corners, points = random.normal(size=(3, 7)), random.normal(size=(5, 7))
    _, distance = plane_through(corners).project(points)
    np.testing.assert_allclose(distance, [off_plane(point, corners) for point in points], rtol=1e-12)


def test_the_plane_is_exact_for_a_triangle_as_thin_as_a_needle() -> None:
    """Gram and Schmidt's vectors lose their right angle to rounding; here the height is 1e-6 of the length."""
    corners = np.zeros((3, 5))
    corners[1] = [1, 2, 3, 4, 5]
    corners[2] = corners[1] / 3 + 1e-6 * np.array([5, -4, 3, -2, 1])
    basis = plane_through(corners).basis
    np.testing.assert_allclose(basis @ basis.T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize(
    "corners", [[[0, 0, 0], [1, 1, 1], [3, 3, 3]], [[0, 0, 0], [0, 0, 0], [1, 2, 3]], [[1, 2, 3]] * 3]
)
def test_points_on_one_line_are_refused(corners: list[list[float]]) -> None:
    with pytest.raises(ConfigError, match="lie on one line"):
        plane_through(np.array(corners, dtype=np.float64))


def test_of_a_quadratic_bowl_the_grid_is_its_formula() -> None:
    """A linear neuron: f = mean of ½ (w · x + b - y)², summed up here sample by sample."""
    settings = {
        "problem": {"name": "parity", "bits": 3},
        "network": {"depth": 1, "output": "identity"},
        "descent": {"steps": 0},
        "polish": "none",
        "restarts": 3,
    }
    found = basinet.run(Study.from_config(settings))
    view = landscape(found.study, found.restarts, found.parameters, corners=[0, 1, 2], view=SMALL)
    corners = np.asarray(found.parameters["final"], dtype=np.float64)
    u = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    v = corners[2] - corners[0] - (corners[2] - corners[0]) @ u * u
    v /= np.linalg.norm(v)
    assert len(view.grid) == 81
    samples = list(zip(found.study.problem.inputs.T.tolist(), found.study.problem.targets[0].tolist(), strict=True))
    for x, y, loss in view.grid.itertuples(index=False):
        *weight, bias = corners[0] + x * u + y * v
        errors = [sum(w * value for w, value in zip(weight, inputs, strict=True)) + bias - y for inputs, y in samples]
        assert loss == pytest.approx(sum(error**2 for error in errors) / (2 * len(samples)), rel=1e-12)


def test_at_the_corners_the_loss_is_that_of_the_minima(xor: Findings) -> None:
    view = landscape(xor.study, xor.restarts, xor.parameters, view=SMALL)
    assert view.points["minimum"].nunique() == 3
    listed = xor.minima.set_index("minimum")["loss"]
    for _, point in view.points.iterrows():
        assert point["loss"] == pytest.approx(listed[point["minimum"]], rel=1e-9)  # two restarts in one minimum
        assert point["loss"] == pytest.approx(xor.restarts["loss"][point["restart"]], rel=1e-13)
        assert xor.restarts["minimum"][point["restart"]] == point["minimum"]


def test_the_grid_contains_the_corners_and_is_a_regular_one(xor: Findings) -> None:
    view = landscape(xor.study, xor.restarts, xor.parameters, view=SMALL)
    x, y = view.grid["x"].unique(), view.grid["y"].unique()
    assert (len(x), len(y), len(view.grid)) == (9, 9, 81)
    np.testing.assert_allclose(np.diff(x), np.diff(x)[0])
    assert x.min() < view.points["x"].min() < view.points["x"].max() < x.max()
    assert y.min() < view.points["y"].min() < view.points["y"].max() < y.max()
    assert view.grid["x"].tolist() == x.tolist() * 9


def test_a_path_begins_at_its_start_and_ends_at_its_minimum(xor: Findings) -> None:
    view = landscape(xor.study, xor.restarts, xor.parameters, view=SMALL)
    start, end = xor.parameters["initial"], xor.parameters["final"]
    corners = end[view.points["restart"]]
    for restart, path in view.paths.groupby("restart"):
        assert path["step"].is_monotonic_increasing
        assert (path["step"].iloc[0], path["step"].iloc[-1]) == (0, xor.restarts["steps"][restart])
        assert path["distance"].iloc[0] == pytest.approx(off_plane(start[restart], corners))
        assert path["distance"].iloc[-1] == pytest.approx(off_plane(end[restart], corners), abs=1e-9)
        assert set(path["minimum"]) == {xor.restarts["minimum"][restart]}
    for _, point in view.points.iterrows():
        last = view.paths[view.paths["restart"] == point["restart"]].iloc[-1]
        np.testing.assert_allclose(last[["x", "y"]].astype(float), point[["x", "y"]].astype(float), atol=1e-12)


def test_on_its_way_a_path_is_where_gradient_descent_by_autograd_goes(
    autograd_risk: Callable[..., Tensor], xor: Findings
) -> None:
    settings = {**XOR, "descent": {"learning_rate": 2.0, "steps": 12, "records": 12}, "restarts": 5}
    found = basinet.run(Study.from_config(settings))
    view = landscape(found.study, found.restarts, found.parameters, corners=[0, 2, 4], view=SMALL)
    corners = found.parameters["final"][[0, 2, 4]]
    inputs, targets = found.study.problem.inputs, found.study.problem.targets
    for restart in (0, 2, 4):
        theta = torch.from_numpy(found.parameters["initial"][restart].copy())
        path = view.paths[view.paths["restart"] == restart].set_index("step")
        for step in range(12):
            distance = path["distance"].loc[[step]].iloc[0]
            assert distance == pytest.approx(off_plane(theta.numpy(), corners), rel=1e-9)
            theta.requires_grad_(True)
            risk = autograd_risk(theta, [2, 2, 1], ["logistic"] * 2, inputs, targets, penalties=(1e-3, 1e-3))
            (gradient,) = torch.autograd.grad(risk, theta)
            theta = (theta - 2.0 * gradient).detach()


def test_in_two_dimensions_the_plane_is_the_whole_space_and_every_descent_lies_in_it(neuron: Findings) -> None:
    view = landscape(neuron.study, neuron.restarts, neuron.parameters, view=SMALL)
    assert view.paths["distance"].max() < 1e-12
    followed = view.paths["restart"].unique()
    assert len(followed) == 3 + 3
    others = sorted(set(followed) - set(view.points["restart"]))
    assert others == [restart for restart in range(60) if restart not in set(view.points["restart"])][:3]


def test_descents_that_do_not_end_on_the_plane_are_not_shown(xor: Findings) -> None:
    """An end off the plane would be drawn where no minimum is."""
    view = landscape(xor.study, xor.restarts, xor.parameters, view=View(resolution=5, records=5, others=1000))
    corners = xor.parameters["final"][view.points["restart"]]
    reached = xor.restarts.index[xor.restarts["minimum"] >= 0]
    on = {restart for restart in reached if off_plane(xor.parameters["final"][restart], corners) < 1e-3}
    assert set(view.paths["restart"]) == on
    assert len(on) > 3


def test_the_corners_are_the_restarts_whose_starts_are_nearest_to_the_plane_of_their_ends(xor: Findings) -> None:
    """By trying all triples of restarts that ended in three given minima, and least squares."""
    some, minima = xor.restarts.iloc[:40], [0, 1, 2]
    start, end = xor.parameters["initial"], xor.parameters["final"]
    shares = {}
    for triple in itertools.product(*(some.index[some["minimum"] == minimum] for minimum in minima)):
        corners = end[list(triple)]
        away = [start[restart] - corners.mean(0) for restart in triple]
        off = sum(off_plane(start[restart], corners) ** 2 for restart in triple)
        shares[triple] = off / sum(float(offset @ offset) for offset in away)
    assert len(shares) > 20
    assert tuple(nearest_corners(some, xor.parameters, minima)) == min(shares, key=lambda triple: shares[triple])


def test_the_corners_are_in_the_commonest_minima(xor: Findings) -> None:
    counts = xor.restarts.loc[xor.restarts["kind"] == "minimum", "minimum"].value_counts()
    chosen = xor.restarts["minimum"][nearest_corners(xor.restarts, xor.parameters)]
    assert counts[chosen].tolist() == sorted(counts, reverse=True)[:3]


def test_with_fewer_than_three_minima_copies_of_them_are_taken(xor: Findings) -> None:
    two = xor.restarts.assign(minimum=xor.restarts["minimum"].where(xor.restarts["minimum"] < 2, -1))
    corners = nearest_corners(two, xor.parameters)
    ids = two["minimum"][corners].tolist()
    assert sorted(set(ids)) == [0, 1]
    ends = xor.parameters["final"][corners]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(ends, 2)) > 1e-3


def test_where_there_is_no_plane_the_error_says_why(xor: Findings) -> None:
    def refused(restarts: pd.DataFrame, message: str, **more: list[int]) -> None:
        with pytest.raises(ConfigError, match=message):
            landscape(xor.study, restarts, xor.parameters, view=SMALL, **more)

    nothing = xor.restarts.assign(minimum=-1)
    refused(nothing, "a plane goes through three bottoms that restarts have reached, not none")
    refused(xor.restarts, r"a plane goes through three restarts, not \[4, 4, 5\]", corners=[4, 4, 5])
    alone = nothing.assign(minimum=np.where(np.arange(80) == 7, 0, -1))
    refused(alone, "all ended on one line")
    with pytest.raises(ConfigError, match=r"restarts have reached, not \[0, 1, 99\]"):
        nearest_corners(xor.restarts, xor.parameters, minima=[0, 1, 99])


@pytest.mark.parametrize("setting", [{"resolution": 1}, {"records": 0}, {"others": -1}, {"margin": -0.1}])
def test_a_view_that_makes_no_sense_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        View(**setting)  # type: ignore[arg-type]


def test_the_landscape_of_a_stored_run_is_that_of_its_findings(sweeps: Callable[[str], Any], tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    line = "problem=neuron problem.dimension=2 network.depth=1 network.bias=false init=uniform init.bound=20"
    more = "descent.learning_rate=80 descent.steps=3000 restarts=60 tracking.figures=none"
    assert sweeps(f"{line} {more}").code == 0
    (run_id,) = basinet.load_runs("basinet", tracking_uri=uri)["run_id"]
    stored = landscape_of_run(run_id, view=SMALL, tracking_uri=uri)
    found = basinet.run(Study.from_config(NEURON))
    expected = landscape(found.study, found.restarts, found.parameters, view=SMALL)
    for name in ("grid", "paths", "points"):
        pd.testing.assert_frame_equal(getattr(stored, name), getattr(expected, name))


def test_descents_that_never_leave_the_plane_are_shown_from_their_starts_on() -> None:
    """With two weights everything lies in one plane: nothing is far from it, however near its corners are."""
    found = basinet.run(
        Study.from_config(
            {
                "problem": {"name": "chain", "inputs": [1.0], "targets": [0.5]},
                "network": {"depth": 2, "bias": False, "activation": "logistic", "output": "identity"},
                "init": {"name": "normal", "std": 3.0},
                "descent": {"learning_rate": 0.1, "steps": 3000},
                "restarts": 40,
            }
        )
    )
    view = landscape(found.study, found.restarts, found.parameters, view=View(resolution=9, records=30, others=40))
    starts = view.paths.groupby("restart")[["x", "y"]].first()
    assert len(starts) > 20
    for axis in ("x", "y"):
        assert view.grid[axis].min() <= starts[axis].min() <= starts[axis].max() <= view.grid[axis].max()
    assert "minimum" not in set(view.points["kind"].astype(str))  # w₂ σ(w₁) = ½ is a curve
