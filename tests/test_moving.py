"""A store that is carried to another place is as good there as it was."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import basinet
from basinet.cli import doctor

LOADERS = [
    basinet.load_runs,
    basinet.load_restarts,
    basinet.load_minima,
    basinet.load_curves,
    basinet.load_quantiles,
    basinet.load_evidence,
    basinet.load_parameters,
    lambda name, **where: basinet.open(name, **where).catalogues(),
]


@pytest.fixture
def moved(swept: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, to which the store of a sweep was moved; where it was made is nothing any more."""
    folder = tmp_path_factory.mktemp("moved") / "an other place, ü"
    folder.mkdir()
    for name in ("mlflow.db", "mlartifacts", ".basinet"):
        shutil.move(swept / name, folder / name)
    for path in swept.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.chdir(folder)
    return folder


def test_nothing_in_a_store_says_where_it_lies(moved: Path, swept: Path, swept_once: Path) -> None:
    for path in moved.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(swept_once).encode() not in content, path
            assert str(swept).encode() not in content, path


def test_everything_loads_as_before(moved: Path, swept_once: Path) -> None:
    for loader in LOADERS:
        before = loader("basinet", tracking_uri=f"sqlite:///{swept_once}/mlflow.db")
        pd.testing.assert_frame_equal(loader("basinet"), before)
        pd.testing.assert_frame_equal(loader("basinet", tracking_uri=f"sqlite:///{moved}/mlflow.db"), before)
    (sweep,) = set(basinet.load_runs("basinet")["sweep_id"])
    assert len(basinet.load_restarts(sweep)) == 60


@pytest.mark.slow
def test_a_report_can_be_made(moved: Path) -> None:
    page = basinet.report("basinet")
    assert page.is_relative_to(moved) or not page.is_absolute()
    assert "30" in page.read_text(encoding="utf-8")


def test_a_restart_can_be_replayed(moved: Path) -> None:
    run = basinet.load_runs("basinet")["run_id"][0]
    assert basinet.replay(run, 3).identical


@pytest.mark.slow
def test_a_sweep_goes_on_there(
    moved: Path, command: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, computed: list[range]
) -> None:
    monkeypatch.chdir(moved)
    sweep = "-m init=normal,uniform network.depth=1 descent.steps=100 tracking.figures=none"
    before = basinet.load_restarts("basinet")
    answer = command(f"{sweep} restarts=30")
    assert (answer.code, answer.err.count("(finished before)")) == (0, 2)
    assert computed == []
    pd.testing.assert_frame_equal(
        basinet.load_restarts("basinet").drop(columns="sweep_minimum"), before.drop(columns="sweep_minimum")
    )
    assert command(f"{sweep} restarts=40").code == 0
    assert computed == [range(30, 40)] * 2
    assert len(basinet.load_restarts("basinet")) == 80


@contextmanager
def served(folder: Path, *command: str) -> Iterator[str]:
    """The address of a real server of MLflow's, started in a folder as a user would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quick = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        [Path(sys.executable).parent / "mlflow", *command, "--workers", "1", "--port", str(port)],
        cwd=folder,
        env={**os.environ, **quick},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def get(address: str, **query: str) -> bytes:
    with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
        content: bytes = answer.read()
    return content


def listeners(address: str) -> set[str]:
    """The local addresses at which somebody listens on the port, as the kernel writes them."""
    port = int(address.rpartition(":")[2])
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.partition(":")[2], 16) == port:
                found.add(local.partition(":")[0])
    return found


@pytest.mark.slow
def test_a_server_that_is_started_there_serves_runs_and_artifacts_to_this_machine_alone(
    moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(moved / "mlflow.db")) as connection:
        kind = "SELECT run_uuid FROM tags WHERE key = 'basinet.kind' AND value = 'condition'"
        runs = [run for (run,) in connection.execute(kind)]
    with served(moved, "server") as address:
        for run in runs:
            answer = json.loads(get(f"{address}/api/2.0/mlflow/runs/get", run_id=run))["run"]
            assert answer["info"]["status"] == "FINISHED"
            assert {"key": "restarts", "value": "30"} in answer["data"]["tags"]
            listed = json.loads(get(f"{address}/api/2.0/mlflow/artifacts/list", run_id=run, path="tables"))["files"]
            assert {"tables/restarts.parquet", "tables/minima.parquet"} <= {entry["path"] for entry in listed}
            for name in ("tables/restarts.parquet", "config.yaml", "parameters.npz"):
                (path,) = (path for path in moved.glob(f"mlartifacts/*/{run}/artifacts/{name}"))
                assert get(f"{address}/get-artifact", run_uuid=run, path=name) == path.read_bytes()
        if Path("/proc/net/tcp").exists():
            assert listeners(address) == {"0100007F"}  # 127.0.0.1
        loaded = basinet.load_restarts("basinet", tracking_uri=address)
        monkeypatch.setattr(sys, "argv", ["basinet-doctor", "--tracking-uri", address])
        with pytest.raises(SystemExit) as end:
            doctor.main()
        assert end.value.code == 0
    pd.testing.assert_frame_equal(loaded, basinet.load_restarts("basinet"))
