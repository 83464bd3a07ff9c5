"""What basinet takes from MLflow's inside is as it was; where it is not, the failure says which version broke what."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sqlite3
from contextlib import closing
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from basinet.tracking import mlflow_internals as internals
from basinet.tracking.store import TrackingStore
from undocumented import as_it_was

SOURCE = Path(__file__).parents[2] / "src" / "basinet"
MLFLOW = version("mlflow")
OPENS_VIEWS = tuple(map(int, MLFLOW.split(".")[:2])) >= (3, 17)
with_views = pytest.mark.skipif(not OPENS_VIEWS, reason=f"the pages of MLflow {MLFLOW} open no views")


_as_it_was = partial(as_it_was, f"MLflow {MLFLOW}", used_by="basinet/tracking/mlflow_internals.py")


@pytest.fixture(scope="module")
def pages() -> str:
    """The program of MLflow's pages, all of it: its names of what is saved are left as they are when it is packed."""
    spec = find_spec("mlflow")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "server" / "js" / "build" / "static" / "js"
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.rglob("*.js")))


def _words(state: Any) -> set[str]:
    """The names in a view's state, and the values that are names."""
    if isinstance(state, dict):
        return set(state).union(*map(_words, state.values()))
    if isinstance(state, list):
        return set().union(*map(_words, state))
    return {state} if isinstance(state, str) and state else set()


