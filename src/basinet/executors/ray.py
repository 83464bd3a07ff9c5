"""Workers of a running Ray cluster (https://docs.ray.io)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from basinet.executors.seam import ExecutorGone, Made, check_counts, on_worker
from basinet.foundation.errors import ConfigError, require

_INSTALL = "pip install 'basinet[ray]'"
_PORT = 10001  # at which a head node answers clients, unless told otherwise
_PATIENCE = 5  # seconds for a cluster to answer at first
_TRIES = 3  # of a client: the process that a head node forks for it may die at its start (Ray 2.60), the next one not


@dataclass(frozen=True)
class Ray:
    """Ray hands blocks to its nodes, and to others when some are gone."""

    address: str
    threads: int
    pending: int | None

    def __post_init__(self) -> None:
        check_counts("executor", self.threads, self.pending)
        fits = self.address == "auto" or self.address.startswith("ray://")
        require(fits, f"executor.address={self.address}: must be auto, or ray://host:port")

    @contextmanager
    def open(self) -> Iterator[RayCrew]:
        try:
            import ray
        except ImportError as error:
            raise ConfigError(f"executor=ray: Ray is not installed ({error}); {_INSTALL}") from error
        try:
            self._knock()
            context = self._joined(ray)
        except Exception as error:  # a cluster that is not there raises what it likes
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            told = f"executor.address={self.address}: no cluster of Ray answers there ({reason})"
            raise ConfigError(f"{told}; start one with ray start --head") from error
        try:
            yield RayCrew(ray, self.threads, self.pending)
        finally:
            context.disconnect()

    def _knock(self) -> None:
        """Raise `OSError` unless somebody listens at an address: Ray itself would wait for half a minute and more."""
        if self.address != "auto":
            there = urlsplit(self.address)
            socket.create_connection((there.hostname or "", there.port or _PORT), _PATIENCE).close()

    def _joined(self, ray: Any) -> Any:
        for left in reversed(range(_TRIES)):
            try:
                return ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
            except ConnectionAbortedError:  # raised of clients only
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")


@dataclass
class RayCrew:
    """Calls through a driver, or a client, of Ray."""

    ray: Any  # the module
    threads: int
    pending: int | None
    name: str = "ray"

    def __post_init__(self) -> None:
        self._remote = self.ray.remote(_call)

    def submit(self, call: Callable[..., Any], *arguments: Any, avoid: frozenset[str] = frozenset()) -> Future[Made]:
        options: dict[str, Any] = {"num_cpus": self.threads, "max_retries": 0}
        if avoid:
            from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

            options["scheduling_strategy"] = NodeLabelSchedulingStrategy(hard={"ray.io/node-id": NotIn(*avoid)})
        try:
            theirs = self._remote.options(**options).remote(call, arguments)
        except Exception as error:  # a cluster that is gone raises what it likes
            raise ExecutorGone(f"executor=ray: the cluster takes no work any more ({error})") from error
        made: Future[Made] = theirs.future()
        return made

    def count(self) -> int:
        try:
            return int(self.ray.cluster_resources().get("CPU", 0)) // self.threads
        except Exception:  # while it is away, which `check` looks after
            return 0

    def check(self) -> None:
        if not self.ray.is_initialized():
            raise ExecutorGone("executor=ray: the cluster is gone")


def _call(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Made:
    import ray

    return on_worker(ray.get_runtime_context().get_node_id(), call, arguments)
