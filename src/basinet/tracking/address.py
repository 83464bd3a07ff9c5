"""Where a tracking store is, and what stands there: looked at without MLflow, and without touching anything."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from basinet.foundation.errors import require
from basinet.tracking.mlflow_internals import VERSION_TABLE

SQLITE = "sqlite:///"
SERVERS = ("http://", "https://")
DATABASES = ("postgresql", "mysql")
"""How the addresses of stores begin: of an embedded one, of servers, and of databases that are servers."""

FOLDER = "mlartifacts"
"""Where a plain `mlflow ui` keeps and looks for the artifacts of an embedded store."""

_OTHERS = (*DATABASES, "databricks")
_BESIDE = ("-journal", "-wal", "-shm", ".lock")  # files of SQLite's, and ours, beside a database


def default_uri() -> str:
    """The embedded store of the working directory, as an absolute URI."""
    return f"{SQLITE}{Path.cwd() / 'mlflow.db'}"


def checked_uri(uri: str | None) -> str:
    """`uri` made absolute, or the default; touches nothing.

    Raises:
        ConfigError: if MLflow would not understand it, or an SQLite file is none or cannot be made where it should be.
    """
    if uri is None:
        uri = default_uri()
    if uri.startswith(SQLITE):
        return f"{SQLITE}{_checked_path(Path(uri.removeprefix(SQLITE)).absolute(), f'tracking.uri={uri}')}"
    if uri.startswith(SERVERS):
        require(_names_server(uri), f"tracking.uri={uri}: names no server, as http://localhost:5000 does")
        return uri
    require(uri.startswith(_OTHERS), f"tracking.uri={uri}: must start with sqlite:///, postgresql:// or http://")
    return uri


def _names_server(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a bracket without its other one, a port that is no number
        return False


def _checked_path(path: Path, what: str) -> Path:
    require(path.name != "", f"{what}: must name a file")
    require(_is_text(path), f"{_printable(what)}: the name of a folder above it is not UTF-8, which SQLite wants")
    require("?" not in str(path), f"{what}: the path of an SQLite file must be without '?'")
    require(path.parent.is_dir(), f"{what}: the folder {path.parent} does not exist")
    require(os.access(path.parent, os.W_OK), f"{what}: the folder {path.parent} cannot be written to")
    for file in _files(path):
        require(
            not os.path.lexists(file) or file.is_file(), f"{what}: {file} {_standing(file)}, where a file should be"
        )
    check_folder(path.parent / FOLDER, what)
    require(not path.is_file() or _is_database(path), f"{what}: is a file, but not an SQLite database")
    tables = tables_of(path)
    require(not tables or VERSION_TABLE in tables, f"{what}: is a database of something else than MLflow")
    return path


def _files(path: Path) -> list[Path]:
    """A database, and what may lie beside it."""
    return [path, *(path.with_name(path.name + ending) for ending in _BESIDE)]


def check_work_folder(uri: str | None) -> None:
    """Raise `ConfigError` if something else stands where unfinished work is to be kept."""
    checked = checked_uri(uri)
    folder = work_folder_of(checked)
    for one in (folder, folder / "blocks"):
        check_folder(one, f"tracking.uri={checked}")


def check_folder(folder: Path, what: str) -> None:
    """Raise `ConfigError` unless `folder` can be written to, or is not there yet."""
    told = f"{what}: {folder} {_standing(folder)}, and must be a folder"
    require(folder.is_dir() or not os.path.lexists(folder), told)
    require(not folder.is_dir() or os.access(folder, os.W_OK), f"{what}: the folder {folder} cannot be written to")


def _standing(path: Path) -> str:
    """What stands at a path, for a message."""
    if path.is_symlink() and not path.exists():
        return "is a link to nothing"
    kinds = {"a folder": path.is_dir, "a file": path.is_file, "a pipe": path.is_fifo, "a socket": path.is_socket}
    return f"is {next((kind for kind, applies in kinds.items() if applies()), 'a device')}"


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    """Bytes that are no character as `\\xff`."""
    return os.fsencode(text).decode(errors="backslashreplace")


def check_writable(uri: str) -> None:
    """Raise `ConfigError` if an embedded store's files are there and cannot be written to; to be read they need not."""
    if not uri.startswith(SQLITE):
        return
    for file in _files(Path(uri.removeprefix(SQLITE))):
        told = f"tracking.uri={uri}: the file {file} cannot be written to"
        require(not file.is_file() or os.access(file, os.W_OK), told)


def check_whole(uri: str) -> None:
    """Raise `ConfigError` if an embedded store's database is damaged: it is read from end to end."""
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # locked just now
        return
    except sqlite3.DatabaseError as error:
        said = str(error)
    require(said == "ok", _damaged(uri, said))


def _damaged(uri: str, reason: str) -> str:
    """What to say of a database that is damaged."""
    file = uri.removeprefix(SQLITE)
    return (
        f"tracking.uri={uri}: the database is damaged ({' '.join(reason.split())}); move {file}* away, and the same "
        "commands fill a new one: what they have computed is kept in .basinet"
    )


def _is_database(path: Path) -> bool:
    """Asked of SQLite: whoever opens and closes its file otherwise makes this process give up SQLite's locks on it."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode != sqlite3.SQLITE_NOTADB
    return True


def tables_of(path: Path) -> set[str]:
    """The names of the tables of an SQLite file; none if it is not there."""
    if not path.is_file():
        return set()
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:  # locked just now
        return set()


def work_folder_of(uri: str) -> Path:
    return (place_of(uri) or Path.cwd()) / ".basinet"


def place_of(uri: str) -> Path | None:
    """The folder of an embedded store, None for a server or another database."""
    return Path(uri.removeprefix(SQLITE)).parent if uri.startswith(SQLITE) else None
