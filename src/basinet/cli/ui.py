"""`basinet-ui`: MLflow's pages on the results, at a local address; a small server that ends with this command."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from basinet.cli.script import script, tell_environment
from basinet.foundation.errors import ConfigError, require
from basinet.tracking.mlflow_internals import VIEW_TAG, address_of_runs, store_address, time_of
from basinet.tracking.view import CONDITIONS

_HOST, _PORT = "127.0.0.1", 5000
_SQLITE = "sqlite:///"
_ARTIFACTS = "mlartifacts"  # beside the database
_SMALL = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # or there are 12 more processes, for evaluating language models
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",
}
_PATIENCE = 180.0  # seconds until the server has to answer: it takes 10 on an idle machine
_GRACE = 10.0  # seconds that it has for ending
_SHOWN = 10  # experiments
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """The console script."""
    with script("basinet-ui"):
        parser = argparse.ArgumentParser(prog="basinet-ui", description=__doc__)
        parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
        parser.add_argument("--port", type=int, help=f"default: {_PORT}, or any that is free if that is taken")
        parser.add_argument("--no-browser", action="store_true", help="only print the address")
        arguments = parser.parse_args()
        for name in _ENDS:  # whoever stops us is a user with Ctrl-C, unless we are to outlive the terminal (nohup)
            if name is not signal.SIGHUP or signal.getsignal(name) is not signal.SIG_IGN:
                signal.signal(name, signal.default_int_handler)
        try:
            _show(arguments.tracking_uri, arguments.port, with_browser=not arguments.no_browser)
        except KeyboardInterrupt:
            sys.exit(0)


def _show(tracking_uri: str | None, port: int | None, *, with_browser: bool) -> None:
    from basinet.tracking.address import checked_uri

    uri = checked_uri(tracking_uri)
    tell_environment(uri)
    if uri.startswith("http"):
        require(port is None, f"--port does not go with {uri}, where there is a server already")
        try:
            _tell(uri.rstrip("/"), with_browser=with_browser)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ConfigError(f"{uri}: no server answers there as MLflow does ({reason})") from error
        return
    folder = Path.cwd()
    if uri.startswith(_SQLITE):
        path = Path(uri.removeprefix(_SQLITE))
        require(path.is_file(), f"there is no store at {path}; name one with --tracking-uri, or run basinet first")
        folder = path.parent
    chosen = _free_port(port)
    print("starting MLflow, which takes some seconds; Ctrl-C ends it", file=sys.stderr, flush=True)
    try:
        _serve(uri, folder, chosen, with_browser=with_browser)
    except _TakenError:  # meanwhile
        if port is not None:
            raise
        _serve(uri, folder, _any_port(), with_browser=with_browser)


class _TakenError(ConfigError):
    """Somebody else was quicker to take a port."""


def _serve(uri: str, folder: Path, port: int, *, with_browser: bool) -> None:
    """Run a server until somebody interrupts it."""
    with _server(uri, folder, port) as ended:
        _tell(f"http://{_HOST}:{port}", with_browser=with_browser)
        ended()


def _free_port(asked: int | None) -> int:
    """The port that is asked for, or one that is free.

    Raises:
        ConfigError: if the one that is asked for is taken, or none.
    """
    if asked is not None:
        require(0 < asked < 65536, f"--port={asked}: must be between 1 and 65535")
        require(_is_free(asked), f"--port={asked}: is taken; leave it out for one that is free")
        return asked
    return _PORT if _is_free(_PORT) else _any_port()


def _any_port() -> int:
    with socket.socket() as any_free:
        any_free.bind((_HOST, 0))
        return int(any_free.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as ours, socket.socket() as theirs:
        if theirs.connect_ex((_HOST, port)) == 0:
            return False
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            ours.bind((_HOST, port))
        except PermissionError as error:
            raise ConfigError(f"--port={port}: {error.strerror}") from error
        except OSError:
            return False
    return True


@contextmanager
def _server(uri: str, folder: Path, port: int) -> Iterator[Any]:
    """A server that answers, and what waits for its end; all of its processes are gone afterwards."""
    store = ["--backend-store-uri", store_address(uri), "--artifacts-destination", str(folder / _ARTIFACTS)]
    place = ["--host", _HOST, "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *store, *place]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **_SMALL},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which can be ended as a whole
        )
        try:
            _await(process, port, log)
            yield lambda: _await_end(process, log)
        finally:
            _end(process)


def _await(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    """Return when the server answers: this one, and not another that was quicker to take the port."""
    address = f"http://{_HOST}:{port}"
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            error = _TakenError if "address already in use" in _said(log).lower() else ConfigError
            raise error(f"MLflow could not start: {_last_words(log)}")
        with suppress(OSError):
            if address in _said(log):  # which is said when it listens there
                _get(f"{address}/health")
                return
        time.sleep(0.1)
    raise ConfigError(f"MLflow does not answer after {_PATIENCE:.0f} seconds: {_last_words(log)}")


def _await_end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    while process.poll() is None:  # not wait(): a signal that comes just before it blocks would be seen by nobody
        time.sleep(0.1)
    raise ConfigError(f"MLflow has ended by itself: {_last_words(log)}")


def _said(log: IO[bytes]) -> str:
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), size, 0).decode(errors="replace")  # leaves alone where the server writes


def _last_words(log: IO[bytes]) -> str:
    lines = [line.strip() for line in _said(log).splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.lower()]
    return (told or lines or ["it says nothing"])[-1]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, which are a group: kindly, then not; nothing interrupts it meanwhile."""
    before = {name: signal.signal(name, signal.SIG_IGN) for name in _ENDS}
    for name in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, name)
            deadline = time.monotonic() + _GRACE
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)  # until there is nobody left
                time.sleep(0.05)
    for name, handler in before.items():  # another server may be started, if the port was taken
        signal.signal(name, handler)


def _tell(base: str, *, with_browser: bool) -> None:
    """Print the address of the server, and of the experiments launched last; show the newest."""
    addresses = _addresses(base)
    print(base)
    width = max(map(len, addresses), default=0)
    for name, address in addresses.items():
        print(f"{name:<{width}}  {address}")
    sys.stdout.flush()
    if with_browser and _has_screen():
        webbrowser.open(next(iter(addresses.values()), base))


def _addresses(base: str) -> dict[str, str]:
    """Where the conditions of each experiment of ours are shown, by its name, the one launched last first."""
    version = _get(f"{base}/version").decode()
    answer = json.loads(_get(f"{base}/api/2.0/mlflow/experiments/search", {"max_results": 1000}))
    found = []
    for experiment in answer.get("experiments", []):
        tags = {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}
        view = tags.get(VIEW_TAG + CONDITIONS)
        if view is not None:
            page = base + address_of_runs(experiment["experiment_id"], CONDITIONS, version)
            found.append((time_of(view), experiment["name"], page))
    return {name: address for _, name, address in sorted(found, reverse=True)[:_SHOWN]}


def _get(address: str, body: dict[str, Any] | None = None) -> bytes:
    """What a server answers, without any proxy."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        content: bytes = answer.read()
    return content


def _has_screen() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    main()
