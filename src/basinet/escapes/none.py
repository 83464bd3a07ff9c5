"""No escape: a restart ends where its descent ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from basinet.escapes.seam import Allowance, Draws, Immediate, Judged, Landscape, Runs, State, Walk, always, ready


@dataclass(frozen=True)
class Stay(Immediate):
    """`escape=none`: nothing follows the descent of a restart."""

    allowance: Allowance  # of the other methods, where some of a sweep have them

    goes_on: ClassVar[bool] = False
    fresh: ClassVar[bool] = False

    def remember(self, runs: int, landscape: Landscape) -> State:
        return {}

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        return ready(runs.theta)

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        return always(runs, loss)
