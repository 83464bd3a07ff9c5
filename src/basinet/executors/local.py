"""No workers: every condition computes its own blocks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass


@dataclass(frozen=True)
class Local:
    """Blocks are computed by the process that their condition is in."""

    def open(self) -> AbstractContextManager[None]:
        return nullcontext()
