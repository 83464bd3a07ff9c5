"""Which of very many visited bottoms are worth to be certified: one of each kind that can be told apart cheaply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.protocols import Engine, Objective

_SAME = 1e-4  # of loss and signature, relative to 1 + |x|: what descended, not polished points of a bottom agree to
_MULTIPLIER, _SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(33)
MOST = 10_000
"""Bottoms of a block of runs that are kept to be certified; later ones stay without a name."""


@dataclass(frozen=True)
class Found:
    """The bottoms that a block of runs has visited, one row each: of those that look alike, the first visited."""

    theta: Tensor  # [bottom, parameter] float64, where the descent ended
    restart: Tensor  # [bottom] int64, of the run that was there
    round: Tensor  # [bottom] int64


class Catalogue:
    """The distinct bottoms among visits, as they come in.

    Two visits are one bottom if they agree in loss and in the answers to the samples and to other inputs
    (`Objective.signature`), which every symmetry of f leaves as they are. Where a bottom falls between two cells, it is
    kept twice, and merging finds that out when all are certified. What is kept does not depend on the order in which
    visits come in, as long as they are no more than `MOST`.
    """

    def __init__(self, objective: Objective, engine: Engine) -> None:
        self._objective, self._engine = objective, engine
        self._cells: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)  # [bottom] ascending
        self._numbers: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)  # [bottom], of those
        self._visit: npt.NDArray[np.int64] = np.empty((0, 2), dtype=np.int64)  # [bottom, 2], restart and round
        self._theta: list[npt.NDArray[np.float64]] = []  # [parameter] each

    def enter(self, theta: Tensor, loss: Tensor, restart: Tensor, rounds: Tensor) -> Tensor:
        """The number of each visit's bottom, `[visit]` int64; -1 where there are too many of them.

        Args:
            theta: where descents ended, `[visit, parameter]`, all finite.
            loss: f there, `[visit]`.
            restart: of the run, `[visit]`.
            rounds: of the run, `[visit]`.
        """
        theta = theta.double().cpu()
        visits = np.stack([restart.numpy(), rounds.numpy()], 1)
        order = np.lexsort(visits.T[::-1])
        cells = self._cells_of(theta, loss.double().cpu())[order]
        kinds, first, inverse = np.unique(cells, return_index=True, return_inverse=True)
        foremost = order[first]  # a visit of each kind
        result = np.empty(len(cells), dtype=np.int64)
        result[order] = self._numbers_of(kinds, theta.numpy(), foremost, visits[foremost])[inverse]
        return torch.from_numpy(result)

    def found(self) -> Found:
        """All bottoms so far, by their numbers."""
        size = self._objective.size
        theta = torch.from_numpy(np.stack(self._theta)) if self._theta else torch.empty(0, size, dtype=torch.float64)
        restart, rounds = torch.from_numpy(self._visit).clone().unbind(1)
        return Found(theta, restart.clone(), rounds.clone())

    def _cells_of(self, theta: Tensor, loss: Tensor) -> npt.NDArray[np.uint64]:
        """A word for each visit, the same for those that look alike.

        It is mixed of nine numbers: that two of `MOST` bottoms and 10⁸ visits to others share one has a chance of 10⁻⁷.
        """
        seen = torch.cat([loss.unsqueeze(1), self._engine.signature(self._objective, theta)], 1).numpy()
        cells = np.rint(np.arcsinh(seen) / _SAME).astype(np.int64).view(np.uint64)
        word = np.zeros(len(cells), dtype=np.uint64)
        for column in cells.T:  # as MurmurHash3 ends: a multiplication carries bits up, a shift brings them down
            word = (word ^ column) * _MULTIPLIER
            word ^= word >> _SHIFT
        return word

    def _numbers_of(
        self,
        kinds: npt.NDArray[np.uint64],
        theta: npt.NDArray[np.float64],
        foremost: npt.NDArray[np.int64],
        visits: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """The numbers of bottoms of these `kinds [kind]`, ascending: rows `foremost` of θ, from these visits."""
        place = np.searchsorted(self._cells, kinds)
        known = np.append(self._cells, 0)[place] == kinds
        known &= place < len(self._cells)
        numbers = np.full(len(kinds), -1, dtype=np.int64)
        numbers[known] = self._numbers[place[known]]
        self._give_to_earlier(numbers[known], theta, foremost[known], visits[known])
        new = np.flatnonzero(~known)[: MOST - len(self._theta)]
        numbers[new] = len(self._theta) + np.arange(len(new))
        self._cells = np.insert(self._cells, place[new], kinds[new])
        self._numbers = np.insert(self._numbers, place[new], numbers[new])
        self._visit = np.concatenate([self._visit, visits[new]])
        self._theta += [theta[row].copy() for row in foremost[new]]  # of their own: the table is not kept
        return numbers

    def _give_to_earlier(
        self,
        numbers: npt.NDArray[np.int64],
        theta: npt.NDArray[np.float64],
        rows: npt.NDArray[np.int64],
        visits: npt.NDArray[np.int64],
    ) -> None:
        """Known bottoms are represented by these visits where they come before those that represent them."""
        (restart, number), (before, then) = visits.T, self._visit[numbers].T
        for place in np.flatnonzero((restart < before) | ((restart == before) & (number < then))):
            self._visit[numbers[place]] = visits[place]
            self._theta[numbers[place]] = theta[rows[place]].copy()
