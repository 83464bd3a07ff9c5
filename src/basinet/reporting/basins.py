"""Basins of attraction as a map: over one or two parameters, or on the plane through three minima."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from basinet.analysis import bottoms as ranking
from basinet.foundation.errors import require, unknown
from basinet.mlp.names import parameter_names, written
from basinet.pipeline.basins import NOWHERE, Basins
from basinet.pipeline.sharpening import sharpened
from basinet.reporting.plane import Plane, nearest_corners, plane_through
from basinet.stages.derivatives import Derivatives
from basinet.stages.trace import trace
from basinet.study.study import Study

_Floats = npt.NDArray[np.float64]
_ON_MAP = 1e-6  # relative to 1 + ‖θ‖: what is so near to the plane of a map lies on it
_ROUNDING = 1e-9  # places that differ by no more, relative to 1 + |x|, are one: a bias of 0 becomes 1e-17
_MARGIN = 0.25  # around the minima and most of the starts, as a share of their extent
_INNER = (0.05, 0.95)  # quantiles of the starts between which they count for what is shown
_LINE = 8  # a map over one parameter has so many times more pixels along it


@dataclass(frozen=True)
class Extent:
    """How much is shown, and how finely."""

    x: tuple[float, float] | None = None  # None: what holds the minima and most of the starts
    y: tuple[float, float] | None = None
    resolution: int = 201  # pixels along each side
    flows: int = 30  # starts whose flow is drawn
    times: int = 80  # points of each, at times that are the same for all

    def __post_init__(self) -> None:
        require(8 <= self.resolution <= 4000, f"resolution={self.resolution}: must be between 8 and 4,000 pixels")
        require(self.flows >= 0, f"flows={self.flows}: must be 0 or more")
        require(self.times >= 2, f"times={self.times}: must be at least 2")
        for name in ("x", "y"):
            ends = getattr(self, name)
            told = f"{name}={ends}: must be two finite numbers, the lower one first"
            require(ends is None or -np.inf < ends[0] < ends[1] < np.inf, told)


@dataclass(frozen=True)
class Section:
    """A line or a plane in the space of parameters: origin + x u (+ y v), and what its axes are called."""

    plane: Plane
    names: tuple[str, ...]  # one or two
    through: _Floats  # [point, parameter]: what has to be seen on it

    @property
    def shows_parameters(self) -> bool:
        """Whether its coordinates are parameters, of which starts have some wherever they lie."""
        return bool(np.isin(self.plane.basis, (0.0, 1.0)).all())


@dataclass(frozen=True)
class BasinMap:
    """Where the gradient flow leads to; on a line there is no y, and `y` is 0."""

    names: tuple[str, ...]  # of the axes
    pixels: pd.DataFrame  # x y minimum copy loss followed, one row per pixel, x running fastest
    minima: pd.DataFrame  # minimum copy kind loss rank x y distance share parameters, one row per bottom and copy
    paths: pd.DataFrame  # restart start minimum copy time x y loss distance, one row per start and point of its flow


def over_axes(study: Study, axes: Sequence[str], through: _Floats) -> Section:
    """The line or plane on which one or two parameters vary, and the others are those of a point `[parameter]`.

    Raises:
        ConfigError: if there is no such parameter, or there are not one or two different ones.
    """
    names = names_of(study)
    indices = [_index(axis.strip(), names) for axis in axes]
    told = f"axes={','.join(axes)}: must be one or two different parameters, such as {','.join(names[:2])}"
    require(len(set(indices)) == len(indices) in (1, 2), told)
    origin = np.array(through, dtype=np.float64)
    origin[indices] = 0.0  # so that coordinates are the parameters themselves
    plane = Plane(origin, np.eye(len(names))[indices])
    return Section(plane, tuple(written(names[index]) for index in indices), np.array(through)[None])


def names_of(study: Study) -> list[str]:
    """What the entries of θ are called; of a function that is no network, theta1, theta2, …"""
    network = study.network
    if study.exact_objective.whole(torch.zeros(1, network.size, dtype=torch.float64)) is None:
        return [f"theta{place + 1}" for place in range(network.size)]
    return parameter_names(network)


def _index(axis: str, names: list[str]) -> int:
    if axis in names:
        return names.index(axis)
    if not axis.isdigit():
        raise unknown("parameter", axis, names)
    require(int(axis) < len(names), f"parameter {axis}: there are {len(names):,}, counted from 0")
    return int(axis)


def through_minima(
    restarts: pd.DataFrame, parameters: Mapping[str, npt.NDArray[np.floating]], minima: Sequence[int]
) -> Section:
    """The plane through the ends of three restarts that ended in three minima; errors as for `nearest_corners`."""
    corners = nearest_corners(restarts, parameters, minima)
    ends = parameters["final"][corners].astype(np.float64)
    return Section(plane_through(ends), ("distance along the plane", "distance across"), ends)


def basin_map(
    study: Study, section: Section, minima: pd.DataFrame, starts: _Floats, rank: pd.Series, extent: Extent = Extent()
) -> BasinMap:
    """Which minimum the gradient flow θ' = -∇f(θ) leads to from every pixel of a line or plane.

    Only pixels near a border are followed, the others have the label of their neighbours (`sharpened`). The flow leaves
    a plane unless the network has no other parameters; what is told of a pixel is where it ends.

    Args:
        study: the condition.
        section: the line or plane.
        minima: its table of minima, whose ids are those of the map; others that are met are numbered on.
        starts: θ `[restart, parameter]`, of which those on the map are followed; if none is, a lattice of pixels is.
        rank: of each minimum in the table by its loss, which decides the colour (`analysis.bottoms.rank_of`).
        extent: how much is shown.
    """
    basins = Basins(study, minima)
    basins.labels(torch.from_numpy(section.through))  # copies that the table does not have
    x, y = _pixels(section, basins, starts, extent)
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)

    def label(wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return basins.labels(torch.from_numpy(_at(section, np.stack([x[wanted[:, 1]], y[wanted[:, 0]]], axis=1))))

    labels, followed = sharpened(label, len(y), len(x))
    paths = _paths(study, section, basins, _chosen(section, starts, places, (x, y), extent), extent.times)
    loss = study.exact_objective.loss(torch.from_numpy(_at(section, places))).numpy()
    pixels = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], **_named(basins, labels.ravel())})
    pixels = pixels.assign(loss=np.where(np.isfinite(loss), loss, np.nan), followed=followed.ravel())
    return BasinMap(section.names, pixels, _table(section, basins, pixels, rank), paths)


def map_of(
    study: Study,
    tables: Mapping[str, pd.DataFrame],
    parameters: Mapping[str, npt.NDArray[np.floating]],
    section: Section | None = None,
    extent: Extent = Extent(),
) -> BasinMap:
    """The map of a condition, whose tables `restarts` and `minima` and parameters `initial` and `final` these are.

    The section is over its first parameters, one or two, through its lowest minimum, unless another one is given.
    """
    restarts, minima = tables["restarts"], tables["minima"]
    if section is None:
        section = over_axes(study, names_of(study)[:2], lowest(minima))
    starts = np.asarray(parameters["initial"], dtype=np.float64)
    return basin_map(study, section, minima, starts, ranking.rank_of(restarts), extent)


def lowest(minima: pd.DataFrame) -> _Floats:
    """The parameters of the lowest bottom."""
    require(len(minima) > 0, "no restart has ended at a bottom, so that there are no basins to be told apart")
    return np.asarray(minima["parameters"].iloc[0], dtype=np.float64)


def _at(section: Section, places: _Floats) -> _Floats:
    """θ `[point, parameter]` at coordinates `[point, 2]`."""
    return np.ascontiguousarray(section.plane.at(places[:, : len(section.names)]))


def _project(section: Section, theta: _Floats) -> tuple[_Floats, _Floats]:
    """Coordinates `[point, 2]`, and distances from the section relative to 1 + ‖θ‖, `[point]`."""
    places, distance = section.plane.project(theta)
    flat = np.zeros((len(theta), 2))
    flat[:, : places.shape[1]] = places
    return flat, distance / (1 + np.linalg.norm(theta, axis=1))


def _pixels(section: Section, basins: Basins, starts: _Floats, extent: Extent) -> tuple[_Floats, _Floats]:
    """The coordinates of the pixels along both axes."""
    every = np.stack([bottom.theta.numpy() for bottom in basins.bottoms]) if basins.bottoms else starts[:0]
    bottoms, distance = _project(section, every)
    begun, _ = _project(section, starts)
    inner = np.quantile(begun, _INNER, axis=0) if len(begun) else begun
    through, _ = _project(section, section.through)
    shown = np.concatenate([bottoms[distance <= _ON_MAP], through, *([inner] if section.shows_parameters else [])])
    ends: list[tuple[float, float]] = []
    for axis, asked in enumerate((extent.x, extent.y)):
        low, high = float(shown[:, axis].min()), float(shown[:, axis].max())
        level = high - low <= _ROUNDING * (1 + abs(low) + abs(high))
        wider = 1.0 if level else _MARGIN * (high - low)
        ends.append((low - wider, high + wider) if asked is None else asked)
    if len(section.names) == 1:
        return np.linspace(ends[0][0], ends[0][1], _LINE * extent.resolution), np.zeros(1)
    x, y = (np.linspace(low, high, extent.resolution) for low, high in ends)
    return x, y


def _chosen(
    section: Section, starts: _Floats, places: _Floats, axes: tuple[_Floats, _Floats], extent: Extent
) -> tuple[npt.NDArray[np.int64], _Floats]:
    """The restarts whose starts lie on the map, and these; pixels of a lattice, and -1, where there is none."""
    begun, distance = _project(section, starts)
    inside = distance <= _ON_MAP
    for axis, pixels in enumerate(axes[: len(section.names)]):
        inside &= (begun[:, axis] >= pixels[0]) & (begun[:, axis] <= pixels[-1])
    chosen = np.flatnonzero(inside)[: extent.flows]
    if len(chosen):
        return chosen, starts[chosen]
    side = max(int(extent.flows ** (1 / len(section.names))), 1) if extent.flows else 0
    between = [np.linspace(pixels[0], pixels[-1], 2 * side + 1)[1::2] for pixels in axes[: len(section.names)]]
    lattice = np.stack(np.meshgrid(*between, indexing="ij"), axis=-1).reshape(-1, len(section.names))
    return np.full(len(lattice), -1), _at(section, lattice)


def _paths(
    study: Study, section: Section, basins: Basins, chosen: tuple[npt.NDArray[np.int64], _Floats], times: int
) -> pd.DataFrame:
    """The flow from each start, at times that are the same for all: dense where flows take many steps."""
    restarts, starts = chosen
    columns = ["restart", "start", "minimum", "copy", "time", "x", "y", "loss", "distance"]
    if len(starts) == 0:
        return pd.DataFrame(columns=columns)
    theta = torch.from_numpy(np.ascontiguousarray(starts))
    f = Derivatives(study.exact_objective, study.exact_engine)
    states = [(state.time.numpy().copy(), state.theta.numpy().copy()) for state in _timed(f, theta, study)]
    clock, ways = (np.stack(part) for part in zip(*states, strict=True))  # [state, start], [state, start, parameter]
    labels = basins.labels(theta)
    marks = np.quantile(np.concatenate([[0.0], clock[clock > 0]]), np.linspace(0, 1, times))  # dense where it turns
    parts = []
    for number in range(len(starts)):
        way = _at_times(clock[:, number], ways[:, number], marks)
        places, distance = _project(section, way)
        loss = study.exact_objective.loss(torch.from_numpy(way)).numpy()
        about = {name: value[0] for name, value in _named(basins, labels[number : number + 1]).items()}
        part = {"time": marks, "x": places[:, 0], "y": places[:, 1], "loss": loss, "distance": distance}
        parts.append(pd.DataFrame({"restart": restarts[number], "start": number, **about, **part}))
    return pd.concat(parts, ignore_index=True)[columns]


def _timed(f: Derivatives, theta: torch.Tensor, study: Study) -> Any:
    return (state for state in trace(f, theta, study.tolerances, every=1) if state.time is not None)


def _at_times(clock: _Floats, way: _Floats, marks: _Floats) -> _Floats:
    """A flow `[state, parameter]` at other times `[mark]`; it rests where it has got to.

    A flow that went on beside a saddle begins anew there, and its clock, too: that is drawn up to the saddle.
    """
    until = int(np.argmax(np.diff(clock) < 0)) + 1 if (np.diff(clock) < 0).any() else len(clock)
    clock, first = np.unique(clock[:until], return_index=True)
    columns = way[:until][first].T
    return np.ascontiguousarray(np.stack([np.interp(marks, clock, column) for column in columns], axis=1))


def _named(basins: Basins, labels: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    """Minimum and copy of each label; -1 and 0 of those that have led nowhere."""
    minimum = np.array([*(bottom.minimum for bottom in basins.bottoms), NOWHERE], dtype=np.int64)
    copy = np.array([*(bottom.copy for bottom in basins.bottoms), 0], dtype=np.int64)
    return {"minimum": minimum[labels], "copy": copy[labels]}  # NOWHERE is the last


def _table(section: Section, basins: Basins, pixels: pd.DataFrame, rank: pd.Series) -> pd.DataFrame:
    theta = np.stack([bottom.theta.numpy() for bottom in basins.bottoms]) if basins.bottoms else np.zeros((0, 1))
    columns = ["minimum", "copy", "kind", "loss", "rank", "x", "y", "distance", "share", "parameters"]
    if len(theta) == 0:
        return pd.DataFrame(columns=columns)
    places, distance = _project(section, theta)
    shares = pixels.groupby(["minimum", "copy"]).size() / len(pixels)
    rows = [
        {"minimum": b.minimum, "copy": b.copy, "kind": b.kind, "loss": b.loss, "parameters": b.theta.tolist()}
        for b in basins.bottoms
    ]
    table = pd.DataFrame(rows).assign(x=places[:, 0], y=places[:, 1], distance=distance)
    keys = list(zip(table["minimum"], table["copy"], strict=True))
    table["share"] = [float(shares.get(key, 0.0)) for key in keys]
    table["rank"] = [int(rank.get(minimum, -1)) for minimum in table["minimum"]]
    return table[columns]
