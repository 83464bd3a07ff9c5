"""Which of very many visited bottoms are worth to be certified: one of each kind that can be told apart cheaply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.protocols import Objective

_SAME = 1e-4  # of loss and signature, relative to 1 + |x|: what descended, not polished points of a bottom agree to
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

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._cells: dict[bytes, int] = {}
        self._theta: list[npt.NDArray[np.float64]] = []  # [parameter] each
        self._visit: list[tuple[int, int]] = []  # restart and round

    def enter(self, theta: Tensor, loss: Tensor, restart: Tensor, rounds: Tensor) -> Tensor:
        """The number of each visit's bottom, `[visit]` int64; -1 where there are too many of them.

        Args:
            theta: where descents ended, `[visit, parameter]`, all finite.
            loss: f there, `[visit]`.
            restart: of the run, `[visit]`.
            rounds: of the run, `[visit]`.
        """
        theta = theta.double().cpu()
        cells = self._cells_of(theta, loss.double().cpu())
        order = np.lexsort((rounds.numpy(), restart.numpy()))
        _, first, inverse = np.unique(cells[order], return_index=True, return_inverse=True)
        kinds = order[first]  # a visit of each
        visits = zip(restart.numpy()[kinds].tolist(), rounds.numpy()[kinds].tolist(), strict=True)
        named = zip(cells[kinds].tolist(), theta.numpy()[kinds], visits, strict=True)
        numbers = [self._number(cell, point, visit) for cell, point, visit in named]
        result = np.empty(len(cells), dtype=np.int64)
        result[order] = np.array(numbers, dtype=np.int64)[inverse]
        return torch.from_numpy(result)

    def found(self) -> Found:
        """All bottoms so far, by their numbers."""
        size = self._objective.size
        theta = torch.from_numpy(np.stack(self._theta)) if self._theta else torch.empty(0, size, dtype=torch.float64)
        visits = torch.tensor(self._visit, dtype=torch.int64).view(-1, 2)
        return Found(theta, visits[:, 0].clone(), visits[:, 1].clone())

    def _cells_of(self, theta: Tensor, loss: Tensor) -> npt.NDArray[np.void]:
        """A number of 72 bytes or so for each visit, the same for those that look alike."""
        seen = torch.cat([loss.unsqueeze(1), self._objective.signature(theta)], 1).numpy()
        cells = np.ascontiguousarray(np.rint(np.arcsinh(seen) / _SAME).astype(np.int64))
        return cells.view(np.dtype((np.void, cells.itemsize * cells.shape[1]))).squeeze(1)

    def _number(self, cell: bytes, theta: npt.NDArray[np.float64], visit: tuple[int, int]) -> int:
        number = self._cells.get(cell)
        if number is None:
            if len(self._cells) >= MOST:
                return -1
            self._cells[cell] = len(self._theta)
            self._theta.append(theta.copy())  # a row of its own: the table that it is of is not kept
            self._visit.append(visit)
            return len(self._theta) - 1
        if visit < self._visit[number]:
            self._theta[number], self._visit[number] = theta.copy(), visit
        return number
