"""Blocks of all conditions of a launch, handed to workers ahead of their turn; one process plans, and keeps them.

Conditions are gone through in their order, and what is missing of each is handed out, a bounded number of blocks at a
time: where one condition has nothing left to hand out, the next one is begun. Which worker makes a block, and when,
changes nothing in it. All of this happens in the thread that waits for a condition (`Ahead.fill`).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any

from basinet.executors.seam import Crew, Made
from basinet.foundation.errors import ConfigError
from basinet.pipeline.blocks import Block, Store, arrays_of, block_of
from basinet.pipeline.missing import Missing
from basinet.pipeline.solve import OnProgress
from basinet.pipeline.work import Job, work
from basinet.study.study import Study

_log = logging.getLogger(__name__)

_TRIES = 3  # that a block has, before its condition fails
_MOMENT = 1.0  # seconds between two looks at the workers
_LONELY = 10.0  # seconds without a worker after which that is said
_BLOCK_SECONDS = 20.0  # that a block may take: shorter than a process takes for itself, so that no worker waits long


class BlockFailed(RuntimeError):
    """No worker could compute a block; the message has what the last one of them said."""


@dataclass(frozen=True)
class Pace:
    """How a launch is getting on."""

    workers: int
    restarts: int  # that have come back
    seconds: float  # since the first was handed out

    @property
    def rate(self) -> float:
        """Restarts a second."""
        return self.restarts / self.seconds if self.seconds > 0 else 0.0


Open = Callable[[str], Store[Block]]
"""Where the blocks of a condition are kept that are made by whom this names."""


@dataclass
class Lot:
    """What is known of a condition whose blocks are handed out."""

    study: Study  # as workers get it
    open: Open
    missing: Missing | None = None  # None: until a worker has said who makes its blocks
    asked: bool = False  # … for which one has been asked
    made_by: str = ""
    error: Exception | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all restarts are there."""
        return self.missing is not None and self.missing.is_whole

    def next_job(self, kind: str | None, workers: int) -> Job | None:
        """What to hand out next; None where nothing is to be done, or is not known yet."""
        if self.error is not None:
            return None
        if self.missing is None:
            return None if self.asked else self._question(kind)
        taken = self.missing.take(_BLOCK_SECONDS, workers)
        if taken is None:
            return None
        restarts, begun = taken
        return Job(self.study, restarts, None if begun is None else arrays_of(begun), kind)

    def _question(self, kind: str | None) -> Job:
        self.asked = True
        return Job(self.study, range(0), None, kind)


@dataclass
class _Handed:
    """A job on its way."""

    lot: Lot
    job: Job
    tries: int = 1


Begin = Callable[[int], "Lot | None"]
"""Begins the condition of a number ahead of its turn; None if nothing is to be handed out of it now."""


