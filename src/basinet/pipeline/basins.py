"""Basins of attraction: which minimum of a condition the gradient flow leads to from a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.pipeline.searches import Points, examined
from basinet.stages.derivatives import Derivatives
from basinet.stages.merge import Bottoms, distinct
from basinet.stages.near import near
from basinet.stages.trace import bottoms_below
from basinet.study.study import Study

Indices = npt.NDArray[np.int64]

NOWHERE = -1
"""The label of a point from which the flow has led to no bottom."""

_TOGETHER = 4096  # points that are followed at once
_KINDS = {kind.name.lower(): kind for kind in (Kind.MINIMUM, Kind.DEGENERATE)}


@dataclass(frozen=True)
class Bottom:
    """A point that the flow leads to; of a minimum there may be several, which a symmetry of the network relates."""

    minimum: int  # the id of the table of minima; those that are not in it are numbered on
    copy: int  # 0, 1, … in the order in which they were met; always 0 where copies are no isolated points
    kind: str  # minimum or degenerate
    theta: Tensor  # [parameter]
    loss: float


class Basins:
    """Says of points which bottom the gradient flow leads to, and keeps the bottoms that it has met.

    Bottoms are told apart and identified with those of a table as restarts are (`distinct`). Isolated copies of one
    minimum have labels of their own; a bottom that is a set of points, such as all that a rescaling between layers
    makes equal, has one.
    """

    def __init__(self, study: Study, minima: pd.DataFrame) -> None:
        """Start from the bottoms of a table of minima, of the kinds that a flow can end at."""
        self._study = study
        self._derivatives = Derivatives(study.exact_objective, study.exact_engine)
        self.bottoms: list[Bottom] = []
        self._continuous: list[bool] = []  # whether a bottom is a set of points
        known = minima[minima["kind"].astype(str).isin(_KINDS).to_numpy()]
        self._next = int(minima["minimum"].max()) + 1 if len(minima) else 0
        if len(known):
            theta = torch.from_numpy(np.stack([np.asarray(row, dtype=np.float64) for row in known["parameters"]]))
            points = self._examined(theta)
            kinds = np.array([_KINDS[str(kind)] for kind in known["kind"]], dtype=np.int8)
            for row, number in enumerate(known["minimum"].to_numpy(np.int64).tolist()):
                self._enter(points, row, number, Kind(int(kinds[row])))

    def labels(self, theta: Tensor) -> Indices:
        """The place in `bottoms` that the flow leads to from each `theta [point, parameter]`, `NOWHERE` if none."""
        parts = [self._labels(part) for part in theta.split(_TOGETHER)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def _labels(self, theta: Tensor) -> Indices:
        ends, _, rests = bottoms_below(self._derivatives, theta, self._study.tolerances)
        result = np.full(len(theta), NOWHERE, dtype=np.int64)
        arrived = np.flatnonzero(rests.numpy())
        if len(arrived):
            places = near(ends.numpy()[arrived], self._study.tolerances.same_parameters)
            _, first = np.unique(places, return_index=True)
            result[arrived] = self._places(ends[torch.from_numpy(arrived[first])])[places]
        return result

    def _places(self, theta: Tensor) -> Indices:
        """The place in `bottoms` of each of a few distinct ends of flows, which are entered where they are new."""
        points = self._examined(theta)
        kinds = self._kinds(points)
        minima = self._minima(points, kinds)
        return np.array(
            [
                self._place(points, row, int(minima[row]), Kind(int(kinds[row]))) if minima[row] >= 0 else NOWHERE
                for row in range(len(theta))
            ],
            dtype=np.int64,
        )

    def _kinds(self, points: Points) -> npt.NDArray[np.int8]:
        negative, unclear = points.modes(self._study.tolerances)
        rests = np.where(unclear, Kind.DEGENERATE, Kind.MINIMUM)
        return np.where(negative == 0, rests, Kind.UNFINISHED).astype(np.int8)

    def _minima(self, points: Points, kinds: npt.NDArray[np.int8]) -> Indices:
        """The id of each end's minimum, -1 where it rests at none."""
        before = len(self.bottoms)
        known = self._examined(torch.stack([bottom.theta for bottom in self.bottoms])) if before else None
        every = [points] if known is None else [known, points]
        merged = distinct(
            Bottoms(
                np.concatenate([np.array([_KINDS[b.kind] for b in self.bottoms], dtype=np.int8), kinds]),
                np.concatenate([part.loss.numpy() for part in every]),
                np.concatenate([part.signature.numpy() for part in every]),
                torch.cat([part.theta for part in every]),
            ),
            self._study.exact_objective.symmetry,
            self._study.tolerances,
        ).minimum
        number = {int(merged[place]): bottom.minimum for place, bottom in reversed(list(enumerate(self.bottoms)))}
        result = np.full(len(kinds), -1, dtype=np.int64)
        for row, group in enumerate(merged[before:].tolist()):
            if group >= 0:
                if group not in number:
                    number[group], self._next = self._next, self._next + 1
                result[row] = number[group]
        return result

    def _place(self, points: Points, row: int, minimum: int, kind: Kind) -> int:
        """The place of a bottom among those that were met: of the same minimum, and where it is a point, the same."""
        theta = points.theta[row]
        reach = self._study.tolerances.same_parameters * (1 + float(torch.linalg.vector_norm(theta)))
        for place, bottom in enumerate(self.bottoms):
            same = bottom.minimum == minimum
            if same and (self._continuous[place] or float((bottom.theta - theta).abs().max()) <= reach):
                return place
        return self._enter(points, row, minimum, kind)

    def _enter(self, points: Points, row: int, minimum: int, kind: Kind) -> int:
        copy = sum(bottom.minimum == minimum for bottom in self.bottoms)
        theta, loss = points.theta[row].clone(), float(points.loss[row])
        self.bottoms.append(Bottom(minimum, copy, kind.name.lower(), theta, loss))
        self._continuous.append(kind == Kind.DEGENERATE or int(points.explained_zero_modes[row]) > 0)
        return len(self.bottoms) - 1

    def _examined(self, theta: Tensor) -> Points:
        return examined(self._study, theta)
