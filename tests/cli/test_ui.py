"""`basinet-ui` as its user meets it: a real server on a real store, and what it is not started for."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from basinet.cli.ui import main
from basinet.tracking.record import open_condition
from basinet.tracking.store import TrackingStore
from basinet.tracking.view import save_views

BIN = Path(sys.executable).parent


@pytest.fixture
def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Callable[..., tuple[Any, str]]]:
    """`basinet-ui` in this process and an empty folder: how it ended, and what it printed."""
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["basinet-ui", "--no-browser", *arguments])
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            return end.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    yield call
    for name, handler in handlers.items():
        signal.signal(name, handler)


def test_where_there_is_no_store_it_says_so_and_makes_none(shown: Callable[..., Any], tmp_path: Path) -> None:
    message = (
        f"basinet-ui: there is no store at {tmp_path}/mlflow.db; name one with --tracking-uri, or run basinet first"
    )
    assert shown() == (message, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", ["0", "-1", "70000"])
def test_a_port_that_is_none_is_refused(port: str, shown: Callable[..., Any], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
    assert shown("--port", port) == (f"basinet-ui: --port={port}: must be between 1 and 65535", "")


def test_a_port_that_is_asked_for_and_taken_is_refused(
    shown: Callable[..., Any], furnish: Callable[[Path], Path], tmp_path: Path
) -> None:
    furnish(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out = shown("--port", port)
    assert (code, out) == (f"basinet-ui: --port={port}: is taken; leave it out for one that is free", "")


@pytest.mark.slow
def test_a_store_that_mlflow_refuses_ends_in_one_line_with_its_reason(
    shown: Callable[..., Any], furnish: Callable[[Path], Path], tmp_path: Path
) -> None:
    furnish(tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    code, out = shown()
    assert code.startswith("basinet-ui: MLflow could not start: ")
    assert "0123456789ab" in code
    assert "\n" not in code
    assert out == ""


@contextmanager
def _pretended(version: str, experiments: list[dict[str, Any]] | None) -> Iterator[str]:
    """A server that answers as MLflow does to the two questions asked of it; `None` makes it one of something else."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(version.encode())

        def do_POST(self) -> None:
            assert self.path == "/api/2.0/mlflow/experiments/search"
            answer = {"experiments": experiments} if experiments else {}
            self._say(b"<html>" if experiments is None else json.dumps(answer).encode())

        def _say(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _experiment(number: str, name: str, launched: int | None) -> dict[str, Any]:
    view = {"key": "mlflow.sharedViewState.basinet-conditions", "value": json.dumps({"createdAt": launched})}
    return {"experiment_id": number, "name": name, "tags": [] if launched is None else [view]}


def test_of_a_server_that_is_there_already_the_addresses_are_printed_newest_first(shown: Callable[..., Any]) -> None:
    others = [_experiment("0", "Default", None)]
    ours = [_experiment("4", "old", 10), _experiment("5", "younger", 30), _experiment("6", "mid dle", 20)]
    with _pretended("3.17.2", others + ours) as uri:
        code, out = shown("--tracking-uri", uri)
    end = "runs?workflowType=machine_learning&viewStateShareKey=basinet-conditions"
    lines = [
        uri,
        *(f"{name:<7}  {uri}/#/experiments/{n}/{end}" for name, n in (("younger", 5), ("mid dle", 6), ("old", 4))),
    ]
    assert (code, out.splitlines()) == (0, lines)


def test_a_server_too_old_for_the_views_is_shown_without_them(shown: Callable[..., Any]) -> None:
    with _pretended("3.9.0", [_experiment("4", "old", 10)]) as uri:
        _, out = shown("--tracking-uri", uri)
    assert out.splitlines()[1] == f"old  {uri}/#/experiments/4/runs?workflowType=machine_learning"


def test_a_server_without_experiments_of_ours_is_only_named(shown: Callable[..., Any]) -> None:
    with _pretended("3.17.2", []) as uri:
        assert shown("--tracking-uri", f"{uri}/") == (0, f"{uri}\n")


def test_a_server_that_does_not_answer_ends_in_one_line(shown: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, out = shown("--tracking-uri", f"http://127.0.0.1:{port}")
    uri = f"http://127.0.0.1:{port}"
    assert code == f"basinet-ui: {uri}: no server answers there as MLflow does ([Errno 111] Connection refused)"
    assert out == ""


def test_a_server_of_something_else_ends_in_one_line(shown: Callable[..., Any]) -> None:
    with _pretended("<html>", None) as uri:
        code, _ = shown("--tracking-uri", uri)
    assert code.startswith(f"basinet-ui: {uri}: no server answers there as MLflow does (")


@contextmanager
def _started(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The console script."""
    command = [BIN / "basinet-ui", "--no-browser"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _children(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [found for child in map(int, text.split()) for found in (child, *_children(child))]


def _is_there(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _listening(port: int) -> set[str]:
    """The addresses at which somebody listens on a port, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.rpartition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


@pytest.fixture
def fill(furnish: Callable[[Path], Path], tmp_path: Path) -> Callable[[str], tuple[Path, Any]]:
    """Makes a folder with a store in it, of one experiment and one run with an artifact; and the run."""

    def call(name: str) -> tuple[Path, Any]:
        folder = furnish(tmp_path / name)
        store = TrackingStore.open(f"sqlite:///{folder / 'mlflow.db'}")
        experiment = store.experiment(name)
        save_views(store, experiment, ["init"])
        run = open_condition(store, experiment, "a name", "key", {"init": "normal"}, None)
        with store.writing(run.run) as place:
            (place / "minima.csv").write_text(f"{name}\n")
        run.close("FINISHED")
        return folder, run.run

    return call


def _check_what_it_serves(process: subprocess.Popen[str], name: str, run: Any) -> int:
    """Whether it shows the store it was started on, and nobody but this machine; the port."""
    assert process.stdout is not None
    address, experiment = (process.stdout.readline().strip() for _ in range(2))
    assert experiment.startswith(f"{name}  {address}/#/experiments/{run.info.experiment_id}/runs?")
    with urllib.request.urlopen(
        f"{address}/get-artifact?path=minima.csv&run_uuid={run.info.run_id}", timeout=20
    ) as answer:
        assert answer.read().decode() == f"{name}\n"
    port = int(address.removeprefix("http://127.0.0.1:"))
    assert _listening(port) == {"0100007F"}
    return port


def _check_that_it_ends(process: subprocess.Popen[str], how: signal.Signals, port: int) -> None:
    started = _children(process.pid)
    assert 0 < len(started) <= 3  # MLflow's own default is fifteen
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert err.splitlines() == ["starting MLflow, which takes some seconds; Ctrl-C ends it"]
    assert not any(_is_there(pid) for pid in started)
    assert _listening(port) == set()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux who listens where")
def test_two_that_start_at_once_serve_each_its_own_store_here_only_and_leave_nothing_behind(
    fill: Callable[[str], tuple[Path, Any]],
) -> None:
    """Both find the same port free when they begin."""
    (one, first), (two, second) = fill("one"), fill("two")
    with _started(one) as a, _started(two) as b:
        ports = _check_what_it_serves(a, "one", first), _check_what_it_serves(b, "two", second)
        assert len(set(ports)) == 2
        _check_that_it_ends(a, signal.SIGINT, ports[0])
        _check_that_it_ends(b, signal.SIGTERM, ports[1])
