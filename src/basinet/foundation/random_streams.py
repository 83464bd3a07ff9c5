"""Addressed random numbers: a draw is a pure function of (seed, purpose, position), never of a global generator.

Philox (Salmon et al., 2011) is a counter-based generator: its n-th block of numbers can be computed without the blocks
before it. Restart r owns ceil(size / 4) counters of one stream, so restart r of a seed is the same numbers whatever the
block, chunk, thread or device it is trained in.

Conditions with the same seed share the stream on purpose (*common random numbers*): two descents, or two
initialisations that scale the same normal draw, start from paired points, which makes their comparison sharper.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from basinet.foundation.philox import philox

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
    MOVES = 7  # of runs that escape: where to
    CHANCES = 8  # … and whether
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
    return _in_interval(bits.reshape(len(restarts), counters * _DOUBLES_PER_COUNTER)[:, :size])


def _in_interval(bits: npt.NDArray[np.uint64]) -> Array:
    """Random words as numbers between 0 and 1."""
    result: Array = ((bits >> np.uint64(12)) + np.float64(0.5)) * np.float64(2.0**-52)
    return result


def normal(seed: int, restarts: range, size: int, purpose: Purpose = Purpose.STARTS) -> Array:
    """Standard normal draws `[restart, size]`: the inverse distribution function of `uniform`.

    Always scipy's `ndtri` in float64 on the CPU: other implementations differ in the last bits.
    """
    return _as_normal(uniform(seed, restarts, size, purpose))


def _as_normal(draws: Array) -> Array:
    """Uniform draws as normal ones."""
    from scipy.special import ndtri  # which takes the time of all of scipy: what has no normal draws does without

    result: Array = ndtri(draws)
    return result


def permutation(seed: int, index: int, size: int, purpose: Purpose) -> npt.NDArray[np.int64]:
    """The `index`-th random order of 0 … size-1 of a stream; of minibatches, `index` is the epoch."""
    return np.argsort(uniform(seed, range(index, index + 1), size, purpose)[0], kind="stable").astype(np.int64)


Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Address:
    """Where in the streams of a seed the random numbers of some runs' rounds stand, one row per run.

    A draw is a pure function of (seed, purpose, restart, round, step): the four words of a counter are the number of
    the draw, step, round and restart.
    """

    seed: int
    restart: Numbers  # [run]
    round: Numbers  # [run]

    def uniform(self, size: int, purpose: Purpose, step: Numbers | int = 0) -> Array:
        """Uniform draws in the open interval (0, 1), `[run, size]`, as those of `uniform`; `step [run]`, or of all."""
        blocks = -(-size // _DOUBLES_PER_COUNTER)
        words = [np.tile(np.arange(1, blocks + 1), len(self.restart))]
        words += [
            np.repeat(np.broadcast_to(word, self.restart.shape), blocks) for word in (step, self.round, self.restart)
        ]
        bits = philox(self.seed + (int(purpose) << 64), np.stack(words).astype(np.uint64))
        return _in_interval(bits.T.reshape(len(self.restart), -1)[:, :size])

    def normal(self, size: int, purpose: Purpose, step: Numbers | int = 0) -> Array:
        """Standard normal draws `[run, size]`, as those of `normal`."""
        return _as_normal(self.uniform(size, purpose, step))


class Ahead:
    """The draws of an address for several steps at a time: the same numbers, made together.

    Each run begins at a step of its own; all go on together.
    """

    def __init__(self, address: Address, first: Numbers, steps: int) -> None:
        self._address = Address(address.seed, np.repeat(address.restart, steps), np.repeat(address.round, steps))
        self._first = first + 1  # a step that is over has been counted
        self._steps = steps
        self._made: dict[tuple[str, int, Purpose], Array] = {}  # [run, step, size]

    def uniform(self, size: int, purpose: Purpose, step: Numbers | int) -> Array:
        """As that of the address."""
        return self._of("uniform", size, purpose, step)

    def normal(self, size: int, purpose: Purpose, step: Numbers | int) -> Array:
        """As that of the address."""
        return self._of("normal", size, purpose, step)

    def _of(self, law: str, size: int, purpose: Purpose, step: Numbers | int) -> Array:
        key = law, size, purpose
        if key not in self._made:
            steps = (self._first[:, None] + np.arange(self._steps)).reshape(-1)
            made = getattr(self._address, law)(size, purpose, steps)
            self._made[key] = made.reshape(len(self._first), self._steps, size)
        place = np.clip(step - self._first, 0, self._steps - 1)  # of a run that has come to its end nothing is used
        here: Array = self._made[key][np.arange(len(self._first)), place]
        return here
