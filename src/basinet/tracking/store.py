"""An open tracking store: an MLflow database, and the folder or server where its artifacts lie."""

from __future__ import annotations

import glob
import logging
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from filelock import FileLock

from basinet.foundation.errors import ConfigError, require
from basinet.tracking.address import DATABASES, FOLDER, SERVERS, SQLITE, place_of, tables_of, work_folder_of
from basinet.tracking.fetched import fetch, found_again
from basinet.tracking.leftovers import held
from basinet.tracking.mlflow_internals import (
    EXPERIMENT_TAGS,
    VERSION_COLUMN,
    VERSION_TABLE,
    knows_version,
    make_database,
    quieten,
    store_address,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_ARTIFACTS = "mlflow-artifacts:/"
_PATIENCE = 90.0  # seconds for which a database that is locked or away is waited for
_PAUSE = 0.5  # seconds between two tries
_used: set[str] = set()
"""Stores that have been used by this process, or by the one that launched it: these are waited for."""

_OURS = (
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",  # of every run, across the progress bars
)


class StoreAway(OSError):
    """A store that was there does not answer any more, and waiting has not helped."""


def mlflow_client(uri: str) -> MlflowClient:
    """The client of a store, with telemetry off."""
    _load()
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=store_address(uri))


def _load() -> None:
    """Load MLflow, which is to tell nobody anything: that has to be asked for before.

    Raises:
        ConfigError: if it does not load, as for some variables of its own in the environment.
    """
    for name in _OURS:
        os.environ.setdefault(name, "true")
    quieten()
    try:
        import mlflow  # noqa: F401
    except Exception as error:
        raise ConfigError(f"MLflow cannot be loaded ({error}{_variables()})") from error


def _variables() -> str:
    """Which variables of MLflow's the user has set, for a message: what it says itself does not name them all."""
    names = sorted(name for name in os.environ if name.startswith("MLFLOW_") and name not in _OURS)
    return f"; the environment sets {', '.join(names)}" if names else ""


class _Patient:
    """A client whose calls wait for a database that is locked or away.

    Left to itself MLflow waits 20 s for a locked SQLite file and not at all for another database. A server it asks
    again for four minutes: that is not repeated here.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *arguments, **settings: _patiently(lambda: method(*arguments, **settings))


def _patiently(call: Callable[[], _Result]) -> _Result:
    """What `call` returns; raises `StoreAway` if the store stays away."""
    end = time.monotonic() + _PATIENCE
    is_told = False
    while True:
        try:
            return call()
        except Exception as error:
            reason = str(error).partition("\n")[0]
            if _was_asked_for_minutes(error) or (_may_pass(error) and time.monotonic() > end):
                raise StoreAway(f"the tracking store does not answer ({reason})") from error
            if not _may_pass(error):
                require(
                    "readonly database" not in str(error), "the tracking store cannot be written to, it is read-only"
                )
                require("malformed" not in reason, f"the tracking store is damaged ({reason}); see basinet-doctor")
                raise
        if not is_told:
            _log.warning("waiting for the tracking store (%s)", reason)
            is_told = True
        time.sleep(_PAUSE)


def _may_pass(error: Exception) -> bool:
    """Whether a database cannot do now what it can do at other times, as it says itself or through MLflow."""
    from sqlalchemy.exc import OperationalError

    if "readonly database" in str(error):  # which no waiting makes writable
        return False
    itself = isinstance(error, OperationalError | sqlite3.OperationalError)
    return itself or getattr(error, "error_code", None) == "TEMPORARILY_UNAVAILABLE"


def _was_asked_for_minutes(error: Exception) -> bool:
    """Whether MLflow has given up asking a server."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    return isinstance(error, MlflowException) and isinstance(error.__context__, RequestException)


@contextmanager
def _opening(uri: str) -> Iterator[None]:
    """Within, whatever keeps a store from being opened is a `ConfigError`."""
    try:
        yield
    except (StoreAway, ConfigError):
        raise
    except Exception as error:  # a driver that is missing, a database of another version, a refusing server, …
        later = _later(Path(uri.removeprefix(SQLITE)))
        reason = later or str(error).partition("\n")[0].replace("<database_uri>", uri)
        raise ConfigError(f"tracking.uri={uri}: cannot be opened ({reason}{_variables()})") from error


