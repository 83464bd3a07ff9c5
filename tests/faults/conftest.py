"""Sweeps that are disturbed, and how what they leave behind is compared."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import basinet
from basinet.tracking import load
from basinet.tracking.store import TrackingStore

DRIVER = Path(__file__).parent / "driver.py"


@dataclass(frozen=True)
class Command:
    """A sweep in which there is enough to disturb."""

    line: str
    conditions: int
    blocks: int  # of restarts, in all
    block: int  # restarts in each


SWEEP = Command(
    "-m init=normal,orthogonal network.depth=1,2 restarts=320 engine=torch descent.steps=1000 "
    "tracking.curves_max=100 tracking.figures=none",
    conditions=4,
    blocks=20,
    block=64,
)
_VARIED = ("init", "network.depth", "seed")

_LOADERS = {
    "restarts": basinet.load_restarts,
    "minima": basinet.load_minima,
    "curves": basinet.load_curves,
    "quantiles": load.load_quantiles,
    "parameters": basinet.load_parameters,
}


def _comparable(values: pd.Series) -> pd.Series:
    """Vectors as their bytes: equal only if every bit is."""
    if len(values) and isinstance(values.iloc[0], np.ndarray):
        return values.map(lambda vector: (str(vector.dtype), vector.tobytes()))
    return values


@dataclass(frozen=True)
class Left:
    """What a sweep has left in a store, in the experiment `basinet`."""

    uri: str

    @staticmethod
    def behind(place: Path | str) -> Left:
        """In the folder of an embedded store, or where a URI says."""
        return Left(place if isinstance(place, str) else f"sqlite:///{place}/mlflow.db")

    def tables(self, **more: Callable[..., pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """All tables but for what is new in every run: its id, and the order in which conditions have ended.

        What not every sweep has is loaded by `more`.
        """
        tables = {}
        for name, loader in {**_LOADERS, **more}.items():
            frame = loader("basinet", tracking_uri=self.uri).drop(columns="run_id").sort_index(axis="columns")
            keys = [column for column in _VARIED if column in frame.columns]
            tables[name] = frame.sort_values(keys, kind="stable", ignore_index=True).apply(_comparable)
        return tables

    def statuses(self) -> list[str]:
        """How every run has ended, attempts that came to nothing and sweeps included."""
        store = TrackingStore.open(self.uri)
        runs = store.client.search_runs([store.experiment("basinet")], max_results=5000)
        return sorted(run.info.status for run in runs)

    def assert_same_as(self, other: Left, **more: Callable[..., pd.DataFrame]) -> None:
        """The same tables, bit for bit: nothing is lost, nothing is there twice."""
        expected = other.tables(**more)
        for name, table in self.tables(**more).items():
            pd.testing.assert_frame_equal(table, expected[name], check_exact=True, obj=name)

    def assert_complete(self, conditions: int) -> None:
        """Every condition has finished, and no run is left open."""
        runs = basinet.load_runs("basinet", tracking_uri=self.uri)
        assert runs["status"].tolist() == ["finished"] * conditions
        assert "RUNNING" not in self.statuses()


@dataclass(frozen=True)
class Launched:
    """A command that runs in a process group of its own, as from a shell."""

    process: subprocess.Popen[str]
    folder: Path

    def blocks(self) -> list[str]:
        """The blocks of restarts that have been begun in this folder, in all."""
        path = self.folder / "blocks.txt"
        return path.read_text().splitlines() if path.exists() else []

    def wait_until_it_works(self) -> None:
        """Until all is imported."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def wait_for_blocks(self, count: int) -> None:
        """Until it has begun `count` blocks more, or ended."""
        before = len(self.blocks())
        while len(self.blocks()) < before + count and self.process.poll() is None:
            time.sleep(0.01)

    def signal_group(self, number: signal.Signals) -> None:
        """Ctrl-C, for example, or the end of a session."""
        os.killpg(self.process.pid, number)

    def end(self) -> tuple[int, str]:
        """The exit code, and what was written to standard error."""
        _, err = self.process.communicate(timeout=600)
        return self.process.returncode, err


@pytest.fixture
def launch() -> Iterator[Callable[[Path, str], Launched]]:
    """`basinet` in a folder, with small blocks (driver.py)."""
    started: list[Launched] = []

    def call(folder: Path, line: str) -> Launched:
        process = subprocess.Popen(
            [sys.executable, DRIVER, str(SWEEP.block), *shlex.split(line)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(Launched(process, folder))
        return started[-1]

    yield call
    for launched in started:
        if launched.process.poll() is None:
            launched.signal_group(signal.SIGKILL)
            launched.end()


@pytest.fixture(scope="session")
def sweep() -> Command:
    """The sweep that is disturbed."""
    return SWEEP


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, furnish: Callable[[Path], Path]) -> Left:
    """What that sweep leaves behind if nobody disturbs it."""
    folder = furnish(tmp_path_factory.mktemp("undisturbed"))
    command = [sys.executable, DRIVER, str(SWEEP.block), *shlex.split(SWEEP.line)]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    blocks = (folder / "blocks.txt").read_text().splitlines()
    assert len(blocks) == len(set(blocks)) == SWEEP.blocks
    return Left.behind(folder)


@pytest.fixture(scope="session")
def left() -> Callable[[Path | str], Left]:
    """What a sweep has left in a store, see `Left.behind`."""
    return Left.behind


class Server:
    """`mlflow server`, which can be stopped and started again."""

    def __init__(self, folder: Path, backend: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self._backend = backend
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it answers."""
        command = [Path(sys.executable).parent / "mlflow", "server", "--workers", "1", "--port", str(self._port)]
        where = ["--backend-store-uri", self._backend, "--artifacts-destination", self._folder / "artifacts"]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *where],
                cwd=self._folder,
                env={**os.environ, **quiet},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{self.uri}/version", timeout=5).close()
                return
            except OSError:
                assert self._process.poll() is None, (self._folder / "server.log").read_text()
                time.sleep(0.1)
        raise TimeoutError(f"{self.uri} does not answer")

    def stop(self) -> None:
        """At once, with whatever it is at."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """A server of the database at some URI, with its artifacts below `tmp_path`."""
    servers: list[Server] = []

    def call(backend: str) -> Server:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, backend))
        servers[-1].start()
        return servers[-1]

    yield call
    for server in servers:
        server.stop()
