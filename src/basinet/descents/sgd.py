"""Stochastic gradient descent on minibatches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.descents.budget import Budget
from basinet.foundation.errors import require
from basinet.foundation.random_streams import Purpose, permutation
from basinet.protocols import Memory


@dataclass(frozen=True)
class Sgd:
    """θ ← θ - η ∇f_B(θ), B the next `batch_size` samples of a random order drawn anew for every epoch.

    The order depends on (seed, epoch) only, so that all restarts see the same minibatches; the last one of an epoch is
    short. The stopping test and the records use the gradient over all samples. Source: Robbins & Monro (1951).
    """

    budget: Budget
    batch_size: int

    settles = False  # a minibatch's gradient vanishes with ∇f only where every sample is met

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, f"descent.batch_size={self.batch_size}: must be at least 1")

    def init(self, theta: Tensor) -> Memory:
        return ()

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        return theta.sub(gradient, alpha=self.budget.rate(step)), ()

    def batch(self, step: int, samples: int) -> Tensor | None:
        if self.batch_size >= samples:
            return None
        epoch, position = divmod(step, -(-samples // self.batch_size))
        order = _order(self.budget.seed, epoch, samples)
        start = position * self.batch_size
        return torch.from_numpy(order[start : start + self.batch_size].copy())


@lru_cache(maxsize=16)  # threads may be at different epochs
def _order(seed: int, epoch: int, samples: int) -> npt.NDArray[np.int64]:
    """The samples as an epoch takes them: drawn once an epoch, not at every step."""
    return permutation(seed, epoch, samples, Purpose.BATCHES)