@dataclass(frozen=True)
class TrackingStore:
    """An open store. Artifacts of an embedded store lie beside its database, under `mlartifacts/`.

    They are addressed relative to the artifact root of whichever server shows them, so that the folder can be moved and
    a plain `mlflow ui` started in it finds them.
    """

    uri: str
    client: MlflowClient

    @staticmethod
    def open(uri: str) -> TrackingStore:
        """Open a store, or make it; one that does not answer is refused at once.

        Raises:
            ConfigError: if there is nothing at `uri` that MLflow can use.
        """
        if uri not in _used:
            _require_answer(uri)
        return TrackingStore.reopen(uri)

    @staticmethod
    def reopen(uri: str) -> TrackingStore:
        """Open a store that was there when the sweep began; one that does not answer now is waited for.

        Raises:
            ConfigError: if there is nothing at `uri` that MLflow can use.
        """
        with _opening(uri):
            if uri.startswith(SQLITE):
                _patiently(lambda: _make(Path(uri.removeprefix(SQLITE))))
            store = TrackingStore._with_client(uri)
        _used.add(uri)
        return store

    @staticmethod
    def _with_client(uri: str) -> TrackingStore:
        client = _Patient(_patiently(lambda: mlflow_client(uri)))
        client.search_experiments(max_results=1)
        return TrackingStore(uri, cast("MlflowClient", client))

    @staticmethod
    def open_existing(uri: str) -> TrackingStore:
        """Open a store to read from; raises `ConfigError` if an embedded one is not there."""
        path = Path(uri.removeprefix(SQLITE))
        require(not uri.startswith(SQLITE) or path.is_file(), f"there is no store at {uri}")
        return TrackingStore.open(uri)

    @staticmethod
    def look_into(uri: str) -> TrackingStore | None:
        """Open a store without making or changing anything; None if an embedded one is not there yet."""
        if not uri.startswith(SQLITE):
            return TrackingStore.open(uri)
        if VERSION_TABLE not in tables_of(Path(uri.removeprefix(SQLITE))):
            return None
        with _opening(uri):
            return TrackingStore._with_client(uri)

    @staticmethod
    def place(uri: str) -> Path | None:
        """The folder of an embedded store, None for a server or another database."""
        return place_of(uri)

    @property
    def folder(self) -> Path | None:
        """The folder of an embedded store, None for a server or another database."""
        return TrackingStore.place(self.uri)

    @property
    def database_files(self) -> list[Path]:
        """The files of an embedded store's database."""
        path = Path(self.uri.removeprefix(SQLITE))
        return [] if self.folder is None else sorted(self.folder.glob(f"{glob.escape(path.name)}*"))

    @property
    def work_folder(self) -> Path:
        """Where unfinished work is kept: beside the database, or in the working directory if that is elsewhere."""
        return work_folder_of(self.uri)

    def make_work_folder(self) -> Path:
        """The same, made if it is not there; git leaves it alone, whatever stands beside it."""
        folder = self.work_folder
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# made by basinet: unfinished work, nothing to commit\n*\n", encoding="utf-8")
        return folder

    def find_experiment(self, name: str) -> str | None:
        """The id of the experiment of that name; None if there is none. Raises `ConfigError` if it has been deleted."""
        found = self.client.get_experiment_by_name(name)
        return None if found is None else active(found)

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made if it is not there."""
        if self.folder is None:
            return self._experiment_on_server(name)
        with FileLock(f"{self.uri.removeprefix(SQLITE)}.lock"):
            found = self.find_experiment(name)
            if found is not None:
                return found
            return str(self.client.create_experiment(name, f"{_ARTIFACTS}{uuid.uuid4().hex}", EXPERIMENT_TAGS))

    def _experiment_on_server(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, tags=EXPERIMENT_TAGS))
            except MlflowException:  # another process was quicker
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return active(found)

    def artifact_folder(self, run: Any) -> Path | None:
        """Where the artifacts of a run lie on this machine; None if they are on a server."""
        return self.local_folder(run.info.artifact_uri)

    def local_folder(self, address: str) -> Path | None:
        """Where the artifacts of a run or an experiment lie on this machine; None if they are elsewhere."""
        if self.folder is None or not address.startswith(_ARTIFACTS):
            return None
        root = self.folder / FOLDER
        folder = root / address.removeprefix(_ARTIFACTS).lstrip("/")
        return folder if ".." not in folder.parts and folder != root else None

    @contextmanager
    def writing(self, run: Any) -> Iterator[Path]:
        """A folder to write artifacts of a run into; they are the run's when the block ends without an error."""
        from basinet.pipeline.blocks import WRITING  # which takes the time of torch: not everybody writes

        folder = self.artifact_folder(run)
        if folder is not None:
            self.make_work_folder()
        aside = None if folder is None else self.work_folder  # on the same disk: moving is renaming
        with tempfile.TemporaryDirectory(prefix=WRITING, dir=aside) as temporary, held(Path(temporary)):
            yield Path(temporary)
            if folder is None:
                self.client.log_artifacts(run.info.run_id, temporary)
            else:
                _move_files(Path(temporary), folder)

    def artifact(self, run: Any, relative: str) -> Path | None:
        """The local path of an artifact of a run, fetched if it is on a server; None if there is none."""
        folder = self.artifact_folder(run)
        if folder is not None:
            path = folder / relative
            return path if path.is_file() else None
        before = found_again(self.uri, run, relative)
        if before is not None:
            return before
        parent = str(Path(relative).parent)
        present = [
            entry.path for entry in self.client.list_artifacts(run.info.run_id, parent if parent != "." else None)
        ]
        return fetch(self.client, self.uri, run, relative) if relative in present else None


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)


