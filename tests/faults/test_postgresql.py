"""A tracking store on PostgreSQL, behind a server and by itself, is as good as the embedded one."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

LINE = (
    "-m init=normal,uniform,orthogonal,constant network.depth=1,2 restarts=30 descent.steps=50 engine=torch "
    "tracking.figures=none"
)
FOUR_PROCESSES = "hydra/launcher=joblib hydra.launcher.n_jobs=4 hydra.launcher.batch_size=1"


def programs() -> Path | None:
    """Where Debian's package, or whoever else, has put PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    elsewhere = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(elsewhere).parent if elsewhere else None


pytestmark = [
    pytest.mark.skipif(programs() is None, reason="needs PostgreSQL: apt-get install postgresql"),
    pytest.mark.skipif(
        importlib.util.find_spec("psycopg") is None or importlib.util.find_spec("psycopg2") is None,
        reason="needs the extra: pip install 'basinet[postgresql]'",
    ),
]


def somebody() -> dict[str, Any]:
    """PostgreSQL does not run as root: whom it runs as, for `subprocess`."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address `user@host:port` of a PostgreSQL of our own."""
    path, who = programs(), somebody()
    assert path is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="postgresql-")  # not below pytest's own, which nobody else may enter
    if who:
        os.chown(folder, who["user"], who["group"])

    def call(program: str, *arguments: str) -> None:
        command = [path / program, "--pgdata", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **who)

    try:
        call("initdb", "--username", "basinet", "--auth", "trust", "--no-sync")
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        call("pg_ctl", "--wait", "--log", f"{folder}/log", "--options", options, "start")
        yield f"basinet@127.0.0.1:{port}"
        call("pg_ctl", "--wait", "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(postgresql: str) -> str:
    """The URI of a database with nothing in it."""
    engine = sqlalchemy.create_engine(f"postgresql+psycopg2://{postgresql}/postgres", isolation_level="AUTOCOMMIT")
    name = f"of_{uuid.uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"postgresql://{postgresql}/{name}"


@pytest.fixture
def embedded(sweeps: Any, left: Any, tmp_path: Path) -> Any:
    """What the sweep leaves behind in an embedded store."""
    assert sweeps(LINE).code == 0
    return left(tmp_path)


@pytest.mark.slow
def test_four_workers_log_through_a_server_on_postgresql(
    sweeps: Any, left: Any, serve: Any, database: str, embedded: Any
) -> None:
    uri = serve(database).uri
    answer = sweeps(f"{LINE} {FOUR_PROCESSES} tracking.uri={uri} rerun=all")
    assert answer.code == 0, answer.err
    left(uri).assert_complete(8)
    left(uri).assert_same_as(embedded)


@pytest.mark.stress
def test_four_workers_log_to_postgresql_itself(sweeps: Any, left: Any, database: str, embedded: Any) -> None:
    for driver in ("postgresql", "postgresql+psycopg2", "postgresql+psycopg"):
        uri = database.replace("postgresql", driver, 1)
        answer = sweeps(f"{LINE} {FOUR_PROCESSES} tracking.uri={uri} rerun=all")
        assert answer.code == 0, answer.err
        left(uri).assert_complete(8)
        left(uri).assert_same_as(embedded)
