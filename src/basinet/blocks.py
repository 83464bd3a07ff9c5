"""Blocks of restarts: what is computed at a time, and where it is kept until all are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from basinet.certify import Evidence
from basinet.polish import Polished
from basinet.solution import Solution


@dataclass(frozen=True)
class Block:
    """Everything known about a contiguous range of restarts; tensors are on the CPU."""

    restarts: range
    starts: Tensor  # [restart, parameter]
    loss_initial: Tensor  # [restart], f at the starts
    solution: Solution
    polished: Polished
    evidence: Evidence
    signature: Tensor  # [restart, 2 · n], see Objective.signature
    loss_holdout: Tensor | None  # [restart], without penalties
    accuracy: Tensor | None  # [restart], share of the samples in the right class
    accuracy_holdout: Tensor | None  # [restart]


class Store(Protocol):
    """Where finished blocks are kept."""

    def add(self, block: Block) -> None:
        """Keep a block."""
        ...

    def blocks(self) -> list[Block]:
        """All blocks, in the order of their restarts."""
        ...


@dataclass
class MemoryStore:
    """Blocks in memory."""

    kept: list[Block] = field(default_factory=list)

    def add(self, block: Block) -> None:
        self.kept.append(block)

    def blocks(self) -> list[Block]:
        return sorted(self.kept, key=lambda block: block.restarts.start)
