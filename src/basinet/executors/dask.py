"""Workers of Dask: of a running scheduler, of a job queue through dask-jobqueue, or processes of this machine.

https://distributed.dask.org, https://jobqueue.dask.org
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from basinet.executors.seam import ExecutorGone, Made, check_counts, on_worker
from basinet.foundation.errors import ConfigError, require, unknown
from basinet.foundation.machine import cores

_PATIENCE = 5  # seconds for a scheduler to answer at first
_AWAY = 60.0  # … and to be back when it has gone
_MOMENT = 0.5  # … between two looks
_INSTALL = "pip install 'basinet[dask]'"
_QUEUES = {
    "slurm": ("SLURMCluster", "sbatch", "walltime"),
    "pbs": ("PBSCluster", "qsub", "walltime"),
    "sge": ("SGECluster", "qsub", "walltime"),
    "lsf": ("LSFCluster", "bsub", "walltime"),
}
"""The classes of dask-jobqueue, and the program that each submits with."""

_QUEUE_ONLY = ("queue", "minimum", "maximum", "interface")  # settings that are null without a job queue


@dataclass(frozen=True)
class Dask:
    """Dask's scheduler hands blocks to its workers, and to others when some are gone."""

    address: str | None
    workers: int | None
    threads: int
    pending: int | None
    jobqueue: str | None
    queue: str | None
    cores: int
    memory: str
    time: str
    minimum: int | None
    maximum: int | None
    options: tuple[str, ...]
    interface: str | None

    def __post_init__(self) -> None:
        check_counts("executor", self.threads, self.pending)
        for name in ("workers", "cores", "maximum"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"executor.{name}={value}: must be at least 1")
        require(self.minimum is None or self.minimum >= 0, f"executor.minimum={self.minimum}: must be 0 or more")
        if self.jobqueue is not None and self.jobqueue not in _QUEUES:
            raise unknown("executor.jobqueue", self.jobqueue, _QUEUES)
        for name in () if self.jobqueue is not None else _QUEUE_ONLY:
            value = getattr(self, name)
            require(value is None, f"executor.{name}={value}: belongs to a job queue, executor.jobqueue=slurm")
        told = f"executor.address={self.address}: workers of a running scheduler are started there, leave out executor."
        require(self.address is None or self.jobqueue is None, f"{told}jobqueue")
        require(self.address is None or self.workers is None, f"{told}workers")
        self._check_adaptive()

    def _check_adaptive(self) -> None:
        least, most = self.minimum, self.maximum
        both = (least is None) == (most is None)
        require(both, f"executor.minimum={least} executor.maximum={most}: give both, or executor.workers")
        if least is not None and most is not None:
            require(least <= most, f"executor.minimum={least}: must be at most executor.maximum={most}")
            told = f"executor.workers={self.workers}: give it, or executor.minimum and executor.maximum"
            require(self.workers is None, told)

    @contextmanager
    def open(self) -> Iterator[DaskCrew]:
        with ExitStack() as opened:
            client = opened.enter_context(_quiet(self._client(opened)))
            yield DaskCrew(client, self.threads, self.pending)

    def _client(self, opened: ExitStack) -> Any:
        """A client of the scheduler; what is started for it ends with `opened`."""
        where: Any = self.address
        if self.jobqueue is not None:
            _, program, _ = _QUEUES[self.jobqueue]
            found = shutil.which(program) is not None
            require(found, f"executor.jobqueue={self.jobqueue}: there is no {program} here, which submits jobs")
        try:
            from distributed import Client
        except ImportError as error:
            raise ConfigError(f"executor=dask: Dask is not installed ({error}); {_INSTALL}") from error
        if where is None:
            where = opened.enter_context(self._cluster())
        try:
            client = Client(where, timeout=_PATIENCE, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ConfigError(
                f"executor.address={self.address}: no scheduler of Dask answers there ({reason})"
            ) from error
        return opened.enter_context(_closing(client))

    def _cluster(self) -> Any:
        """A scheduler in this process, and what starts its workers."""
        if self.jobqueue is not None:
            return self._queued()
        from distributed import LocalCluster

        count = self.workers or max(1, cores() // self.threads)
        return LocalCluster(count, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL)

    def _queued(self) -> Any:
        name, _, time_limit = _QUEUES[str(self.jobqueue)]
        try:
            import dask_jobqueue
        except ImportError as error:
            raise ConfigError(
                f"executor.jobqueue={self.jobqueue}: dask-jobqueue is not installed; {_INSTALL}"
            ) from error
        blocks = max(1, self.cores // self.threads)  # that a job computes at a time, each in a process of its own
        more = {} if self.queue is None else {"queue": self.queue}
        more |= {} if self.interface is None else {"interface": self.interface}
        cluster = getattr(dask_jobqueue, name)(
            cores=self.cores,
            processes=blocks,
            memory=self.memory,
            job_extra_directives=list(self.options),
            scheduler_options={"dashboard_address": ":0"},
            worker_extra_args=["--no-dashboard", "--nthreads", "1"],
            **{time_limit: self.time},
            **more,
        )
        if self.minimum is not None:
            cluster.adapt(minimum=self.minimum, maximum=self.maximum)
        else:
            cluster.scale(self.workers or 1)
        return cluster


@contextmanager
def _closing(client: Any) -> Iterator[Any]:
    """A client, which is closed in the end, whether or not there is still somebody to take leave of."""
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=_PATIENCE)


@contextmanager
def _quiet(client: Any) -> Iterator[Any]:
    """Without what Dask's parts log of connections that come and go: who hands out calls says what that comes to."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield client
    finally:
        logger.setLevel(level)


@dataclass
class DaskCrew:
    """Calls through a client of Dask."""

    client: Any  # distributed.Client
    threads: int
    pending: int | None
    name: str = "dask"

    def submit(self, call: Callable[..., Any], *arguments: Any, avoid: frozenset[str] = frozenset()) -> Future[Made]:
        self.check()
        chosen = [address for address in self._addresses() if address not in avoid] if avoid else None
        require(chosen != [], f"executor=dask: none of the workers is left ({len(avoid)} are of another kind)")
        made: Future[Made] = Future()
        made.set_running_or_notify_cancel()
        try:
            theirs = self.client.submit(_call, call, arguments, pure=False, workers=chosen)
        except Exception as error:  # a client that is closed raises what it likes
            raise ExecutorGone(f"executor=dask: the scheduler takes no work any more ({error})") from error
        theirs.add_done_callback(lambda future: _hand_over(future, made))
        return made

    def count(self) -> int:
        return sum(self._threads_of().values())

    def check(self) -> None:
        """Wait until the scheduler, to which the client tries to get back, is there again."""
        end = time.monotonic() + _AWAY
        while self.client.status != "running":
            if self.client.status == "closed" or time.monotonic() > end:
                raise ExecutorGone("executor=dask: the scheduler is gone")
            time.sleep(_MOMENT)

    def _addresses(self) -> list[str]:
        return list(self._threads_of())

    def _threads_of(self) -> dict[str, int]:
        try:
            return dict(self.client.nthreads())
        except Exception:  # while the scheduler is away, which `check` looks after
            return {}


def _call(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Made:
    from distributed import get_worker

    return on_worker(str(get_worker().address), call, arguments)


def _hand_over(theirs: Any, made: Future[Made]) -> None:
    """Settle our future as theirs has been settled."""
    try:
        made.set_result(theirs.result())
    except BaseException as error:  # of a worker that is gone, or a future that was given up
        made.set_exception(error)
    finally:
        theirs.release()