@dataclass
class Ahead:
    """Hands out blocks of `conditions` conditions to a crew, and gives each condition its own."""

    crew: Crew
    conditions: int
    begin: Begin
    on_pace: Callable[[Pace], None] = lambda pace: None
    kind: str | None = None  # of machine whose blocks are taken: that of the first that answers
    _lots: dict[int, Lot | None] = field(default_factory=dict)
    _pending: dict[Future[Made], _Handed] = field(default_factory=dict)
    _again: deque[_Handed] = field(default_factory=deque)
    _refused: set[str] = field(default_factory=set)  # workers of another kind
    _restarts: int = 0
    _started: float = field(default_factory=time.monotonic)
    _seen: float = field(default_factory=time.monotonic)  # when there was a worker
    _count: int = 0
    _counted: float = -_MOMENT

    def _lot(self, number: int) -> Lot | None:
        """What is handed out of a condition, which is begun if it has not been."""
        if number not in self._lots:
            self._lots[number] = self.begin(number)
        return self._lots[number]

    def fill(self, number: int, lot: Lot, progress: OnProgress) -> Store[Block]:
        """The store of a condition when all restarts are in it; others are handed out meanwhile.

        Raises:
            BlockFailed: if a block could not be computed.
            ConfigError: if what a worker says of it is a user's error.
            ExecutorGone: if no block will come any more.
        """
        self._lots[number] = lot
        while not lot.is_whole and lot.error is None:
            self._hand_out(number)
            self._collect()
            if lot.missing is not None:
                progress(lot.missing.share)
        self._lots[number] = None
        if lot.error is not None:
            raise lot.error
        assert lot.missing is not None
        return lot.missing.store

    def close(self) -> None:
        """Give up what is on its way."""
        for future in self._pending:
            future.cancel()
        self._pending.clear()

    # Handing out.

    def _hand_out(self, first: int) -> None:
        """Keep the workers busy: with the conditions from number `first` on."""
        most = self.crew.pending or 2 * self._workers() + 2
        while len(self._pending) < most:
            handed = self._again.popleft() if self._again else self._next(first)
            if handed is None:
                return
            self._send(handed)

    def _next(self, first: int) -> _Handed | None:
        for number in range(first, self.conditions):
            lot = self._lot(number)
            job = None if lot is None else lot.next_job(self.kind, self._workers())
            if lot is not None and job is not None:
                return _Handed(lot, job)
            if self.kind is None and lot is not None:
                return None  # one worker decides on the kind of machine before others are asked
        return None

    def _send(self, handed: _Handed) -> None:
        if handed.lot.error is not None:
            return
        try:
            future = self.crew.submit(work, handed.job, avoid=frozenset(self._refused))
        except ConfigError as error:  # nobody is left who may do it
            handed.lot.error = error
            return
        self._pending[future] = handed

    # What comes back.

    def _collect(self) -> None:
        """Take what has come back, waiting for it a moment."""
        if self._pending:
            done, _ = wait(self._pending, _MOMENT, FIRST_COMPLETED)
        else:
            done = set()
            time.sleep(_MOMENT if self._workers() == 0 else 0)
        for future in done:
            self._take(future, self._pending.pop(future))
        if not done:
            self.crew.check()
        self._report()

    def _workers(self) -> int:
        """How many there are, asked now and then."""
        if time.monotonic() - self._counted > _MOMENT:
            self._count, self._counted = self.crew.count(), time.monotonic()
        return self._count

    def _report(self) -> None:
        workers, now = self._workers(), time.monotonic()
        if workers > 0:
            self._seen = now
        elif now - self._seen > _LONELY:
            self._seen = now + 60 * _LONELY  # not too often
            _log.warning("executor=%s: there is no worker yet; waiting for one", self.crew.name)
        self.on_pace(Pace(workers, self._restarts, now - self._started))

    def _take(self, future: Future[Made], handed: _Handed) -> None:
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            self.crew.check()
            self._try_again(handed, BlockFailed(_lost(handed.job, error)))
            return
        try:
            self._accept(future.result(), handed)
        except Exception as failure:  # of the disk or the store, and that condition's alone
            handed.lot.error = failure

    def _accept(self, made: Made, handed: _Handed) -> None:
        """Keep what a worker has answered, or have it done again."""
        lot, answer = handed.lot, made.value
        self.kind = self.kind or answer["kind"]
        if answer["kind"] != self.kind:
            self._refuse(made.by, answer["kind"], self.kind, handed)
        elif "failed" in answer:
            self._try_again(handed, _failure(answer))
        elif lot.missing is None:
            lot.made_by = answer["made_by"]
            lot.missing = Missing(lot.study, lot.open(lot.made_by))
        elif answer["made_by"] != lot.made_by:
            self._refuse(made.by, answer["made_by"], lot.made_by, handed)
        else:
            self._restarts += len(handed.job.restarts)
            lot.missing.add(block_of(answer["arrays"], handed.job.restarts), answer["seconds"])

    def _refuse(self, worker: str, kind: str, wanted: str, handed: _Handed) -> None:
        """Take nothing from a worker whose last bits may be others."""
        if worker not in self._refused:
            _log.warning("worker %s is refused: its blocks are of %s, others here of %s", worker, kind, wanted)
        self._refused.add(worker)
        self._again.append(replace(handed, job=replace(handed.job, kind=self.kind)))

    def _try_again(self, handed: _Handed, error: Exception) -> None:
        if handed.tries >= _TRIES:
            handed.lot.error = handed.lot.error or error
        else:
            self._again.append(replace(handed, tries=handed.tries + 1))


def _lost(job: Job, error: BaseException | None) -> str:
    own = job.restarts
    what = f"{type(error).__name__}: {error}" if error is not None else "it was given up"
    return f"restarts {own.start} to {own.stop - 1} were lost {_TRIES} times on their way ({what})"


def _failure(answer: dict[str, Any]) -> Exception:
    if answer["blame"] is not None:
        return ConfigError(answer["blame"])
    return BlockFailed(f"on a worker:\n{answer['failed']}")


def with_threads(study: Study, threads: int) -> Study:
    """A study as workers compute it, who have so many threads for each block."""
    return replace(study, execution=replace(study.execution, threads=threads))
