"""Starts beside those of the restarts: as many as anybody asks for, each with an address of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from basinet.foundation.random_streams import Numbers
from basinet.inits import Init
from basinet.mlp.network import Network

_APART = 1 << 40  # numbers of starts between those of two runs: more than there are restarts, or rounds
_AHEAD = 32  # starts of a run that are drawn at a time, at most
_HELD = 1 << 23  # numbers of all that are drawn ahead, at most: 64 MB


@dataclass(frozen=True)
class FreshStarts:
    """The start of round k of run r is number (r + 1) 2⁴⁰ + k of its init, where no restart has its own."""

    init: Init
    network: Network
    seed: int
    _drawn: dict[int, tuple[int, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, restart: Numbers, rounds: Numbers) -> Tensor:
        """`[run, parameter]`, float64 on the CPU: every row depends on (seed, restart, round) only."""
        ahead = max(1, min(_AHEAD, _HELD // (self.network.size * max(1, len(restart)))))
        if len(self._drawn) * ahead * self.network.size > _HELD:
            self._drawn.clear()
        pairs = zip(restart.tolist(), rounds.tolist(), strict=True)
        return torch.stack([self._start(run, number, ahead) for run, number in pairs])

    def _start(self, run: int, number: int, ahead: int) -> Tensor:
        first, starts = self._drawn.get(run, (0, None))
        if starts is None or not first <= number < first + len(starts):
            begin = (run + 1) * _APART + number
            first, starts = number, self.init.draw(self.network, self.seed, range(begin, begin + ahead))
            self._drawn[run] = first, starts
        return starts[number - first]