def active(experiment: Any) -> str:
    """The id of an experiment; raises `ConfigError` if it has been deleted, as runs cannot be added to it then."""
    number = str(experiment.experiment_id)
    message = f"was deleted; take another name, or: mlflow experiments restore --experiment-id {number}"
    require(experiment.lifecycle_stage == "active", f"tracking.experiment={experiment.name}: {message}")
    return number


def _make(path: Path) -> None:
    """Make a database, where there is none, and let readers read while somebody writes.

    One process at a time, because parallel first use breaks SQLite stores; and the tables appear all at once: MLflow
    makes them in dozens of steps, and a process that died in between would leave a database that nobody can use.
    """
    _load()
    with FileLock(f"{path}.lock"), closing(sqlite3.connect(path)) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            with tempfile.TemporaryDirectory() as folder:
                complete = Path(folder) / path.name
                make_database(f"{SQLITE}{complete}")
                with closing(sqlite3.connect(complete)) as source:
                    source.backup(connection)
        with suppress(sqlite3.OperationalError):  # locked: next time
            connection.execute("PRAGMA journal_mode=WAL")


def _later(path: Path) -> str | None:
    """What to say of an embedded store that a later version of MLflow has made; None if it is none."""
    import mlflow

    if VERSION_TABLE not in tables_of(path):
        return None
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute(f"SELECT {VERSION_COLUMN} FROM {VERSION_TABLE}").fetchone()
    if row is None or knows_version(row[0]):
        return None
    return f"its version {row[0]} is unknown to MLflow {mlflow.__version__}: a later one has made it"


def _require_answer(uri: str) -> None:
    """Raise `ConfigError` unless a server or database answers; MLflow's own client would go on asking for minutes."""
    if uri.startswith(SERVERS):
        _require_server(uri)
    if uri.startswith(DATABASES):
        _require_database(uri)


def _require_server(uri: str) -> None:
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/version", timeout=10).close()
    except urllib.error.HTTPError:
        pass  # an answer
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # certificates are MLflow's to judge, which has settings for them
            raise ConfigError(f"tracking.uri={uri}: no server answers ({reason})") from error


def _require_database(uri: str) -> None:
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
        engine.connect().close()
        engine.dispose()
    except Exception as error:  # a driver that is missing, or whatever that driver raises
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"tracking.uri={uri}: cannot be opened ({reason})") from error
