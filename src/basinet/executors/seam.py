"""What an executor promises: it hands calls of functions to workers, and knows nothing of what they compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from basinet.foundation.errors import require
from basinet.foundation.threads import one_thread_each


class ExecutorGone(OSError):
    """There is nobody any more who could hand calls to workers; the message is one line."""


@dataclass(frozen=True)
class Made:
    """What a call has returned, and which worker has made it."""

    by: str
    value: Any


class Crew(Protocol):
    """Workers that can be reached."""

    name: str  # of the executor
    threads: int  # of each call
    pending: int | None  # calls handed out at a time; None: whoever hands them out decides

    def submit(self, call: Callable[..., Any], *arguments: Any, avoid: frozenset[str] = frozenset()) -> Future[Made]:
        """Hand a call to a worker that is none of `avoid`.

        The future raises if no worker has brought the call to its end; what the call itself raises is one such case.

        Raises:
            ExecutorGone: if nobody takes it.
        """
        ...

    def count(self) -> int:
        """How many calls can be at work at a time, as far as is known; 0 while there is no worker yet."""
        ...

    def check(self) -> None:
        """Return when somebody hands calls to workers, which may take a while if that has to come back first.

        Raises:
            ExecutorGone: if it does not.
        """
        ...


class Executor(Protocol):
    """Frozen settings of where blocks are computed, one class per member of the group `executor`."""

    def open(self) -> AbstractContextManager[Crew | None]:
        """The workers, within; None where conditions compute their blocks themselves.

        Raises:
            ConfigError: if they cannot be reached, with what would help.
        """
        ...


def check_counts(group: str, threads: int, pending: int | None) -> None:
    """Raise `ConfigError` unless these are numbers of threads and of blocks."""
    require(threads >= 1, f"{group}.threads={threads}: must be at least 1")
    require(pending is None or pending >= 1, f"{group}.pending={pending}: must be at least 1")


def on_worker(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Made:
    """A call as a worker makes it, each operation of torch on one thread: blocks beside it have theirs."""
    one_thread_each()
    return Made(name, call(*arguments))
