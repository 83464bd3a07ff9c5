"""Addressed random numbers: a draw is a pure function of (seed, purpose, position), never of a global generator.

Philox (Salmon et al., 2011) is a counter-based generator: its n-th block of numbers can be computed without the blocks
before it. Restart r owns ceil(size / 4) counters of one stream, so restart r of a seed is the same numbers whatever the
block, chunk, thread or device it is trained in.

Conditions with the same seed share the stream on purpose (*common random numbers*): two descents, or two
initialisations that scale the same normal draw, start from paired points, which makes their comparison sharper.
"""

from __future__ import annotations

import enum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_DOUBLES_PER_COUNTER = 4


@enum.unique
class Purpose(enum.IntEnum):
    """The second half of the generator's key: streams of different purposes never overlap."""

    STARTS = 0
    DATA = 1
    HOLDOUT = 2
    BATCHES = 3
    STATISTICS = 4
    PROBES = 6
    TEACHER = 5
    SEARCHES = 20
    DIRECTIONS = 21


def uniform(seed: int, restarts: range, size: int, purpose: Purpose = Purpose.STARTS) -> Array:
    """Uniform draws in the open interval (0, 1), `[restart, size]`, for a contiguous range of restarts.

    u = (bits / 2^52 + ½ 2^-52), with 52 random bits: never 0 and never 1, so that any inverse distribution function
    is finite. Every row depends on (seed, purpose, its own restart, size) only.
    """
    counters = -(-size // _DOUBLES_PER_COUNTER)
    generator = np.random.Philox(key=seed + (int(purpose) << 64)).advance(restarts.start * counters)
    bits = generator.random_raw(len(restarts) * counters * _DOUBLES_PER_COUNTER)
    bits = bits.reshape(len(restarts), counters * _DOUBLES_PER_COUNTER)[:, :size]
    result: Array = ((bits >> np.uint64(12)) + np.float64(0.5)) * np.float64(2.0**-52)
    return result


def normal(seed: int, restarts: range, size: int, purpose: Purpose = Purpose.STARTS) -> Array:
    """Standard normal draws `[restart, size]`: the inverse distribution function of `uniform`.

    Always scipy's `ndtri` in float64 on the CPU: other implementations differ in the last bits.
    """
    from scipy.special import ndtri  # which takes the time of all of scipy: what has no normal draws does without

    result: Array = ndtri(uniform(seed, restarts, size, purpose))
    return result


def permutation(seed: int, index: int, size: int, purpose: Purpose) -> npt.NDArray[np.int64]:
    """The `index`-th random order of 0 … size-1 of a stream; of minibatches, `index` is the epoch."""
    return np.argsort(uniform(seed, range(index, index + 1), size, purpose)[0], kind="stable").astype(np.int64)
