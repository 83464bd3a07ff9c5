"""Workers that are none: a thread of this process makes calls, in an order and under names that a test says."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from basinet.executors import Made

_MOMENT = 0.002  # seconds


def honest(worker: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What a worker answers that does as it is told."""
    return call(*arguments)


class Lost(Exception):
    """A worker is gone."""


@dataclass
class Pretended:
    """Workers who take calls in any order: whichever of those that wait is next, and whoever makes it, is drawn."""

    workers: tuple[str, ...] = ("a", "b", "c")
    answer: Callable[[str, Callable[..., Any], tuple[Any, ...]], Any] = honest
    pending: int | None = None
    threads: int = 1
    name: str = "pretended"
    order: random.Random = field(default_factory=lambda: random.Random(1))
    most: int = 0  # calls that waited at a time
    calls: list[tuple[str, Any]] = field(default_factory=list)  # who made which
    _waiting: list[tuple[Future[Made], str, Any, Any]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def submit(self, call: Callable[..., Any], *arguments: Any, avoid: frozenset[str] = frozenset()) -> Future[Made]:
        future: Future[Made] = Future()
        worker = self.order.choice([worker for worker in self.workers if worker not in avoid])
        self._waiting.append((future, worker, call, arguments))
        self.most = max(self.most, len(self._waiting))
        return future

    def count(self) -> int:
        return len(self.workers)

    def check(self) -> None:
        """They are always there."""

    @contextmanager
    def at_work(self) -> Iterator[Pretended]:
        """Within, calls are made."""
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _work(self) -> None:
        while not self._over.wait(_MOMENT):  # in which some more may come
            while self._waiting:
                waiting = self._waiting.pop(self.order.randrange(len(self._waiting)))
                self._make(*waiting)

    def _make(self, future: Future[Made], worker: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self.calls.append((worker, arguments[0]))
        try:
            future.set_result(Made(worker, self.answer(worker, call, arguments)))
        except Exception as error:
            future.set_exception(error)
