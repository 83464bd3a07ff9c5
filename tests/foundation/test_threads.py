from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from basinet.foundation import machine
from basinet.foundation.threads import in_threads, workers


def kept() -> int:
    """Threads of pools that are there now."""
    return sum(thread.name.startswith("basinet") for thread in threading.enumerate())


def test_after_many_sizes_there_are_no_more_threads_than_the_largest_of_them_needs() -> None:
    for size in range(1, 17):
        together = threading.Barrier(size)
        assert in_threads(lambda _, all_of_them=together: all_of_them.wait(10) >= 0, range(size), size) == [True] * size
    gc.collect()
    end = time.monotonic() + 10
    while kept() > max(16, machine.cores()) and time.monotonic() < end:
        time.sleep(0.01)  # those of smaller pools are about to end
    assert 16 <= kept() <= max(16, machine.cores())


def test_no_more_items_are_at_work_than_threads_were_asked_for_although_there_are_more() -> None:
    workers(8)
    lock, at_work, most = threading.Lock(), 0, 0

    def work(item: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.002)
        with lock:
            at_work -= 1
        return -item

    assert in_threads(work, range(30), 3) == [-item for item in range(30)]
    assert 1 < most <= 3
    assert in_threads(work, [], 3) == []


def test_after_an_error_which_is_raised_nobody_begins_with_another_item() -> None:
    begun = []

    def items() -> Iterator[int]:
        yield from range(1000)

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("item 0")
        time.sleep(0.005)

    with pytest.raises(ValueError, match="item 0"):
        in_threads(work, items(), 2)
    time.sleep(0.05)
    after = len(begun)
    time.sleep(0.05)
    assert len(begun) == after < 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="pages are counted, and kept, as Linux and glibc do it")
def test_memory_that_is_freed_is_kept_where_the_environment_would_have_it_given_back() -> None:
    script = """
import resource, torch
from basinet.foundation.threads import keep_freed_memory
keep_freed_memory()
for turn in range(60):  # in the first of which the heap finds its size
    if turn == 40:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2_000_000, dtype=torch.float64)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}  # as Dask's workers have it
    made = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert int(made.stdout) < 2_000_000 * 8 // 4096  # fewer pages in twenty turns than one turn's array has
