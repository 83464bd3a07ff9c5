"""A tracking store that is locked, or away, in the middle of a sweep."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

from basinet.pipeline.run import run
from basinet.study.study import Study
from basinet.tracking import store
from basinet.tracking.process import Presence
from basinet.tracking.store import StoreAway

LINE = "-m init=normal,uniform,orthogonal restarts=30 descent.steps=50 engine=torch tracking.figures=none"
CONDITIONS = 3
LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
open(sys.argv[1] + ".given-back", "w").close()
connection.execute("ROLLBACK")
"""


@pytest.fixture
def in_the_middle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Lets something happen when the second condition has been trained and is about to be written."""

    def install(happen: Callable[[], None]) -> None:
        def instead(study: Study, **rest: Any) -> Any:
            findings = run(study, **rest)
            if study.settings["init"]["name"] == "uniform" and not happened:
                happened.append(True)
                happen()
            return findings

        happened: list[bool] = []
        monkeypatch.setattr("basinet.workflows.sweep.run", instead)

    return install


@pytest.fixture
def undisturbed_here(sweeps: Any, left: Any, furnish: Any, tmp_path: Path) -> Any:
    """What the sweep leaves behind in an embedded store of its own."""
    furnish(tmp_path / "undisturbed")
    assert sweeps(f"{LINE} tracking.uri=sqlite:///undisturbed/mlflow.db").code == 0
    return left(tmp_path / "undisturbed")


@pytest.fixture
def server(serve: Any, furnish: Any, tmp_path: Path) -> Any:
    """A server that is there at first."""
    return serve(f"sqlite:///{furnish(tmp_path / 'behind')}/mlflow.db")


@pytest.fixture
def lock() -> Iterator[Callable[[Path, float], None]]:
    """Another process that holds the lock of a database for some seconds; returns when it does.

    Before it gives it back, it puts a file beside the database that says so.
    """
    started: list[subprocess.Popen[str]] = []

    def call(path: Path, seconds: float) -> None:
        locker = subprocess.Popen([sys.executable, "-c", LOCKER, path, str(seconds)], stdout=subprocess.PIPE, text=True)
        started.append(locker)
        assert locker.stdout is not None
        assert locker.stdout.readline() == "locked\n"

    yield call
    for locker in started:
        locker.kill()
        locker.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.stress)])
def test_a_sweep_waits_for_a_store_that_another_process_has_locked(
    seconds: int, sweeps: Any, left: Any, lock: Any, in_the_middle: Any, undisturbed_here: Any, tmp_path: Path
) -> None:
    """MLflow itself gives up after 20 s."""
    in_the_middle(lambda: lock(tmp_path / "mlflow.db", seconds))
    answer = sweeps(LINE)
    assert answer.code == 0, answer.err
    assert (tmp_path / "mlflow.db.given-back").exists()
    assert ("waiting for the tracking store" in answer.err) == (seconds > 20)
    left(tmp_path).assert_complete(CONDITIONS)
    left(tmp_path).assert_same_as(undisturbed_here)


def test_a_call_is_made_again_while_the_database_cannot_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PAUSE", 0.0)
    answers: list[Any] = [MlflowException("locked", TEMPORARILY_UNAVAILABLE)] * 3 + ["the answer"]
    assert store._patiently(lambda: reply(answers)) == "the answer"


def test_other_errors_are_none_to_wait_for() -> None:
    answers: list[Any] = [MlflowException("no such run", RESOURCE_DOES_NOT_EXIST), "the answer"]
    with pytest.raises(MlflowException, match="no such run"):
        store._patiently(lambda: reply(answers))


def test_a_database_that_stays_away_is_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PAUSE", 0.01)
    monkeypatch.setattr(store, "_PATIENCE", 0.1)
    away = [MlflowException("locked", TEMPORARILY_UNAVAILABLE)] * 100
    with pytest.raises(StoreAway, match=r"^the tracking store does not answer \(locked\)$"):
        store._patiently(lambda: reply(away))
    assert 2 < len(away) < 95


def reply(answers: list[Any]) -> Any:
    answer = answers.pop(0)
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.stress)])
def test_a_sweep_waits_for_a_server_that_is_away(
    seconds: int, sweeps: Any, left: Any, server: Any, in_the_middle: Any, undisturbed_here: Any
) -> None:
    """MLflow asks again by itself, at growing intervals, for four minutes."""

    def go_away() -> None:
        server.stop()
        threading.Timer(seconds, server.start).start()

    in_the_middle(go_away)
    answer = sweeps(f"{LINE} tracking.uri={server.uri}")
    assert answer.code == 0, answer.err
    left(server.uri).assert_complete(CONDITIONS)
    left(server.uri).assert_same_as(undisturbed_here)


@pytest.mark.slow
def test_what_a_server_did_not_take_is_kept_and_logged_next_time(
    sweeps: Any, left: Any, server: Any, in_the_middle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    in_the_middle(server.stop)
    answer = sweeps(f"{LINE} tracking.uri={server.uri}")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert answer.err.count("failed: StoreAway: the tracking store does not answer") == 2  # and the first has finished
    assert answer.err.splitlines()[-1].startswith("basinet: the tracking store does not answer")
    server.start()
    monkeypatch.setattr("basinet.tracking.abandoned.presence", lambda tags: Presence.GONE)  # here it is this process
    monkeypatch.setattr("basinet.pipeline.run.solve", computing_again)
    line = LINE.replace("init=normal,uniform,orthogonal", "init=normal,uniform")  # the third could not begin
    assert sweeps(f"{line} tracking.uri={server.uri}").code == 0
    left(server.uri).assert_complete(2)


def computing_again(*arguments: object) -> None:
    raise AssertionError("all blocks of these conditions are there")


@pytest.mark.stress
def test_what_is_loaded_from_a_server_leaves_no_copies(
    serve: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    uri = serve(f"sqlite:///{tmp_path}/server.db").uri
    launch = [
        Path(sys.executable).parent / "basinet",
        f"tracking.uri={uri}",
        "restarts=3",
        "descent.steps=5",
        "tracking.figures=none",
    ]
    subprocess.run(launch, cwd=tmp_path, check=True, capture_output=True)
    code = f"""
import os, basinet
for _ in range(3):
    basinet.load_restarts("basinet", tracking_uri={uri!r})
print(sum(len(files) for _, _, files in os.walk({str(temporary)!r})))
"""
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert loaded.stdout == "1\n"
    assert [path.name for path in temporary.iterdir() if path.name.startswith("basinet")] == []
