"""Which conditions an experiment has, without MLflow where the store is embedded: importing it takes seconds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from basinet.tracking import find
from basinet.tracking.address import SQLITE, place_of
from basinet.tracking.mlflow_internals import (
    VERSION_COLUMN,
    VERSION_TABLE,
    experiment_of,
    knows_version,
    runs_with_tag,
)
from basinet.tracking.store import TrackingStore, active
from basinet.tracking.tags import CONDITION, RUN_KIND

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


@dataclass(frozen=True)
class Glance:
    """The conditions of an experiment."""

    store: TrackingStore
    runs: dict[str, Any]  # by the condition's key the run that stands for it


def glance(uri: str, experiment: str) -> Glance | None:
    """The conditions of the experiment of that name, of which there may be none; None where there is no store yet.

    Nothing is made or changed.

    Raises:
        ConfigError: if the store cannot be opened, or the experiment has been deleted.
    """
    return look(uri, experiment) or _by_mlflow(uri, experiment)


def is_known(uri: str, experiment: str) -> bool:
    """Whether nothing can be amiss with opening a store: an embedded one that is new, or has tables as they should be.

    Raises:
        ConfigError: if the experiment has been deleted.
    """
    if place_of(uri) is None:
        return False
    return not Path(uri.removeprefix(SQLITE)).exists() or look(uri, experiment) is not None


def look(uri: str, experiment: str) -> Glance | None:
    """The same without MLflow: asked of the SQLite file itself; None if it is not one that is known well enough.

    Raises:
        ConfigError: if the experiment has been deleted.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            (version,) = connection.execute(f"SELECT {VERSION_COLUMN} FROM {VERSION_TABLE}").fetchone() or ("",)
            if not knows_version(version):
                return None
            found = experiment_of(connection, experiment)
            runs = [] if found is None else runs_with_tag(connection, active(found), CONDITION)
    except sqlite3.Error:  # no store of MLflow's, or of a version with other tables, or locked
        return None
    store = TrackingStore(uri, cast("MlflowClient", None))  # which is not asked where artifacts lie beside the database
    return Glance(store, _by_key(runs)) if all(store.artifact_folder(run) is not None for run in runs) else None


def _by_mlflow(uri: str, experiment: str) -> Glance | None:
    store = TrackingStore.look_into(uri)
    if store is None:
        return None
    number = store.find_experiment(experiment)
    runs = [] if number is None else find.search(store, [number], f"tags.`{RUN_KIND}` = 'condition'")
    return Glance(store, _by_key(runs))


def _by_key(runs: list[Any]) -> dict[str, Any]:
    return {run.data.tags[CONDITION]: run for run in find.newest(runs)}
