"""Searches for saddles: what one block of them leaves, which no other block has to be known for but by its minima."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.foundation.threads import single_threaded_operations
from basinet.pipeline.solve import examined_together
from basinet.stages.departures import Departures, departures
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.landscape import Saddles
from basinet.stages.merge import Bottoms, distinct
from basinet.stages.modes import count_modes
from basinet.stages.seek import Found, Sought, seek
from basinet.stages.tolerances import Tolerances
from basinet.stages.trace import bottoms_beside
from basinet.study.study import Study

_FARTHEST = 100.0  # relative to 1 + ‖θ‖: whoever gets so far from its start is on its way to infinity


@dataclass(frozen=True)
class Points:
    """Critical points with what is known of them; tensors are on the CPU, float64 unless said otherwise."""

    theta: Tensor  # [point, parameter]
    loss: Tensor  # [point]
    gradient_norm: Tensor  # [point]
    eigenvalues: Tensor  # [point, parameter] of the Hessian, ascending
    explained_zero_modes: Tensor  # [point] int64
    kink_distance: Tensor  # [point]
    signature: Tensor  # [point, 2 · n]

    def modes(self, tolerances: Tolerances) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """How many eigenvalues are negative, and whether a point is degenerate or at a kink, `[point]` each."""
        zeros, negative = count_modes(self.eigenvalues.numpy(), tolerances)
        flat = zeros > self.explained_zero_modes.numpy()
        return negative, flat | (self.kink_distance.numpy() <= tolerances.kink)

    def bottoms(self, kind: npt.NDArray[np.int8]) -> Bottoms:
        """As `distinct` wants them."""
        return Bottoms(kind, self.loss.numpy(), self.signature.numpy(), self.theta)


@dataclass(frozen=True)
class Searches:
    """Everything known about a contiguous range of searches."""

    searches: range
    outcome: Tensor  # [search] int8, a `Found`
    points: Points  # where they have ended
    followed: Tensor  # [search] bool: the first ones at each saddle of index 1, from which the flow was followed …
    left: Tensor  # [search, parameter], to this bottom on one side, NaN if it found none,
    right: Tensor  # [search, parameter], and to this one on the other


def search(study: Study, settings: Saddles, known: Tensor, searches: range) -> Searches:
    """Seek saddles from points that are `known [point, parameter]`, and follow the flow down from those that are found.

    A search depends on the study, its number and the known points, not on the others.
    """
    f = Derivatives(study.exact_objective, study.exact_engine)
    with single_threaded_operations():
        begun = departures(f, known, study.seed, searches, settings.indices)
        return search_from(study, settings, begun, searches)


def search_from(study: Study, settings: Saddles, begun: Departures, searches: range) -> Searches:
    """Seek saddles from given points; `searches` are their numbers."""
    f = Derivatives(study.exact_objective, study.exact_engine)
    with single_threaded_operations():
        pieces = zip(begun.theta.split(together := examined_together(study)), begun.index.split(together), strict=True)
        parts = [_sought(f, theta, index, settings, study.tolerances) for theta, index in pieces]
        sought = Sought(*(torch.cat(column) for column in zip(*parts, strict=True)))
        points = examined(study, sought.theta, sought.loss, norm(sought.gradient))
        return _with_sides(f, study, searches, sought.outcome, points)


def examined(study: Study, theta: Tensor, loss: Tensor | None = None, slope: Tensor | None = None) -> Points:
    """What is known of critical points at `theta [point, parameter]`."""
    f = Derivatives(study.exact_objective, study.exact_engine)
    if loss is None or slope is None:
        loss, gradient = f.loss_and_gradient(theta)
        slope = norm(gradient)
    spectra = [f.engine.eigenvalues(f.objective, part) for part in theta.split(examined_together(study))]
    symmetry = f.objective.symmetry
    zeros, kink = symmetry.explained_zeros(theta), f.objective.kink_distance(theta)
    return Points(theta, loss, slope, torch.cat(spectra), zeros, kink, f.objective.signature(theta))


def _sought(f: Derivatives, theta: Tensor, index: Tensor, settings: Saddles, tolerances: Tolerances) -> Sought:
    return seek(f, theta, index, _FARTHEST * (1 + norm(theta)), settings.steps, tolerances)


def _with_sides(f: Derivatives, study: Study, searches: range, outcome: Tensor, points: Points) -> Searches:
    """… and where the flow leads from the first search at each saddle of index 1."""
    negative, unclear = points.modes(study.tolerances)
    is_saddle = (outcome.numpy() == Found.CONVERGED) & (negative == 1) & ~unclear
    kind = np.where(is_saddle, Kind.MINIMUM, Kind.UNFINISHED).astype(np.int8)  # merged as minima are
    first = distinct(points.bottoms(kind), f.objective.symmetry, study.tolerances).representative
    rows = torch.from_numpy(np.sort(first))
    followed = torch.zeros_like(outcome, dtype=torch.bool)
    left, right = torch.full_like(points.theta, torch.nan), torch.full_like(points.theta, torch.nan)
    if len(rows) > 0:
        followed[rows] = True
        sides = bottoms_beside(f, points.theta[rows], study.tolerances)
        for column, side in zip((left, right), sides, strict=True):
            column[rows] = torch.where(side.found.unsqueeze(1), side.theta, torch.nan)
    return Searches(searches, outcome, points, followed, left, right)