def _missing(words: set[str], pages: str) -> set[str]:
    return {word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", pages) is None}


def _rows_of(run_id: str) -> dict[str, int]:
    """How many rows of the database in the working directory are about a run, by table."""
    with closing(sqlite3.connect("mlflow.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counts = {}
        for table in tables:
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info('{table}')")}
            for column in columns & {"run_uuid", "run_id"}:
                (count,) = connection.execute(f"SELECT count(*) FROM '{table}' WHERE {column} = ?", [run_id]).fetchone()
                if count:
                    counts[table] = count
    return counts


def test_runs_asked_of_the_database_are_those_that_mlflow_gives(store: TrackingStore) -> None:
    client, experiment = store.client, store.experiment("asked")
    made = [client.create_run(number).info.run_id for number in (experiment, experiment, experiment, "0")]
    for run_id in made[:2] + made[3:]:
        client.set_tag(run_id, "chosen", "yes")
    client.set_tag(made[1], "another", "äöü")
    client.set_terminated(made[1], "FAILED")
    binned = client.create_run(experiment, tags={"chosen": "yes"}).info.run_id
    client.delete_run(binned)
    with closing(sqlite3.connect("mlflow.db")) as connection, _as_it_was("the tables experiments, runs and tags"):
        found = internals.experiment_of(connection, "asked")
        assert internals.experiment_of(connection, "no such") is None
        assert found is not None
        assert (found.experiment_id, found.lifecycle_stage) == (experiment, "active")
        runs = {run.info.run_id: run for run in internals.runs_with_tag(connection, experiment, "chosen")}
        assert set(runs) == set(made[:2])
        for run_id, run in runs.items():
            same = client.get_run(run_id)
            for field in ("status", "start_time", "artifact_uri"):
                assert getattr(run.info, field) == getattr(same.info, field)
            assert run.data.tags == same.data.tags
        client.delete_experiment(experiment)
        assert internals.experiment_of(connection, "asked").lifecycle_stage == "deleted"


def test_a_run_that_is_removed_for_good_leaves_no_row_and_others_alone(store: TrackingStore) -> None:
    experiment = store.experiment("removed from")
    ids = [store.client.create_run(experiment).info.run_id for _ in range(2)]
    for run_id in ids:
        store.client.log_param(run_id, "a", 1)
        store.client.log_metric(run_id, "b", 2.0)
        store.client.set_tag(run_id, "c", 3)
    before = _rows_of(ids[1])
    assert {"runs", "params", "metrics", "latest_metrics", "tags"} <= set(before)
    with _as_it_was("mlflow.tracking._tracking_service.utils._get_store or its _hard_delete_run(run_id)"):
        store.client.delete_run(ids[0])
        internals.hard_delete(store.uri, ids[0])
        assert _rows_of(ids[0]) == {}
        assert _rows_of(ids[1]) == before


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("mlflow.tracking._tracking_service.utils", "_get_store", ["store_uri", "artifact_uri"]),
        ("mlflow.store.tracking.sqlalchemy_store", "SqlAlchemyStore._hard_delete_run", ["self", "run_id"]),
    ],
)
def test_what_is_called_is_there_and_takes_what_it_took(module: str, name: str, expected: list[str]) -> None:
    with _as_it_was(f"{module}.{name}({', '.join(expected)})"):
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        assert list(inspect.signature(found).parameters) == expected


def test_a_database_says_a_version_that_this_mlflow_knows(store: TrackingStore) -> None:
    with _as_it_was("how a database says its version"):
        store.client.search_experiments()
        with closing(sqlite3.connect("mlflow.db")) as connection:
            sql = f"SELECT {internals.VERSION_COLUMN} FROM {internals.VERSION_TABLE}"
            ((number,),) = connection.execute(sql).fetchall()
        assert internals.knows_version(number)
        assert not internals.knows_version("ffffffffffff")


def test_the_logger_that_is_quietened_is_the_one_that_tells_of_tries() -> None:
    with _as_it_was("the name of the logger of mlflow/store/db/utils.py"):
        assert importlib.import_module("mlflow.store.db.utils")._logger.name == "mlflow.store.db.utils"


@with_views
def test_the_pages_know_every_name_in_a_view(pages: str) -> None:
    charts = {"loss": [internals.curve("loss"), internals.bars("loss")]}
    table = internals.table_state("kind", "loss", {"loss": 90}, ["loss"])
    state = {**table, **internals.charts_state(charts), **internals.grouped_by("kind")}
    ours = {"loss", "kind"}
    with _as_it_was("what the state of a saved view is made of"):
        assert _missing(_words(state) - ours, pages) == set()
        assert _missing({"name", "createdAt", "state"}, pages) == set()


@with_views
def test_the_pages_know_the_columns_that_a_view_names(pages: str) -> None:
    with _as_it_was("the names of columns in the table of runs"):
        (name,) = re.findall(r"`(.*)`", internals.RUN_NAME)
        (by_name,) = re.findall(r"`(.*)`", internals.BY_NAME)
        assert _missing({name, internals.CREATED, by_name}, pages) == set()


@with_views
def test_the_pages_look_for_views_in_the_tag_and_open_the_one_that_an_address_names(pages: str) -> None:
    address = internals.address_of_runs("4", "mine", MLFLOW)
    assert address == "/#/experiments/4/runs?workflowType=machine_learning&viewStateShareKey=mine"
    with _as_it_was("the tag of saved views, or the addresses that open them"):
        assert internals.VIEW_TAG in pages
        assert _missing({"workflowType", "machine_learning", "viewStateShareKey"}, pages) == set()


def test_the_pages_know_the_kind_of_an_experiment(pages: str) -> None:
    with _as_it_was("the tag that tells experiments with training runs from those with language models"):
        for key, value in internals.EXPERIMENT_TAGS.items():
            assert _missing({key, value}, pages) == set()


def test_a_saved_view_comes_back_from_the_store_as_it_was_saved(store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    view = internals.saved_view("mine", {"orderByAsc": True})
    with _as_it_was("tags of experiments that are saved views"):
        store.client.set_experiment_tag(experiment, f"{internals.VIEW_TAG}mine", view)
        assert store.client.get_experiment(experiment).tags[f"{internals.VIEW_TAG}mine"] == view
    assert internals.is_ours(view)
    assert internals.time_of(view) == json.loads(view)["createdAt"] > 1.7e12
    assert json.loads(json.loads(view)["state"]) == {"orderByAsc": True}


@pytest.mark.parametrize("view", ["deflate;abc", json.dumps({"name": "mine", "state": "{}"})])
def test_a_view_that_somebody_has_saved_is_not_ours_and_may_not_say_when(view: str) -> None:
    assert not internals.is_ours(view)
    assert internals.time_of(view) == 0


def test_no_other_module_looks_inside_mlflow() -> None:
    inside = re.compile(r"mlflow[\w.]*\._(?!_)|mlflow\.store|_hard_delete|sharedViewState|viewStateShareKey|alembic")
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if inside.search(path.read_text("utf-8"))}
    assert found == {"tracking/mlflow_internals.py"}
