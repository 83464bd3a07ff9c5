"""Which restarts have reached the same bottom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.protocols import Symmetry
from basinet.stages.tolerances import Tolerances

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bottoms:
    """Where restarts have got to, one row each; those that are no minimum, degenerate or at infinity are at none."""

    kind: npt.NDArray[np.int8]  # [restart], a `Kind`
    loss: Array  # [restart]
    signature: Array  # [restart, 2 · n], see `Objective.signature`
    theta: Tensor  # [restart, parameter]


@dataclass(frozen=True)
class Minima:
    """The bottoms of a set of restarts, in the order of their losses."""

    minimum: Indices  # [restart], which bottom; -1 for none
    representative: Indices  # [minimum], a restart: the first of those that reached it
    kind: npt.NDArray[np.int8]  # [minimum], a `Kind`
    count: Indices  # [minimum], restarts that reached it
    diameter: Array  # [minimum], farthest a member is from the representative in loss and signature


def distinct(bottoms: Bottoms, symmetry: Symmetry, tolerances: Tolerances) -> Minima:
    """The distinct bottoms among restarts, merged where a symmetry of the objective makes them equal.

    Minima are merged in two steps: near in loss and in signature (invariant under every symmetry, and cheap), then
    confirmed on the parameters by their canonical forms and, where those differ, by an assignment of units. So two
    minima that only a symmetry of the *data* relates, with the same loss to the last digit, stay two. Degenerate
    bottoms and those at infinity are sets, every restart stops somewhere else on them: they are merged by kind, loss
    and the answers to the samples.

    The cost is nearly linear in the restarts: sorting, and one assignment per distinct canonical form.

    Args:
        bottoms: of the restarts.
        symmetry: of the objective.
        tolerances: how near copies have to be.
    """
    kind = bottoms.kind
    everywhere = np.column_stack([bottoms.loss, bottoms.signature])
    on_samples = everywhere[:, : 1 + bottoms.signature.shape[1] // 2]
    candidates = _partition(np.flatnonzero(kind == Kind.MINIMUM), everywhere, tolerances.same_function)
    groups = [
        copies
        for group in candidates
        for copies in _confirmed(group, bottoms.theta, symmetry, tolerances.same_parameters)
    ]
    for which in (Kind.DEGENERATE, Kind.AT_INFINITY):
        groups.extend(_partition(np.flatnonzero(kind == which), on_samples, tolerances.same_level))
    groups.sort(key=lambda group: (bottoms.loss[group].min(), group[0]))
    return _assembled(groups, kind, everywhere, on_samples)


def near(values: Array, tolerance: float) -> Indices:
    """Labels `[row]` of rows that are the same up to `tolerance` · (1 + |x|) in every column.

    Rows are cut apart where a sorted column has a gap, column after column, until nothing more comes apart: single
    linkage in each column, in O(rows · log rows) where all pairs would be too many.

    >>> near(np.array([[0.0, 5.0], [1e-9, 7.0], [0.0, 5.0]]), 1e-6).tolist()
    [0, 1, 0]
    """
    labels = np.zeros(len(values), dtype=np.int64)
    if len(values) == 0:
        return labels
    while True:
        before = labels.max()
        for column in values.T:
            order = np.lexsort((column, labels))
            ordered = column[order]
            gap = np.diff(ordered) > tolerance * (1 + np.abs(ordered[1:]))
            apart = np.concatenate([[False], gap | (np.diff(labels[order]) > 0)])
            labels[order] = np.cumsum(apart)
        if labels.max() == before:
            return labels


def _partition(rows: Indices, values: Array, tolerance: float) -> list[Indices]:
    """`rows` in groups that are near in their `values`, each ascending."""
    if len(rows) == 0:
        return []
    labels = near(values[rows], tolerance)
    order = np.argsort(labels, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(labels[order])) + 1)


def _confirmed(group: Indices, theta: Tensor, symmetry: Symmetry, tolerance: float) -> list[Indices]:
    """A group of restarts with the same function, split where the parameters are not copies of each other."""
    if symmetry.by_function or len(group) == 1:
        return [group]
    canonical = symmetry.canonical(theta[torch.from_numpy(group)]).numpy()
    reach = 1 + float(np.linalg.norm(canonical[0]))
    labels = near(canonical, tolerance)
    merged: list[list[Indices]] = []
    for form in (group[labels == label] for label in range(labels.max() + 1)):
        for family in merged:
            first, other = theta[family[0][0]], theta[form[0]]
            if symmetry.distance(first, other) <= tolerance * reach:
                family.append(form)
                break
        else:
            merged.append([form])
    return [np.sort(np.concatenate(family)) for family in merged]


def _assembled(groups: list[Indices], kind: npt.NDArray[np.int8], everywhere: Array, on_samples: Array) -> Minima:
    minimum = np.full(len(kind), -1, dtype=np.int64)
    diameter = np.zeros(len(groups))
    for index, group in enumerate(groups):
        minimum[group] = index
        compared = everywhere if kind[group[0]] == Kind.MINIMUM else on_samples
        diameter[index] = np.abs(compared[group] - compared[group[0]]).max()
    first = np.array([group[0] for group in groups], dtype=np.int64)
    count = np.array([len(group) for group in groups], dtype=np.int64)
    return Minima(minimum, first, kind[first], count, diameter)
