"""The distinct critical points that searches have found, and which minima each saddle connects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.pipeline.searches import Points, Searches, examined
from basinet.stages.merge import Bottoms, distinct
from basinet.stages.seek import Found
from basinet.study.study import Study

Indices = npt.NDArray[np.int64]
NO_MINIMUM = -1


@dataclass(frozen=True)
class Known:
    """The minima that restarts and their runs have reached."""

    number: Indices  # [minimum], their ids
    theta: Tensor  # [minimum, parameter]
    loss: npt.NDArray[np.float64]  # [minimum]
    signature: npt.NDArray[np.float64]  # [minimum, 2 · n]


@dataclass(frozen=True)
class CriticalPoints:
    """What all searches so far have found, beside the minima that were known."""

    minima: Points  # those that were not known, in the order of their losses
    kind: npt.NDArray[np.int8]  # [saddle], SADDLE or DEGENERATE
    index: Indices  # [saddle], directions in which f curves down; -1 of a degenerate one
    negative: Indices  # [saddle], negative eigenvalues
    saddles: Points  # in the order of index and loss
    search: Indices  # [saddle], the search whose point that is
    count: Indices  # [saddle], searches that have ended there
    sides: Indices  # [saddle, 2], places among known and new minima, NO_MINIMUM if unknown or of another index

    def counts(self, index: int | None = None) -> Indices:
        """How often each saddle was found: of one index, or of all, degenerate ones apart."""
        chosen = self.kind == Kind.SADDLE
        if index is not None:
            chosen &= self.index == index
        counts: Indices = self.count[chosen]
        return counts


def critical_points(study: Study, known: Known, blocks: Sequence[Searches]) -> CriticalPoints:
    """Critical points modulo symmetry, merged as minima are.

    Points are told apart by their index first. Degenerate ones count where f is coercive; elsewhere a flat point cannot
    be told from the way to infinity. So do points at the kink of a ReLU unit: nowhere.
    """
    found = _joined(blocks)
    tolerances = study.tolerances
    negative, unclear = found.points.modes(tolerances)
    at_rest = found.outcome.numpy() == Found.CONVERGED
    clear = at_rest & ~unclear
    kinked = found.points.kink_distance.numpy() <= tolerances.kink
    degenerate = at_rest & unclear & ~kinked & study.exact_objective.coercive

    sides = _Sides.of(study, found)
    minima, places = _new_minima(study, known, found.points, clear & (negative == 0), sides)
    groups = [
        (index, Kind.SADDLE, group)
        for index in np.unique(negative[clear & (negative > 0)]).tolist()
        for group in _groups(study, found.points, clear & (negative == index), Kind.MINIMUM)
    ]
    groups += [(-1, Kind.DEGENERATE, group) for group in _groups(study, found.points, degenerate, Kind.DEGENERATE)]
    of_row = dict(zip(sides.rows.tolist(), places.tolist(), strict=True))
    unknown = [NO_MINIMUM, NO_MINIMUM]
    first = np.array([_representative(group, of_row) for _, _, group in groups], dtype=np.int64)
    joins = [
        of_row.get(row, unknown) if index == 1 else unknown for row, (index, _, _) in zip(first, groups, strict=True)
    ]
    return CriticalPoints(
        minima=minima,
        kind=np.array([kind for _, kind, _ in groups], dtype=np.int8),
        index=np.array([index for index, _, _ in groups], dtype=np.int64),
        negative=negative[first],
        saddles=_rows(found.points, first),
        search=first + (blocks[0].searches.start if blocks else 0),
        count=np.array([len(group) for _, _, group in groups], dtype=np.int64),
        sides=np.array(joins, dtype=np.int64).reshape(-1, 2),
    )


@dataclass(frozen=True)
class _Sides:
    """Where the flow has led from saddles."""

    rows: Indices  # [saddle], searches that were followed
    bottoms: Points  # [2 · saddle], those to the left, then those to the right
    certified: npt.NDArray[np.bool_]  # [2 · saddle]: a minimum is there

    @staticmethod
    def of(study: Study, found: Searches) -> _Sides:
        rows = found.followed.nonzero().squeeze(1)
        ends = torch.cat([found.left[rows], found.right[rows]])
        there = torch.isfinite(ends).all(1)
        bottoms = examined(study, torch.where(there.unsqueeze(1), ends, 0.0))
        negative, unclear = bottoms.modes(study.tolerances)
        return _Sides(rows.numpy(), bottoms, there.numpy() & (negative == 0) & ~unclear)


def _new_minima(
    study: Study, known: Known, points: Points, is_minimum: npt.NDArray[np.bool_], sides: _Sides
) -> tuple[Points, Indices]:
    """The minima that were not known, and the place among all minima of both sides, `[saddle, 2]`."""
    direct = np.flatnonzero(is_minimum)
    candidates = _concatenated(_rows(points, direct), sides.bottoms)
    kind = np.full(len(known.number) + len(candidates.theta), int(Kind.MINIMUM), dtype=np.int8)
    kind[len(known.number) + len(direct) :][~sides.certified] = Kind.UNFINISHED
    merged = distinct(
        Bottoms(
            kind,
            np.concatenate([known.loss, candidates.loss.numpy()]),
            np.stack([*known.signature, *candidates.signature.numpy()]),
            torch.cat([known.theta, candidates.theta]),
        ),
        study.exact_objective.symmetry,
        study.tolerances,
    )
    of_known = merged.minimum[: len(known.number)]
    place_of = {int(label): place for place, label in reversed(list(enumerate(of_known)))}
    fresh = [label for label in range(len(merged.count)) if label not in place_of]
    place_of |= {label: len(known.number) + place for place, label in enumerate(fresh)}
    new = _rows(candidates, merged.representative[fresh] - len(known.number))
    labels = merged.minimum[len(known.number) + len(direct) :]
    places = np.array([place_of.get(int(label), NO_MINIMUM) for label in labels], dtype=np.int64)
    return new, places.reshape(2, -1).T


def _groups(study: Study, points: Points, chosen: npt.NDArray[np.bool_], as_kind: Kind) -> list[Indices]:
    """The rows of each distinct point among the `chosen` ones, in the order of their losses."""
    kind = np.where(chosen, as_kind, Kind.UNFINISHED).astype(np.int8)
    merged = distinct(points.bottoms(kind), study.exact_objective.symmetry, study.tolerances)
    return [np.flatnonzero(merged.minimum == label) for label in range(len(merged.count))]


def _representative(group: Indices, followed: dict[int, list[int]]) -> int:
    """The first search at a saddle from which the flow was followed, or else the first."""
    return next((row for row in group.tolist() if row in followed), int(group[0]))


def _joined(blocks: Sequence[Searches]) -> Searches:
    searches = range(blocks[0].searches.start, blocks[-1].searches.stop)
    points = [block.points for block in blocks]
    columns = {
        name: torch.cat([getattr(block, name) for block in blocks]) for name in ("outcome", "followed", "left", "right")
    }
    return Searches(searches=searches, points=_concatenated(*points), **columns)


def _concatenated(*parts: Points) -> Points:
    names = [entry.name for entry in dataclasses.fields(Points)]
    return Points(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _rows(points: Points, rows: Indices) -> Points:
    index = torch.from_numpy(np.asarray(rows, dtype=np.int64))
    return Points(**{entry.name: getattr(points, entry.name)[index] for entry in dataclasses.fields(Points)})
