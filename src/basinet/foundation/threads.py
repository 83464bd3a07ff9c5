"""What the process keeps for the next chunk of restarts: threads, and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch


@cache
def workers(threads: int) -> ThreadPoolExecutor:
    """So many threads, kept for the next call; each torch operation in them runs on one thread.

    >>> list(workers(2).map(abs, [-1, 2]))
    [1, 2]
    """
    return ThreadPoolExecutor(threads, "basinet", initializer=torch.set_num_threads, initargs=(1,))


os.register_at_fork(after_in_child=workers.cache_clear)  # a forked process has none of these threads


@cache
def keep_freed_memory() -> None:
    """Have the C library keep memory that is freed, up to 64 MB, instead of giving it back to the system.

    Activations of a chunk come and go with every operation. Where the system has to hand over, and clear, fresh pages
    for them each time, a step takes up to four times as long. glibc keeps blocks up to the size of the largest that was
    ever freed, 32 MB at most (mallopt(3), M_MMAP_THRESHOLD); elsewhere this does nothing.
    """
    torch.empty((32 << 20) - (1 << 16), dtype=torch.uint8, device="cpu")


@contextmanager
def single_threaded_operations() -> Iterator[None]:
    """Each torch operation on one thread: where an operation is cut for threads would show in the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
