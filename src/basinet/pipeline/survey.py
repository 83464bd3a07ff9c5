"""What all restarts of a study have to say together, block by block: which bottoms there are, and who is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from basinet.foundation.outcomes import Kind
from basinet.foundation.rows import rows, stacked
from basinet.pipeline import tables
from basinet.pipeline.blocks import Block, Visited
from basinet.stages.certify import classify
from basinet.stages.merge import Bottoms, Merging, Minima
from basinet.stages.near import Indices
from basinet.stages.orbits import orbits
from basinet.study.study import Study

_BESIDE = 1 << 60  # the number of the first row that only runs have visited: they stand behind all restarts
_TICKETS = (np.int8, np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class Verdicts:
    """At which of the distinct bottoms the rows of a block are: -1 for none."""

    minimum: Indices  # [restart]
    beside: Indices  # [bottom], of those that runs have visited


@dataclass(frozen=True)
class Survey:
    """What needs all restarts; it is as large as there are bottoms, and one or two bytes for each restart."""

    restarts: int
    found: Minima  # the distinct bottoms
    representatives: Visited  # [minimum], a row that reached each
    reached: Indices  # [minimum], by how many restarts; those that only runs have visited are not counted
    orbit: Indices  # [minimum], modulo the symmetries of the problem
    tickets: tuple[_Tickets, ...]  # of each block

    @property
    def minima(self) -> int:
        """How many of the bottoms are minima."""
        return int((self.found.kind == Kind.MINIMUM).sum())

    @property
    def at_minima(self) -> int:
        """How many restarts have ended at one of those."""
        return int(self.reached[self.found.kind == Kind.MINIMUM].sum())

    def verdicts(self, place: int) -> Verdicts:
        """Those of a block, by its place among the blocks."""
        mine = self.tickets[place]
        return Verdicts(mine.named(mine.restarts, self.found), mine.named(mine.beside, self.found))


@dataclass(frozen=True)
class _Tickets:
    """Which bottom each row of a block is at, as `Merging` says it, in as few bytes as it takes."""

    first: int
    restarts: npt.NDArray[np.integer]  # [restart], from `first` on; -1 for none
    beside: npt.NDArray[np.integer]  # [bottom]

    @staticmethod
    def of(tickets: Indices, restarts: int) -> _Tickets:
        first = int(tickets.min(initial=np.iinfo(np.int64).max, where=tickets >= 0))
        own = np.where(tickets >= 0, tickets - first, -1)
        size = next(kind for kind in _TICKETS if own.max(initial=0) <= np.iinfo(kind).max)
        small: npt.NDArray[np.integer] = own.astype(size)
        return _Tickets(first, small[:restarts], small[restarts:])

    def named(self, own: npt.NDArray[np.integer], found: Minima) -> Indices:
        there = own >= 0
        named = np.full(len(own), -1, dtype=np.int64)
        named[there] = found.minimum[self.first + own[there].astype(np.int64)]
        return named


def survey(study: Study, blocks: Iterable[Block]) -> Survey:
    """Look at every block once, and keep what is needed of it.

    Ids, order and counts do not depend on how restarts are divided into blocks (`Merging`).
    """
    merging = Merging(study.exact_objective.symmetry, study.tolerances)
    kept: tuple[Indices, Visited] | None = None  # rows of which all representatives are some, and their numbers
    tickets, restarts, beside = [], 0, _BESIDE
    for block in blocks:
        parts = tables.examined([block])
        seen = _as_visited(parts[0]) if len(parts) == 1 else stacked([_as_visited(part) for part in parts])
        count = len(seen.restart)
        own = len(block.restarts)
        number = np.concatenate([np.arange(restarts, restarts + own), np.arange(beside, beside + count - own)])
        restarts, beside = restarts + own, beside + count - own
        kind = classify(tables.evidence_arrays(parts), study.tolerances)
        tickets.append(_Tickets.of(merging.add(_bottoms(seen, kind), number), own))
        kept = _still_needed(kept, number, seen, merging.firsts)
    if kept is None:
        raise ValueError("a study has at least one block")
    found = merging.minima()
    numbers, candidates = kept
    place = np.searchsorted(numbers, found.representative)
    representatives = rows(candidates, torch.from_numpy(place))
    orbit = orbits(_bottoms(representatives, found.kind), study.exact_objective, study.tolerances)
    reached = np.zeros(len(found.count), dtype=np.int64)
    for mine in tickets:
        named = mine.named(mine.restarts, found)
        reached += np.bincount(named[named >= 0], minlength=len(reached))
    return Survey(restarts, found, representatives, reached, orbit, tuple(tickets))


def _as_visited(part: tables.Examined) -> Visited:
    """Rows of a block as what is known of bottoms, each being that of its own restart."""
    if isinstance(part, Visited):
        return part
    restart = torch.arange(part.restarts.start, part.restarts.stop, device=part.polished.loss.device)
    return Visited(restart, torch.zeros_like(restart), part.polished, part.evidence, part.signature, part.loss_original)


def _bottoms(seen: Visited, kind: npt.NDArray[np.int8]) -> Bottoms:
    return Bottoms(kind, seen.polished.loss.numpy(), seen.signature.numpy(), seen.polished.theta)


def _still_needed(
    kept: tuple[Indices, Visited] | None, number: Indices, seen: Visited, firsts: Indices
) -> tuple[Indices, Visited]:
    """Of what was kept and of new rows those that may be representatives, in the order of their numbers."""
    new = np.flatnonzero(np.isin(number, firsts))
    numbers, known = number[new], rows(seen, torch.from_numpy(new))
    if kept is None:
        return numbers, known
    numbers = np.concatenate([kept[0], numbers])
    order = np.argsort(numbers, kind="stable")
    order = order[np.isin(numbers[order], firsts)]
    return numbers[order], rows(stacked([kept[1], known]), torch.from_numpy(order))
