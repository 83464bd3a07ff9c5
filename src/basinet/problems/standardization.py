"""Inputs and targets on one scale: on others, a descent with one rate for all weights diverges or stands still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Array

_LARGE = 10.0
_NARROW = 0.1


def is_far(values: Array) -> bool:
    """Whether `values [row, sample]` are on a scale far from 1: some beyond ±10, or no row deviating by 0.1."""
    widest = float(values.std(1).max())
    return bool(np.abs(values).max() > _LARGE) or 0 < widest < _NARROW


@dataclass(frozen=True)
class Standardization:
    """Every row z of some samples becomes (z - mean) / deviation, both of the samples that are trained on."""

    names: tuple[str, ...]  # of the rows
    where: str  # as it stands before a row's name in a message
    remedy: str  # what to do about constant rows, whose names take the place of {names}

    def applied(self, values: Array, kept: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """The rows of `values [row, sample]`, standardized, and the deviation of each, `[row]`.

        Args:
            values: all samples.
            kept: which of them mean and deviation are taken of.

        Raises:
            ConfigError: if a row does not vary there.
        """
        basis = values[:, kept]
        mean, deviation = basis.mean(1), basis.std(1)
        # The deviation of .1 .1 .1 is 1e-17, not 0; that of numbers whose squares vanish is 0.
        constant = (basis == basis[:, :1]).all(1) | (deviation == 0)
        names = [name for name, is_constant in zip(self.names, constant, strict=True) if is_constant]
        remedy = self.remedy.format(names=",".join(names))
        require(not names, f"{self.where} '{''.join(names[:1])}': constant, cannot be standardized; {remedy}")
        return (values - mean[:, None]) / deviation[:, None], deviation
