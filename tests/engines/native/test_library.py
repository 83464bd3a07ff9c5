"""How kernels are called from several threads; the kernels here are Python's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from basinet.engines.native import library as native
from basinet.engines.native.library import Library, Shape
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk

RISK = EmpiricalRisk(Network((1, 1)), torch.zeros(1, 2).double(), torch.zeros(1, 2).double())


def library_of(function: Callable[..., None]) -> Library:
    library = Library.__new__(Library)
    library.shape, library.lanes = Shape.of(RISK, torch.float64), 1
    library._loaded = SimpleNamespace(work=function)  # type: ignore[assignment]
    return library


class Pool:
    """Asks threads as usual, but for the third, which is at work already when Ctrl-C comes."""

    def __init__(self, at_work: threading.Semaphore) -> None:
        self.real, self.at_work, self.asked = ThreadPoolExecutor(4), at_work, 0

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        self.asked += 1
        future = self.real.submit(task)
        if self.asked < 3:
            return future
        for _ in range(3):
            assert self.at_work.acquire(timeout=10)
        raise KeyboardInterrupt


def test_when_an_interrupt_is_heard_no_kernel_is_at_work_not_even_one_whose_asking_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, ended, at_work = [], [], threading.Semaphore(0)

    def kernel(*_: Any) -> None:
        begun.append(threading.get_ident())
        at_work.release()
        time.sleep(0.2)
        ended.append(threading.get_ident())

    pool = Pool(at_work)
    monkeypatch.setattr(native, "workers", lambda threads: pool)
    with pytest.raises(KeyboardInterrupt):
        library_of(kernel).run("work", RISK, 8, 4)
    assert len(begun) == len(ended) == 3
    pool.real.shutdown()
    assert len(begun) == 3


def test_a_thread_that_comes_late_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[Callable[[], Any]] = []

    class Slow:
        def submit(self, task: Callable[[], Any]) -> Future[Any]:
            late.append(task)
            raise KeyboardInterrupt

    begun = []
    monkeypatch.setattr(native, "workers", lambda threads: Slow())
    with pytest.raises(KeyboardInterrupt):
        library_of(lambda *_: begun.append(1)).run("work", RISK, 8, 4)
    late[0]()
    assert begun == []


def test_what_goes_wrong_in_a_kernel_is_raised_where_it_was_called() -> None:
    def kernel(*_: Any) -> None:
        raise ValueError("of a kernel")

    with pytest.raises(ValueError, match="of a kernel"):
        library_of(kernel).run("work", RISK, 8, 2)
