"""A picture of the loss: the plane through three minima, and the descents projected on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from basinet.analysis import plot_data
from basinet.foundation.errors import require
from basinet.stages.descend import descend
from basinet.study.study import Study
from basinet.tracking.results import Results

_Floats = npt.NDArray[np.float64]
_CANDIDATES = 40  # restarts of each minimum that may become a corner
_ENTRIES = 2e6  # of the arrays in which corners are compared
_APART = 1e-3  # corners that are nearer to each other, or to a line, relative to 1 + ‖θ‖, are not corners
_ON_PLANE = 1e-3  # an end that is so near to the plane, in sides of the triangle, is on it
_REACH = 2.0  # how far beyond the corners the grid may go, in sides of the triangle
_THIN = 1e-8  # a triangle's height, as a share of its longest side, below which it has no plane


@dataclass(frozen=True)
class View:
    """How much of the plane is computed."""

    resolution: int = 151  # points of the grid along each side
    records: int = 400  # points of a path, at log-spaced steps
    others: int = 12  # descents beside those of the corners: they end on the plane too, and start nearest to it
    margin: float = 0.08  # of the grid around what is shown, as a share of its size

    def __post_init__(self) -> None:
        require(self.resolution >= 2, f"resolution={self.resolution}: must be at least 2")
        require(self.records >= 1, f"records={self.records}: must be at least 1")
        require(self.others >= 0, f"others={self.others}: must be 0 or more")
        require(self.margin >= 0, f"margin={self.margin:g}: must be 0 or more")


@dataclass(frozen=True)
class Landscape:
    """The loss on a plane, and what happens near it; x and y are distances in the space of parameters."""

    grid: pd.DataFrame  # x y loss, one row per point of the grid, x running fastest
    paths: pd.DataFrame  # restart minimum step x y distance (from the plane), one row per restart and point of its path
    points: pd.DataFrame  # minimum kind restart x y loss, one row per corner


@dataclass(frozen=True)
class Plane:
    """The points origin + x u + y v, where u and v are orthonormal."""

    origin: _Floats  # [parameter]
    basis: _Floats  # [2, parameter]: u and v

    def project(self, theta: _Floats) -> tuple[_Floats, _Floats]:
        """Coordinates `[point, 2]` of `theta [point, parameter]`, and the distances from the plane `[point]`."""
        offset = theta - self.origin
        places = offset @ self.basis.T
        return places, np.linalg.norm(offset - places @ self.basis, axis=1)

    def at(self, places: _Floats) -> _Floats:
        """Parameters `[point, parameter]` at the coordinates `[point, 2]`."""
        theta: _Floats = self.origin + places @ self.basis
        return theta


def plane_through(corners: _Floats) -> Plane:
    """The plane through three points `[3, parameter]`: the first is its origin, the second lies on its first axis.

        u = (p₁ - p₀) / ‖p₁ - p₀‖        v ∝ (p₂ - p₀) - ((p₂ - p₀) · u) u

    Source: Garipov et al. (2018), *Loss surfaces, mode connectivity, and fast ensembling of DNNs*, for planes of
    three minima.

    Raises:
        ConfigError: if the points lie on one line.
    """
    first, second = corners[1] - corners[0], corners[2] - corners[0]
    longest = max(np.linalg.norm(first), np.linalg.norm(second))
    u = first / max(np.linalg.norm(first), np.finfo(np.float64).tiny)
    v = second - (second @ u) * u
    v -= (v @ u) * u  # what rounding has left
    height = min(np.linalg.norm(first), np.linalg.norm(v))
    require(bool(height > _THIN * longest), "the three points lie on one line, through which there is no one plane")
    return Plane(corners[0], np.stack([u, v / np.linalg.norm(v)]))


def landscape(
    study: Study,
    restarts: pd.DataFrame,
    parameters: Mapping[str, npt.NDArray[np.floating]],
    corners: Sequence[int] | None = None,
    view: View = View(),
) -> Landscape:
    """The loss on the plane through the ends of three restarts, and the descents that end on it.

    A minimum has many copies, which a symmetry of the network relates; the plane goes through those that the three
    restarts ended in. The descents are followed again from their starts, and end at the polished points.

    Args:
        study: the condition.
        restarts: its table of restarts.
        parameters: `initial` and `final`, `[restart, parameter]` each.
        corners: three restarts; those of `nearest_corners` if None.
        view: how much of the plane is computed.

    Raises:
        ConfigError: if there are no three bottoms, or the three points lie on one line.
    """
    start, end = (np.asarray(parameters[name], dtype=np.float64) for name in ("initial", "final"))
    chosen = nearest_corners(restarts, parameters) if corners is None else list(corners)
    require(len(set(chosen)) == 3, f"a plane goes through three restarts, not {chosen}")
    plane = plane_through(end[chosen])
    followed = [*chosen, *_near(plane, restarts, start, end, chosen, view.others)]
    paths = _paths(study, plane, followed, parameters, view.records)
    paths.insert(1, "minimum", restarts["minimum"].to_numpy()[paths["restart"].to_numpy(np.int64)])
    places, _ = plane.project(end[chosen])
    points = pd.DataFrame({name: restarts[name].to_numpy()[chosen] for name in ("minimum", "kind")})
    points = points.assign(restart=chosen)
    points = points.assign(x=places[:, 0], y=places[:, 1], loss=_loss(study, end[chosen]))
    return Landscape(_grid(study, plane, _window(places, paths), view), paths, points)


def landscape_of_run(
    run_id: str,
    *,
    corners: Sequence[int] | None = None,
    view: View = View(),
    tracking_uri: str | None = None,
) -> Landscape:
    """The landscape of a condition that is in a store; arguments and errors as for `landscape`."""
    results = Results.open(run_id, tracking_uri)
    return landscape(results.study(), results.restarts, results.parameters(), corners, view)


def nearest_corners(
    restarts: pd.DataFrame,
    parameters: Mapping[str, npt.NDArray[np.floating]],
    minima: Sequence[int] | None = None,
) -> list[int]:
    """Three restarts that ended in three bottoms, such that the plane through their ends shows most of their descents.

    Of up to 40 restarts of each bottom, the three whose starts are nearest to the plane: the smallest sum of squared
    distances, as a share of the squared distances to the ends' centre.

    Args:
        restarts: the table of restarts of one condition.
        parameters: `initial` and `final`, `[restart, parameter]` each.
        minima: the three bottoms; the commonest of the kind `minimum`, and then of the other kinds, if None. The same
            one again stands for another copy of it, which is what is taken where there are fewer than three.

    Raises:
        ConfigError: if no restart ended in them, or there is no plane through their ends.
    """
    chosen = _commonest_bottoms(restarts) if minima is None else list(minima)
    ended = restarts["minimum"].to_numpy()
    reached = len(chosen) == 3 and bool(np.isin(chosen, ended[ended >= 0]).all())
    require(reached, f"a plane goes through three bottoms that restarts have reached, not {chosen or 'none'}")
    start, end = parameters["initial"], parameters["final"]
    most = int(np.clip((_ENTRIES / start.shape[1]) ** (1 / 3), 1, _CANDIDATES))
    candidates = [np.flatnonzero(ended == minimum)[:most] for minimum in chosen]
    triples = np.stack(np.meshgrid(*candidates, indexing="ij"), axis=-1).reshape(-1, 3)
    off = _share_off_plane(start[triples].astype(np.float64), end[triples].astype(np.float64))
    require(bool(np.isfinite(off).any()), f"the restarts that ended in {chosen} all ended on one line")
    best: list[int] = triples[int(np.argmin(off))].tolist()
    return best


def _commonest_bottoms(restarts: pd.DataFrame) -> list[int]:
    minima = restarts[(restarts["kind"] == "minimum").to_numpy()]
    others = restarts[(restarts["kind"] != "minimum").to_numpy()]
    found = [*plot_data.commonest(minima, "minimum", 3), *plot_data.commonest(others, "minimum", 3)][:3]
    return (3 * found)[:3]


def _share_off_plane(start: _Floats, end: _Floats) -> _Floats:
    """How much of the starts is off the planes through the ends, `[triple]`; both are `[triple, 3, parameter]`."""
    first, second = end[:, 1] - end[:, 0], end[:, 2] - end[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):  # where ends lie on one line, which is sorted out below
        side = np.linalg.norm(first, axis=-1, keepdims=True)
        u = first / side
        v = second - (second * u).sum(-1, keepdims=True) * u
        height = np.linalg.norm(v, axis=-1, keepdims=True)
        v /= height
        offset = start - end.mean(1, keepdims=True)
        inside = ((offset * u[:, None]).sum(-1) ** 2 + (offset * v[:, None]).sum(-1) ** 2).sum(1)
        off = 1 - inside / (offset**2).sum((1, 2))
    apart = np.minimum(side, height)[:, 0] > _APART * (1 + np.linalg.norm(end.mean(1), axis=1))
    return np.where(apart & np.isfinite(off), off, np.inf)


def _near(
    plane: Plane, restarts: pd.DataFrame, start: _Floats, end: _Floats, corners: list[int], most: int
) -> list[int]:
    """Further restarts that ended on the plane: those whose starts are nearest to it, the first of equals."""
    size = np.ptp(plane.project(end[corners])[0], axis=0).max()
    landed = (restarts["minimum"] >= 0).to_numpy() & (plane.project(end)[1] <= _ON_PLANE * size)
    landed[corners] = False
    distance = np.round(plane.project(start)[1] / size, 9)  # so that rounding decides nothing
    order = np.argsort(distance, kind="stable")
    nearest: list[int] = order[landed[order]][:most].tolist()
    return nearest


def _paths(
    study: Study, plane: Plane, followed: list[int], parameters: Mapping[str, npt.NDArray[np.floating]], records: int
) -> pd.DataFrame:
    descent: Any = study.descent
    finer = replace(descent, budget=replace(descent.budget, records=records))
    theta = torch.from_numpy(parameters["initial"][followed]).to(study.device, study.dtype)
    parts = [
        _row(plane, followed, state.steps.cpu().numpy(), state.theta.double().cpu().numpy())
        for state in descend(study.objective, finer, study.engine, theta)
    ]
    walked = pd.concat(parts).drop_duplicates(["restart", "step"])  # an arrived restart stays where it is
    last = walked.groupby("restart")["step"].max()[followed].to_numpy()
    polished = _row(plane, followed, last, parameters["final"][followed].astype(np.float64))
    both = pd.concat([walked, polished]).sort_values(["restart", "step"], kind="stable", ignore_index=True)
    finite: pd.DataFrame = both.loc[np.isfinite(both["distance"].to_numpy())]
    return finite.reset_index(drop=True)


def _row(plane: Plane, followed: list[int], steps: npt.NDArray[np.int64], theta: _Floats) -> pd.DataFrame:
    places, distance = plane.project(theta)
    return pd.DataFrame(
        {"restart": followed, "step": steps, "x": places[:, 0], "y": places[:, 1], "distance": distance}
    )


def _window(corners: _Floats, paths: pd.DataFrame) -> tuple[_Floats, _Floats]:
    """The lower left and the upper right of what is shown.

    All paths that never leave the plane, and of the others what is not far from the corners `[3, 2]`: they start where
    the plane says nothing of their loss.
    """
    places = np.concatenate([corners, paths[["x", "y"]].to_numpy(np.float64)])
    size = np.ptp(corners, axis=0).max()
    low = np.maximum(places.min(0), corners.min(0) - _REACH * size)
    high = np.minimum(places.max(0), corners.max(0) + _REACH * size)
    farthest = paths.groupby("restart")["distance"].transform("max").to_numpy()
    inside = places[3:][farthest <= _ON_PLANE * size]
    return np.minimum(low, inside.min(0, initial=np.inf)), np.maximum(high, inside.max(0, initial=-np.inf))


def _grid(study: Study, plane: Plane, window: tuple[_Floats, _Floats], view: View) -> pd.DataFrame:
    low, high = window
    wider = view.margin * (high - low).max()
    x, y = np.linspace(low - wider, high + wider, view.resolution).T
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "loss": _loss(study, plane.at(places))})


def _loss(study: Study, theta: _Floats) -> _Floats:
    """f `[point]` at `theta [point, parameter]`; NaN where it is not finite."""
    loss = study.exact_objective.loss(torch.from_numpy(np.ascontiguousarray(theta))).numpy()
    return np.where(np.isfinite(loss), loss, np.nan)
