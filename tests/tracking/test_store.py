from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import pytest

from basinet.foundation.errors import ConfigError
from basinet.tracking import load
from basinet.tracking.address import checked_uri, default_uri
from basinet.tracking.mlflow_internals import make_database
from basinet.tracking.store import TrackingStore, _patiently

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

WORKER = """
import sys
from basinet.tracking.store import TrackingStore
import mlflow.tracking
print("ready", flush=True)
for uri in sys.stdin:
    try:
        store = TrackingStore.open(uri.strip())
        experiment = store.experiment("same")
        store.client.create_run(experiment)
        print("made", experiment, flush=True)
    except BaseException as error:
        print("failed", type(error).__name__, str(error).replace(chr(10), " "), flush=True)
"""


@contextmanager
def workers(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that wait for the URI of a store to open, make the experiment and a run, and say how it went."""
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    try:
        for worker in started:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        yield started
    finally:
        for worker in started:
            worker.communicate()  # closes its input, which ends it


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_git_leaves_unfinished_work_alone_and_nothing_beside_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    folder = TrackingStore(f"sqlite:///{tmp_path}/mlflow.db", cast("MlflowClient", None)).make_work_folder()
    for path in (folder / "blocks" / "0.parquet", tmp_path / "mine.py"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    said = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout == "?? mine.py\n"


def test_what_a_user_has_written_for_git_stays(tmp_path: Path) -> None:
    store = TrackingStore(f"sqlite:///{tmp_path}/mlflow.db", cast("MlflowClient", None))
    (store.make_work_folder() / ".gitignore").write_text("own\n")
    assert (store.make_work_folder() / ".gitignore").read_text() == "own\n"


def use_fresh_stores_at_once(folder: Path, processes: int, rounds: int) -> None:
    with workers(processes) as started:
        for number in range(rounds):
            path = folder / str(number) / "mlflow.db"
            path.parent.mkdir()
            for worker in started:
                assert worker.stdin is not None
                worker.stdin.write(f"sqlite:///{path}\n")
                worker.stdin.flush()
            answers = [worker.stdout.readline().strip() for worker in started if worker.stdout is not None]
            ((experiment,),) = query(path, "SELECT experiment_id FROM experiments WHERE name = 'same'")
            assert answers == [f"made {experiment}"] * processes
            assert query(path, "SELECT count(*) FROM runs") == [(processes,)]
            assert len(query(path, "SELECT * FROM alembic_version")) == 1
            assert query(path, "PRAGMA integrity_check") == [("ok",)]
            assert query(path, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.slow
def test_a_fresh_store_can_be_used_by_four_processes_at_once(tmp_path: Path) -> None:
    """Without the lock at least two of four died in every trial."""
    use_fresh_stores_at_once(tmp_path, processes=4, rounds=2)


@pytest.mark.stress
def test_a_fresh_store_can_be_used_by_four_processes_at_once_fifty_times(tmp_path: Path) -> None:
    use_fresh_stores_at_once(tmp_path, processes=4, rounds=50)


def test_the_tables_of_a_database_appear_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies while MLflow makes them leaves a file that the next one can still make a store of."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"

    def dying(uri: str) -> None:
        make_database(uri)
        raise KeyboardInterrupt

    monkeypatch.setattr("basinet.tracking.store.make_database", dying)
    with pytest.raises(KeyboardInterrupt):
        TrackingStore.open(uri)
    assert query(tmp_path / "mlflow.db", "SELECT name FROM sqlite_master") == []
    monkeypatch.undo()
    TrackingStore.open(uri)
    assert len(query(tmp_path / "mlflow.db", "SELECT * FROM alembic_version")) == 1


def test_a_store_that_was_made_by_mlflow_itself_gets_the_write_ahead_log(empty_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_store, path)
    assert query(path, "PRAGMA journal_mode=DELETE") == [("delete",)]
    TrackingStore.open(f"sqlite:///{path}")
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


def test_artifacts_lie_where_a_plain_mlflow_ui_looks_for_them(write: Callable[..., Any], tmp_path: Path) -> None:
    """Its root of artifacts is ./mlartifacts, and addresses `mlflow-artifacts:/…` are relative to it."""
    run = write({"init": "normal"}, [1.0])
    address = run.run.info.artifact_uri
    assert address.startswith("mlflow-artifacts:/")
    folder = tmp_path / "mlartifacts" / address.removeprefix("mlflow-artifacts:/").lstrip("/")
    assert {path.name for path in folder.iterdir()} >= {"tables", "parameters.npz", "config.yaml"}
    assert folder == run.folder


def test_a_store_can_be_moved_and_everything_loads_as_before(write: Callable[..., Any], tmp_path: Path) -> None:
    for std in (1.0, 2.0):
        write({"init": "normal", "init.std": std}, [std, 0.5])
    loaders = [load.load_runs, load.load_restarts, load.load_curves, load.load_quantiles, load.load_parameters]
    before = [loader("made") for loader in loaders]
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for path in [tmp_path / "mlartifacts", *tmp_path.glob("mlflow.db*")]:
        shutil.move(path, elsewhere)
    after = [loader("made", tracking_uri=f"sqlite:///{elsewhere}/mlflow.db") for loader in loaders]
    for one, other in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.stress
def test_a_plain_mlflow_server_in_the_folder_serves_the_artifacts(write: Callable[..., Any], tmp_path: Path) -> None:
    run = write({"init": "normal"}, [1.0])
    port = "5079"
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        [Path(sys.executable).parent / "mlflow", "server", "--workers", "1", "--port", port],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = run.run.info.artifact_uri.removeprefix("mlflow-artifacts:/").lstrip("/")
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts/{address}/config.yaml"
    try:
        content = b""
        for _ in range(120):
            time.sleep(0.5)
            try:
                content = urllib.request.urlopen(url, timeout=5).read()
                break
            except OSError:
                continue
        assert content == (run.folder / "config.yaml").read_bytes()
    finally:
        server.terminate()
        server.wait()


def test_the_default_store_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_uri() == checked_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_relative_path_is_made_absolute_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///sub/x.db") == f"sqlite:///{tmp_path}/sub/x.db"


@pytest.mark.parametrize("uri", ["http://localhost:5000", "https://a.b/c", "postgresql://a@b/c", "mysql+pymysql://a"])
def test_other_stores_are_left_as_they_are(uri: str) -> None:
    assert checked_uri(uri) == uri


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "must start with sqlite:///"),
        ("mlruns", "must start with sqlite:///"),
        ("file:///tmp/mlruns", "must start with sqlite:///"),
        ("sqlite://x.db", "must start with sqlite:///"),
        ("http://", "names no server"),
        ("sqlite:///", "is a folder, where a file should be"),
        ("sqlite:///nowhere/x.db", "does not exist"),
        ("sqlite:///a?b.db", "must be without '?'"),
        ("sqlite:///text.db", "not an SQLite database"),
    ],
)
def test_a_store_that_cannot_be_is_refused(
    uri: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.db").write_text("hello")
    with pytest.raises(ConfigError) as refusal:
        checked_uri(uri)
    assert str(refusal.value).startswith(f"tracking.uri={uri}: ")
    assert message in str(refusal.value)


def test_an_empty_file_may_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    assert checked_uri(f"sqlite:///{tmp_path}/x.db") == f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1:9", "no server answers"),
        ("http://127.0.0.1:port", "no server answers"),
        ("mysql+nothing://a", "cannot be opened"),
    ],
)
def test_a_store_that_does_not_answer_is_refused_at_once(uri: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"^tracking\.uri={uri.replace('+', '.')}: {reason} \(.+\)$"):
        TrackingStore.open(uri)


def test_a_store_of_a_later_version_of_mlflow_is_refused(empty_store: Path, tmp_path: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.commit()
    with pytest.raises(ConfigError, match=r"mlflow\.db: cannot be opened \(.*ffffffffffff"):
        TrackingStore.open(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_database_that_has_become_read_only_is_not_waited_for(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "x.db").execute("CREATE TABLE x (y)")
    connection = sqlite3.connect(f"file:{tmp_path}/x.db?mode=ro", uri=True)
    with closing(connection), pytest.raises(ConfigError, match="cannot be written to, it is read-only"):
        _patiently(lambda: connection.execute("INSERT INTO x VALUES (1)"))


REFUSED = """
import sys
from basinet.foundation.errors import ConfigError
from basinet.tracking.store import TrackingStore
try:
    TrackingStore.open(sys.argv[1])
except ConfigError as error:
    print(error)
"""


def test_a_variable_that_keeps_mlflow_from_loading_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    command = [sys.executable, "-c", REFUSED, f"sqlite:///{tmp_path}/mlflow.db"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    variables["MLFLOW_LOGGING_LEVEL"] = "WHAT"
    said = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    told = "Unknown level: 'WHAT'; the environment sets MLFLOW_LOGGING_LEVEL"
    assert said == f"MLflow cannot be loaded ({told})\n"
    assert list(tmp_path.iterdir()) == []


def test_reading_from_where_there_is_no_store_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no store at"):
        TrackingStore.open_existing(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_is_made_once(store: TrackingStore, tmp_path: Path) -> None:
    assert store.experiment("x") == store.experiment("x") != store.experiment("y")
    names = [name for (name,) in query(tmp_path / "mlflow.db", "SELECT name FROM experiments")]
    assert sorted(names) == ["Default", "x", "y"]


def test_a_deleted_experiment_is_refused_and_a_restored_one_is_not(store: TrackingStore) -> None:
    number = store.experiment("x")
    store.client.delete_experiment(number)
    with pytest.raises(ConfigError, match=rf"^tracking\.experiment=x: was deleted; .* --experiment-id {number}$"):
        store.experiment("x")
    store.client.restore_experiment(number)
    assert store.experiment("x") == number


@pytest.mark.parametrize("name", ["a%41b", 'it\'s "a%2Fb#" é'])
def test_a_store_lies_in_its_folder_whatever_that_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoded once too often or too seldom, a name is that of another folder, or of none."""
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    store = TrackingStore.open(checked_uri(None))
    store.experiment("mine")
    with closing(sqlite3.connect("mlflow.db")) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM experiments")}
    assert "mine" in names
    assert [path.name for path in tmp_path.iterdir()] == [name]
