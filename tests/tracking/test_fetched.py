"""What is fetched from a server: once, into a folder that goes with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from basinet.tracking import fetched
from basinet.tracking.store import TrackingStore

FETCHING = """
import sys, time
from types import SimpleNamespace
from pathlib import Path
from basinet.tracking import fetched

class Client:
    def download_artifacts(self, run_id, relative, folder):
        path = Path(folder, "fetched")
        path.write_text(run_id)
        return str(path)

run = SimpleNamespace(info=SimpleNamespace(run_id="run", status="FINISHED"))
print(fetched.fetch(Client(), "http://server", run, "tables/restarts.parquet"), flush=True)
time.sleep(float(sys.argv[1]))
"""


class Server:
    """A client of a server that has one artifact, and counts how often it is asked for it."""

    def __init__(self) -> None:
        self.fetched = 0

    def list_artifacts(self, run_id: str, folder: str | None) -> list[Any]:
        return [SimpleNamespace(path="tables/restarts.parquet")]

    def download_artifacts(self, run_id: str, relative: str, folder: str) -> str:
        self.fetched += 1
        path = Path(folder) / relative
        path.parent.mkdir()
        path.write_text(f"{run_id} {self.fetched}")
        return str(path)


def run_of(run_id: str, status: str = "FINISHED") -> Any:
    return SimpleNamespace(info=SimpleNamespace(run_id=run_id, status=status, artifact_uri="mlflow-artifacts:/1"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders are made, of this process and of those that it launches."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    fetched._folder.cache_clear()
    yield tmp_path
    fetched._folder.cache_clear()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_an_artifact_of_a_finished_run_is_fetched_once(temporary: Path) -> None:
    server = Server()
    store = TrackingStore("http://server", server)  # type: ignore[arg-type]
    paths = {store.artifact(run_of("one"), "tables/restarts.parquet") for _ in range(3)}
    (path,) = paths
    assert path is not None
    assert (path.read_text(), server.fetched) == ("one 1", 1)
    assert store.artifact(run_of("one"), "tables/minima.parquet") is None
    assert len(list(temporary.iterdir())) == 1


def test_that_of_a_run_that_is_being_written_is_fetched_again_and_takes_no_more_room(temporary: Path) -> None:
    store = TrackingStore("http://server", Server())  # type: ignore[arg-type]
    texts = []
    for _ in range(2):
        path = store.artifact(run_of("one", "RUNNING"), "tables/restarts.parquet")
        assert path is not None
        texts.append(path.read_text())
    assert texts == ["one 1", "one 2"]
    assert files(temporary) == ["restarts.parquet"]


def test_runs_and_servers_are_kept_apart(temporary: Path) -> None:
    stores = [TrackingStore(uri, Server()) for uri in ("http://one", "http://two")]  # type: ignore[arg-type]
    paths = [store.artifact(run_of(run), "tables/restarts.parquet") for store in stores for run in ("a", "b")]
    assert [path and path.read_text() for path in paths] == ["a 1", "b 2", "a 1", "b 2"]


def fetching(seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCHING, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_a_process_has_fetched_goes_with_it(temporary: Path) -> None:
    process = fetching(0)
    out, _ = process.communicate()
    assert (process.returncode, out.startswith(str(temporary))) == (0, True)
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_has_fetched_is_removed_by_the_next_and_that_of_others_at_work_is_not(
    temporary: Path,
) -> None:
    killed, working = fetching(600), fetching(600)
    for process in (killed, working):
        assert process.stdout is not None
        assert Path(process.stdout.readline().strip()).read_text() == "run"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    for folder in temporary.iterdir():
        os.utime(folder, (time.time() - 60,) * 2)
    store = TrackingStore("http://server", Server())  # type: ignore[arg-type]
    store.artifact(run_of("one"), "tables/restarts.parquet")
    assert len(list(temporary.iterdir())) == 2  # this process's, and that of the one at work
    working.kill()
    working.communicate()
