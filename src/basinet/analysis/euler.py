"""Euler's sum: a check that no critical point is missing."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import pandas as pd


class Verdict(enum.StrEnum):
    """What Euler's sum says."""

    PASSED = "passed"  # it is 1: nothing speaks against the list being complete, which is no proof that it is
    FAILED = "failed"  # it is another number: something is missing
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Euler:
    """The sum, and whether it has to be 1."""

    total: float  # NaN where it is not a sum of whole numbers
    verdict: Verdict
    reason: str  # why it does not apply; empty where it does


def euler(minima: pd.DataFrame, saddles: pd.DataFrame, *, coercive: bool, smooth: bool) -> Euler:
    """Σ (-1)^index over all critical points, each in all its symmetric copies.

    If f → ∞ at infinity and no critical point is degenerate, it is χ(ℝ^P) = 1 (Morse theory). Any other number proves
    that points are missing; 1 does not prove that none is.

    Args:
        minima: with the columns `kind` and `orbit_size`.
        saddles: critical points of every other index, with `kind`, `index` and `orbit_size`.
        coercive: whether f → ∞ at infinity.
        smooth: whether f is twice differentiable.

    >>> minima = pd.DataFrame({"kind": ["minimum"], "orbit_size": [2.0]})
    >>> saddle = pd.DataFrame({"kind": ["saddle"], "index": [1], "orbit_size": [1.0]})
    >>> euler(minima, saddle, coercive=True, smooth=True).verdict.value
    'passed'
    >>> euler(minima, saddle[:0], coercive=True, smooth=True)
    Euler(total=2.0, verdict=<Verdict.FAILED: 'failed'>, reason='')
    """
    own = minima.loc[minima["kind"] == "minimum", "orbit_size"].to_numpy(np.float64)
    sharp = saddles[saddles["kind"] == "saddle"]
    signs = np.where(sharp["index"].to_numpy(np.int64) % 2 == 0, 1.0, -1.0)
    orbits = np.concatenate([own, signs * sharp["orbit_size"].to_numpy(np.float64)])
    total = float(orbits.sum()) if bool(np.isfinite(orbits).all()) else np.nan
    reason = _obstacle(minima, saddles, orbits, coercive=coercive, smooth=smooth)
    if reason:
        return Euler(total, Verdict.NOT_APPLICABLE, reason)
    return Euler(total, Verdict.PASSED if total == 1 else Verdict.FAILED, "")


def _obstacle(
    minima: pd.DataFrame,
    saddles: pd.DataFrame,
    orbits: np.ndarray[tuple[int], np.dtype[np.float64]],
    *,
    coercive: bool,
    smooth: bool,
) -> str:
    """Why the sum need not be 1; empty if it has to be."""
    if not coercive:
        return "the loss has no penalty on every parameter, so it need not grow towards infinity"
    if not smooth:
        return "ReLU units have kinks"
    if bool(np.isinf(orbits).any()):
        return "a continuous symmetry makes critical points continua"
    if bool((minima["kind"] == "degenerate").any()) or bool((saddles["kind"] == "degenerate").any()):
        return "degenerate critical points were found"
    if bool(np.isnan(orbits).any()):
        return "of some points it is not counted how many copies they have"
    return ""
