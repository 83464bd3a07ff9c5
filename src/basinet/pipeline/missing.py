"""Which restarts of a study are missing, where blocks come back in any order."""

from __future__ import annotations

from basinet.pipeline.blocks import Block, Store, whole_until
from basinet.pipeline.run import block_size, goal
from basinet.study.study import Study

_FEW = 64  # restarts in a block at least: kernels compute some at a time


class Missing:
    """What is in a store and what is at work, of which the rest is missing."""

    def __init__(self, study: Study, store: Store[Block]) -> None:
        self._study = study
        self.store = store
        self._there = _joined(store.there())
        self._taken = list(self._there)
        self._pace: float | None = None  # seconds that a restart takes
        self._goal = goal(study, self._whole_until, store)

    @property
    def _whole_until(self) -> int:
        return whole_until(self._there)

    @property
    def is_whole(self) -> bool:
        """Whether all restarts are there."""
        return self._whole_until >= self._goal

    @property
    def share(self) -> float:
        """Of the restarts, how many are there."""
        return min(1.0, sum(map(len, self._there)) / self._study.restarts)

    def take(self, seconds: float, workers: int) -> tuple[range, Block | None] | None:
        """Restarts to compute next, as many as take about so long, and what is begun of them; None if all are taken.

        They are the first that nobody has, up to a block that is there. While it is not known how long they take, few;
        and no more than leave something for each of the workers: they should all end at about the same time.
        """
        first, end = self._gap()
        if first >= end:
            return None
        begun = self.store.begun(first)
        if begun is not None and begun.restarts.stop <= self._next_taken(first):
            self._note(begun.restarts)
            return begun.restarts, begun
        size = block_size(self._study, self._pace, seconds, _FEW)
        if not self._study.escape.goes_on:
            size = min(size, max(_FEW, (self._goal - first) // (2 * max(1, workers))))
        restarts = range(first, min(end, first + size))
        self._note(restarts)
        return restarts, None

    def add(self, block: Block, seconds: float) -> None:
        """Keep a block that was taken; `seconds` is what it took to compute."""
        self.store.add(block)
        self._there = _joined([*self._there, block.restarts])
        self._pace = seconds / len(block.restarts)
        if self._whole_until == self._goal:  # with `restarts=auto` there may be more to do
            self._goal = goal(self._study, self._goal, self.store)

    def _gap(self) -> tuple[int, int]:
        """The first restart that nobody has, and where the next one is that somebody has, or the goal."""
        first = whole_until(self._taken)
        return first, min(self._next_taken(first), self._goal)

    def _next_taken(self, first: int) -> int:
        return min((own.start for own in self._taken if own.start >= first), default=1 << 62)

    def _note(self, restarts: range) -> None:
        self._taken = _joined([*self._taken, restarts])


def _joined(ranges: list[range]) -> list[range]:
    """Ranges that do not overlap in their order, those that follow each other as one.

    >>> _joined([range(6, 9), range(0, 2), range(2, 4)])
    [range(0, 4), range(6, 9)]
    """
    joined: list[range] = []
    for own in sorted(ranges, key=lambda own: own.start):
        if joined and joined[-1].stop == own.start:
            joined[-1] = range(joined[-1].start, own.stop)
        else:
            joined.append(own)
    return joined
