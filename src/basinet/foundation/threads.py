"""What the process keeps for the next chunk of restarts: threads, and memory."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from typing import TypeVar

import torch

from basinet.foundation import machine

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the parameters of mallopt(3)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


_kept: dict[int, ThreadPoolExecutor] = {}  # at most one pool, by its size
os.register_at_fork(after_in_child=_kept.clear)  # a forked process has none of these threads


def workers(threads: int) -> ThreadPoolExecutor:
    """The one pool of threads that a process keeps, so many at least; each torch operation in them runs on one thread.

    There may be more, where more were asked for before: whoever wants no more at work than `threads` submits no more
    than so many tasks, as `in_threads` does. A pool that was too small ends by itself when nobody holds it any more.

    >>> workers(2) is workers(1)
    True
    """
    for size, pool in list(_kept.items()):
        if size >= threads:
            return pool
    size = max(threads, machine.cores())
    pool = ThreadPoolExecutor(size, "basinet", initializer=torch.set_num_threads, initargs=(1,))
    _kept.clear()
    _kept[size] = pool
    return pool


def in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> list[_Result]:
    """What a function makes of each of the items, in their order: so many at a time, whoever is free takes the next.

    >>> in_threads(abs, [-1, 2, -3], threads=2)
    [1, 2, 3]
    """
    left = deque(enumerate(items))

    def work() -> list[tuple[int, _Result]]:
        done: list[tuple[int, _Result]] = []
        while True:
            try:
                place, item = left.popleft()
            except IndexError:
                return done
            done.append((place, function(item)))

    tasks: list[Future[list[tuple[int, _Result]]]] = []
    try:
        tasks.extend(workers(threads).submit(work) for _ in range(min(threads, len(left))))
        wait(tasks, return_when=FIRST_EXCEPTION)
    finally:
        left.clear()  # after an error, or Ctrl-C, nobody begins with another one
    made = sorted(itertools.chain.from_iterable(task.result() for task in tasks), key=itemgetter(0))
    return [result for _, result in made]


@cache
def keep_freed_memory() -> None:
    """Have the C library keep memory that is freed, up to 64 MB, instead of giving it back to the system.

    Activations of a chunk come and go with every operation. Where the system has to hand over, and clear, fresh pages
    for them each time, a step takes up to four times as long. glibc learns to keep blocks of up to 32 MB, but not where
    the environment sets a threshold, as Dask's does for workers (MALLOC_TRIM_THRESHOLD_): so both are set here. C
    libraries without mallopt(3) do as they like.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 64 << 20)


@cache
def one_thread_each() -> None:
    """Each torch operation of this process on one thread, once and for all.

    For processes that may compute several blocks at a time: one that ends would give the other its threads back.
    """
    torch.set_num_threads(1)


@contextmanager
def single_threaded_operations() -> Iterator[None]:
    """Each torch operation on one thread: where an operation is cut for threads would show in the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
