"""Where searches for saddles begin: beside minima, between them, and anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose, normal, uniform
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.seek import ANY

_NUMBERS = 10  # uniform ones for each search
_SHORTEST, _LONGEST = 1e-2, 1.0  # of pushes from a minimum, relative to 1 + ‖θ‖
_SOFT = 3  # eigenvectors of a minimum, from the softest on, along which searches are pushed
_POINTS = 20  # on the way from one minimum to another
_SPREAD = 2.0  # random points: normal, with deviations up to so many times that of the minima's parameters
_HIGHEST = 8  # the highest index that is followed; others are found by Levenberg and Marquardt's method


@dataclass(frozen=True)
class Departures:
    """One row per search."""

    theta: Tensor  # [search, parameter]
    index: Tensor  # [search] int64: what is sought from there, see `seek`


def departures(f: Derivatives, known: Tensor, seed: int, searches: range, indices: Literal[1, "all"]) -> Departures:
    """Where searches begin; each depends on (seed, its number, the known points) alone.

    Five of eight at a random point: most of the rare saddles are found from there. The others by turns beside a known
    point along one of its softest eigenvectors, beside one in a random direction, and at the highest point of the
    straight line between two, or two copies of one. From all of them a saddle of index 1 is sought, with
    `indices="all"` by turns also one of a higher index, and any critical point.

    Args:
        f: the objective.
        known: minima, and perhaps saddles, `[point, parameter]`; there may be none.
        seed: of the study.
        searches: their numbers.
        indices: 1 or all.
    """
    require(len(searches) > 0, "there are no searches")
    draws = torch.from_numpy(uniform(seed, searches, _NUMBERS, Purpose.SEARCHES))
    steps = torch.from_numpy(normal(seed, searches, f.objective.size, Purpose.DIRECTIONS))
    number = torch.from_numpy(np.arange(searches.start, searches.stop))
    theta = _random(known, draws, steps)
    if len(known) > 0:
        for turn, place in enumerate((_beside_softly, _beside, _between)):
            rows = (number % 8 == 2 * turn).nonzero().squeeze(1)
            if len(rows) > 0:
                theta = theta.index_copy(0, rows, place(f, known, draws[rows], steps[rows]))
    return Departures(theta, _wanted(number, draws, indices, f.objective.size))


def _wanted(number: Tensor, draws: Tensor, indices: Literal[1, "all"], size: int) -> Tensor:
    one = torch.ones_like(number)
    if indices == 1:
        return one
    turn, highest = number // 8 % 4, min(size, _HIGHEST)
    higher = (1 - draws[:, 0].log2().floor()).long().clamp(max=highest)  # each half as often as the one below
    return torch.where(turn == 1, higher, torch.where(turn == 3, ANY, one))


def _random(known: Tensor, draws: Tensor, steps: Tensor) -> Tensor:
    size = float(known.square().mean().sqrt()) if len(known) > 0 else 0.0
    return steps * (_SPREAD * (size if size > 0 else 1.0)) * draws[:, 1:2]


def _beside_softly(f: Derivatives, known: Tensor, draws: Tensor, steps: Tensor) -> Tensor:
    chosen = _chosen(known, draws[:, 2])
    _, vectors = f.eigenvectors(chosen)
    soft = (draws[:, 3] * min(_SOFT, known.shape[1])).long()
    direction = vectors.gather(2, soft[:, None, None].expand(-1, known.shape[1], 1)).squeeze(2)
    return _pushed(chosen, direction * torch.where(draws[:, 4:5] < 0.5, -1.0, 1.0), draws)


def _beside(f: Derivatives, known: Tensor, draws: Tensor, steps: Tensor) -> Tensor:
    return _pushed(_chosen(known, draws[:, 2]), steps / norm(steps).unsqueeze(1), draws)


def _between(f: Derivatives, known: Tensor, draws: Tensor, steps: Tensor) -> Tensor:
    one, other = _chosen(known, draws[:, 2]), _chosen(known, draws[:, 3])
    symmetry = f.objective.symmetry
    copy, one = symmetry.near_copy(symmetry.canonical(other), draws[:, 5:]), symmetry.canonical(one)
    share = torch.linspace(0, 1, _POINTS + 2, dtype=torch.float64)[1:-1]
    way = one.unsqueeze(1) + share[None, :, None] * (copy - one).unsqueeze(1)  # [search, point, parameter]
    loss = f.loss_and_gradient(way.flatten(0, 1))[0].view(len(one), _POINTS)
    highest = loss.argmax(1)[:, None, None].expand(-1, 1, way.shape[2])
    nowhere = norm(copy - one) <= _SHORTEST  # there is but one, without copies
    beside = _beside(f, known, draws, steps)
    return torch.where(nowhere.unsqueeze(1), beside, way.gather(1, highest).squeeze(1))


def _chosen(known: Tensor, draws: Tensor) -> Tensor:
    return known[(draws * len(known)).long()]


def _pushed(theta: Tensor, direction: Tensor, draws: Tensor) -> Tensor:
    length = _SHORTEST * (_LONGEST / _SHORTEST) ** draws[:, 1]
    return theta + direction * (length * (1 + norm(theta))).unsqueeze(1)
