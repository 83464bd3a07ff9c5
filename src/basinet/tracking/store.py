"""A tracking store: an MLflow database, and the folder or server where its artifacts lie."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from basinet.errors import ConfigError, require

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
_ARTIFACTS = "mlflow-artifacts:/"
# Makes the UI open its pages for training runs rather than those for language models.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
_FOLDER = "mlartifacts"  # where a plain `mlflow ui` keeps and looks for the artifacts of such addresses
_SERVERS = ("http://", "https://")
_OTHERS = ("postgresql", "mysql", "databricks")


def default_uri() -> str:
    """The embedded store of the working directory, as an absolute URI."""
    return f"{_SQLITE}{Path.cwd() / 'mlflow.db'}"


def checked_uri(uri: str | None) -> str:
    """`uri` made absolute, or the default; touches nothing.

    Raises:
        ConfigError: if MLflow would not understand it, or an SQLite file is none or cannot be made where it should be.
    """
    if uri is None:
        uri = default_uri()
    if uri.startswith(_SQLITE):
        return f"{_SQLITE}{_checked_path(Path(uri.removeprefix(_SQLITE)).absolute(), f'tracking.uri={uri}')}"
    if uri.startswith(_SERVERS):
        require(bool(urlsplit(uri).hostname), f"tracking.uri={uri}: names no server, as http://localhost:5000 does")
        return uri
    require(uri.startswith(_OTHERS), f"tracking.uri={uri}: must start with sqlite:///, postgresql:// or http://")
    return uri


def _checked_path(path: Path, what: str) -> Path:
    require(path.name != "" and not path.is_dir(), f"{what}: must name a file")
    require("?" not in str(path), f"{what}: the path of an SQLite file must be without '?'")
    require(path.parent.is_dir(), f"{what}: the folder {path.parent} does not exist")
    require(os.access(path.parent, os.W_OK), f"{what}: the folder {path.parent} cannot be written to")
    artifacts = path.parent / _FOLDER
    require(artifacts.is_dir() or not artifacts.exists(), f"{what}: {artifacts} must be a folder")
    if path.is_file():
        with path.open("rb") as file:
            require(file.read(15) in (b"", b"SQLite format 3"), f"{what}: is a file, but not an SQLite database")
    return path


def mlflow_client(uri: str) -> MlflowClient:
    """The client of a store, with telemetry off."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # of every run, across the progress bars
    import logging

    from mlflow.tracking import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


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
        """Open a store, or make it: once, under a lock, because parallel first use breaks SQLite stores.

        Raises `ConfigError` if there is nothing at `uri` that MLflow can use.
        """
        if uri.startswith(_SERVERS):
            _require_answer(uri)
        path = Path(uri.removeprefix(_SQLITE))
        try:
            with FileLock(f"{path}.lock") if uri.startswith(_SQLITE) else nullcontext():
                client = mlflow_client(uri)
                client.search_experiments(max_results=1)  # makes the schema
                if uri.startswith(_SQLITE):
                    _use_write_ahead_log(path)
        except Exception as error:  # a driver that is missing, a database of another version, a refusing server, …
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"tracking.uri={uri}: cannot be opened ({reason})") from error
        return TrackingStore(uri, client)

    @staticmethod
    def open_existing(uri: str) -> TrackingStore:
        """Open a store to read from; raises `ConfigError` if an embedded one is not there."""
        path = Path(uri.removeprefix(_SQLITE))
        require(not uri.startswith(_SQLITE) or path.is_file(), f"there is no store at {uri}")
        return TrackingStore.open(uri)

    @property
    def folder(self) -> Path | None:
        """The folder of an embedded store, None for a server or another database."""
        return Path(self.uri.removeprefix(_SQLITE)).parent if self.uri.startswith(_SQLITE) else None

    @property
    def work_folder(self) -> Path:
        """Where unfinished work is kept: beside the database, or in the working directory if that is elsewhere."""
        return (self.folder or Path.cwd()) / ".basinet"

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made if it is not there."""
        if self.folder is None:
            return self._experiment_on_server(name)
        with FileLock(f"{self.uri.removeprefix(_SQLITE)}.lock"):
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return _active(found)
            return str(self.client.create_experiment(name, f"{_ARTIFACTS}{uuid.uuid4().hex}", _EXPERIMENT_TAGS))

    def _experiment_on_server(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, tags=_EXPERIMENT_TAGS))
            except MlflowException:  # another process was quicker
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return _active(found)

    def artifact_folder(self, run: Any) -> Path | None:
        """Where the artifacts of a run lie on this machine; None if they are on a server."""
        location: str = run.info.artifact_uri
        if self.folder is not None and location.startswith(_ARTIFACTS):
            return self.folder / _FOLDER / location.removeprefix(_ARTIFACTS).lstrip("/")
        return None

    @contextmanager
    def writing(self, run: Any) -> Iterator[Path]:
        """A folder to write the artifacts of a run into; a server gets them when the block ends."""
        folder = self.artifact_folder(run)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            return
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
            self.client.log_artifacts(run.info.run_id, temporary)

    def artifact(self, run: Any, relative: str) -> Path | None:
        """The local path of an artifact of a run, fetched if it is on a server; None if there is none."""
        folder = self.artifact_folder(run)
        if folder is not None:
            path = folder / relative
            return path if path.is_file() else None
        parent = str(Path(relative).parent)
        present = [
            entry.path for entry in self.client.list_artifacts(run.info.run_id, parent if parent != "." else None)
        ]
        return Path(self.client.download_artifacts(run.info.run_id, relative)) if relative in present else None


def _active(experiment: Any) -> str:
    """The id of an experiment; raises `ConfigError` if it has been deleted, as runs cannot be added to it then."""
    number = str(experiment.experiment_id)
    message = f"was deleted; take another name, or: mlflow experiments restore --experiment-id {number}"
    require(experiment.lifecycle_stage == "active", f"tracking.experiment={experiment.name}: {message}")
    return number


def _use_write_ahead_log(path: Path) -> None:
    """The journal mode that lets readers read while somebody writes; it stays with the database."""
    with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.OperationalError):  # locked: next time
        connection.execute("PRAGMA journal_mode=WAL")


def _require_answer(uri: str) -> None:
    """Raise `ConfigError` unless a server answers; MLflow's own client would go on asking for minutes."""
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
