"""Train again from another random start: what everybody does today, as a method among others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from basinet.escapes.seam import Allowance, Draws, Immediate, Judged, Landscape, Runs, State, Walk, always, ready


@dataclass(frozen=True)
class Restart(Immediate):
    """Every round is a fresh start of the study's init, and its descent."""

    allowance: Allowance

    goes_on: ClassVar[bool] = True
    fresh: ClassVar[bool] = True

    def remember(self, runs: int, landscape: Landscape) -> State:
        return {}

    def begin(self, runs: Runs, draws: Draws) -> Walk:
        return ready(draws.starts())

    def judge(self, runs: Runs, theta: Tensor, loss: Tensor, draws: Draws) -> Judged:
        return always(runs, loss)
