"""What every problem hands over, and how a share of it is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Array, Purpose, permutation
from basinet.protocols import Problem


@dataclass(frozen=True)
class Samples:
    """All samples of a problem, columns are samples."""

    inputs: Array  # [feature, sample]
    targets: Array  # [output, sample]
    classes: bool = False  # whether the targets name a class
    fingerprint: str = ""  # of what the settings do not say, the content of a file; empty if they say it all


class ProblemFamily(Protocol):
    """A member of `problem=`: frozen settings that make samples."""

    @property
    def natural_width(self) -> int:
        """Units of a hidden layer where the settings leave `network.width` open."""
        ...

    @property
    def natural_output(self) -> str:
        """The output activation where the settings leave `network.output` open: one that can reach the targets."""
        ...

    def samples(self, seed: int) -> Samples:
        """The samples; what is random about them depends on `seed` (`problem.seed`) only."""
        ...


def split(samples: Samples, holdout: float, seed: int) -> Problem:
    """The problem with a random share of the samples (`holdout`, 0 ≤ share < 1) kept for testing."""
    require(0 <= holdout < 1, f"problem.holdout={holdout:g}: must be a share, at least 0 and below 1")
    finite = np.isfinite(samples.inputs).all() and np.isfinite(samples.targets).all()
    require(bool(finite), "problem: all inputs and targets must be finite numbers")
    total = samples.inputs.shape[1]
    held_out = round(holdout * total)
    if holdout > 0:
        require(
            0 < held_out < total,
            f"problem.holdout={holdout:g}: of {total} samples that is {held_out}; 1 to {total - 1} are needed",
        )
    order = permutation(seed, 0, total, Purpose.HOLDOUT)
    kept, tested = np.sort(order[held_out:]), np.sort(order[:held_out])
    inputs, targets = torch.from_numpy(samples.inputs), torch.from_numpy(samples.targets)
    return Problem(
        inputs[:, kept].contiguous(),
        targets[:, kept].contiguous(),
        inputs[:, tested],
        targets[:, tested],
        samples.classes,
        samples.fingerprint,
    )
