"""What every problem hands over, and how a share of it is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Array, Purpose, permutation
from basinet.problems.standardization import Standardization

if TYPE_CHECKING:
    from basinet.protocols import Committee, Problem

LARGEST = 1e150
"""The largest input or target: the square of a larger one, and sums of such, are no finite numbers."""


@dataclass(frozen=True)
class Samples:
    """All samples of a problem, columns are samples, and what suits them where the settings leave it open."""

    inputs: Array  # [feature, sample]
    targets: Array  # [output, sample]
    classes: bool = False  # whether the targets name a class
    fingerprint: str = ""  # of what the settings do not say, the content of a file; empty if they say it all
    natural_loss: str = "squared"  # where the settings leave `objective.loss` open
    natural_learning_rate: float = 1.0  # where they leave `descent.learning_rate` open
    natural_bias: bool = True  # where they leave `network.bias` open
    input_standardization: Standardization | None = None  # None: inputs stay as they are
    target_standardization: Standardization | None = None
    teacher: Committee | None = None  # what they are drawn from, where that is known
    remarks: tuple[str, ...] = ()  # what a user should know of how the data was read, a line each


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
    """The problem with a random share of the samples (`holdout`, 0 ≤ share < 1) kept for testing.

    What is standardized is so by the mean and deviation of the samples that are trained on.
    """
    import torch  # here begins what takes it: until now there were settings and tables

    from basinet.protocols import Problem

    require(0 <= holdout < 1, f"problem.holdout={holdout:g}: must be a share, at least 0 and below 1")
    x, y = samples.inputs, samples.targets
    finite = bool(np.isfinite(x).all() and np.isfinite(y).all())
    require(finite, "problem: all inputs and targets must be finite numbers")
    largest = max(np.abs(x).max(initial=0), np.abs(y).max(initial=0))
    require(largest <= LARGEST, f"problem: {largest:g} among inputs and targets, the largest can be {LARGEST:g}")
    total = x.shape[1]
    held_out = round(holdout * total)
    if holdout > 0:
        require(
            0 < held_out < total,
            f"problem.holdout={holdout:g}: of {total} samples that is {held_out}; 1 to {total - 1} are needed",
        )
    order = permutation(seed, 0, total, Purpose.HOLDOUT)
    kept, tested = np.sort(order[held_out:]), np.sort(order[:held_out])
    units = None
    if samples.input_standardization is not None:
        x, _ = samples.input_standardization.applied(x, kept)
    if samples.target_standardization is not None:
        y, deviations = samples.target_standardization.applied(y, kept)
        units = torch.from_numpy(deviations)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    return Problem(
        inputs[:, kept].contiguous(),
        targets[:, kept].contiguous(),
        inputs[:, tested],
        targets[:, tested],
        samples.classes,
        samples.fingerprint,
        units,
        samples.teacher,
    )
