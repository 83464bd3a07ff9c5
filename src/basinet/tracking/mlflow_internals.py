"""All that this program takes from MLflow's inside: names and formats that its documentation does not promise.

They are how runs are removed for good, how a database says its version, what MLflow's loggers are called, and how its
pages keep and open saved views: a view is a tag of the experiment, listed under "Views", opened by an address with its
name.

Made for mlflow 3.17.2, whose pages have shown the views. Of mlflow 3.10.0, the oldest that `pyproject.toml` allows, the
addresses open no views; the rest is alike. What another version has changed of it
`tests/tracking/test_mlflow_internals.py` says.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

# Databases

_SQLITE = "sqlite:///"

VERSION_TABLE, VERSION_COLUMN = "alembic_version", "version_num"
"""Every database of MLflow's has this table, with one row."""


def knows_version(version: str) -> bool:
    """Whether the installed MLflow can read a database of this version; True where it does not say which it can."""
    package = importlib.util.find_spec("mlflow")  # without importing it
    assert package is not None
    assert package.origin is not None
    known = Path(package.origin).parent / "store" / "db_migrations" / "versions"
    return not known.is_dir() or any(known.glob(f"{version}_*.py"))


def store_address(uri: str) -> str:
    """How MLflow has to be told where a store is.

    SQLAlchemy 2.1 decodes `%41` in the path of an SQLite file, 2.0 does not. Of an encoded path MLflow would make the
    parent folder as it is written; with `/` encoded, too, that is the working directory.
    """
    from sqlalchemy import make_url

    path = uri.removeprefix(_SQLITE)
    if not uri.startswith(_SQLITE) or "%" not in path or make_url(uri).database == path:
        return uri
    return f"{_SQLITE}{quote(path, safe='')}"


def make_database(uri: str) -> None:
    """Make the tables of a database, and MLflow's experiment "Default".

    Left to itself MLflow notes the working directory as the place of that experiment's artifacts, in SQL that does not
    stand every name of a folder.
    """
    from mlflow.tracking._tracking_service.utils import _get_store

    _get_store(store_address(uri), "mlflow-artifacts:/0")


def experiment_of(connection: sqlite3.Connection, name: str) -> Any | None:
    """An experiment of a database, as MLflow's client would give it, or None.

    Raises:
        sqlite3.Error: if the tables are others than this knows, or the database is locked.
    """
    sql = "SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?"
    row = connection.execute(sql, (name,)).fetchone()
    return None if row is None else SimpleNamespace(experiment_id=str(row[0]), name=name, lifecycle_stage=row[1])


def runs_with_tag(connection: sqlite3.Connection, experiment_id: str, tag: str) -> list[Any]:
    """The runs of an experiment that have a tag, those in the bin aside, as MLflow's client would give them.

    They have of their data the tags only. Errors as for `experiment_of`.
    """
    chosen = "FROM runs r JOIN tags t USING (run_uuid) WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active'"
    tags: dict[str, dict[str, str]] = {}
    for run_id, key, value in connection.execute(f"SELECT run_uuid, t.key, t.value {chosen}", (experiment_id,)):
        tags.setdefault(run_id, {})[key] = value
    sql = f"SELECT run_uuid, r.status, r.start_time, r.artifact_uri {chosen} AND t.key = ?"
    return [
        SimpleNamespace(
            info=SimpleNamespace(run_id=run_id, status=status, start_time=start, artifact_uri=uri),
            data=SimpleNamespace(tags=tags[run_id]),
        )
        for run_id, status, start, uri in connection.execute(sql, (experiment_id, tag))
    ]


def hard_delete(uri: str, run_id: str) -> None:
    """Remove a run that is in the bin of a database, with its params, metrics and tags; its artifacts stay.

    MLflow itself does that by its own command only, for everything in the bin.
    """
    from mlflow.tracking._tracking_service.utils import _get_store

    _get_store(store_address(uri))._hard_delete_run(run_id)


def quieten() -> None:
    """Let MLflow tell of trouble only, and not of the tries at a database that is locked: each has a traceback."""
    for name, level in (("alembic", "WARNING"), ("mlflow", "WARNING"), ("mlflow.store.db.utils", "CRITICAL")):
        logging.getLogger(name).setLevel(level)


# Pages

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Make MLflow open its pages for training runs rather than those for language models."""

VIEW_TAG = "mlflow.sharedViewState."
"""What stands before the name of a view in the tag that keeps it."""

RUN_NAME, CREATED = "attributes.`Run Name`", "runDateAndNestInfo"
"""What the table of runs calls two of its columns."""

BY_NAME = "tags.`mlflow.runName`"
"""What the table of runs is put in order by, for an order by name."""

_MARK = "madeBy"  # MLflow leaves it out when somebody saves a view of their own under this name
_WITH_VIEWS = (3, 17)  # the version from which on addresses open views
_COMPARED = 20  # runs that a chart draws


def saved_view(name: str, state: Mapping[str, Any]) -> str:
    """A view as the value of its tag, marked as made by this program."""
    return _packed({"name": name, "createdAt": int(1000 * time.time()), "state": _packed(state), _MARK: "basinet"})


def is_ours(view: str) -> bool:
    """Whether a view is as this program has saved it."""
    try:
        return _MARK in json.loads(view)
    except ValueError:
        return False


def time_of(view: str) -> int:
    """When a view was saved, in milliseconds since 1970; 0 if somebody has saved it in a way that does not say."""
    try:
        return int(json.loads(view).get("createdAt") or 0)
    except ValueError:
        return 0


def address_of_runs(experiment_id: str, view: str, version: str) -> str:
    """Where an experiment's runs are shown, below a server of this version; in that view if the version opens views."""
    page = f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return f"{page}&viewStateShareKey={view}" if number >= _WITH_VIEWS else page


def _packed(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))


def table_state(query: str, order: str, widths: Mapping[str, int], shown: Sequence[str]) -> dict[str, Any]:
    """The part of a view's state that is the table.

    Args:
        query: which runs are shown.
        order: by what, ascending; by time, which is MLflow's own order, it would fold runs away below their parents.
        widths: the columns from the left, in pixels.
        shown: those of them that are settings or metrics.
    """
    return {
        "searchFilter": query,
        "orderByKey": order,
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(shown),
        "columnOrder": list(widths),
        "columnWidths": dict(widths),
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def grouped_by(tag: str) -> dict[str, Any]:
    """The part of a view's state that shows runs with the same tag as one group, with the means of their metrics.

    Charts go on to draw every run, in its own colour.
    """
    key = {"mode": "tag", "groupByData": tag}
    return {
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [key]},
        "groupsExpanded": {},
        "useGroupedValuesInCharts": False,
    }


def charts_state(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The part of a view's state that is the charts: by sections, which come before those for all other metrics."""
    flags = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {
        "isAccordionReordered": True,
        "compareRunSections": [{"uuid": name, "name": name, **flags} for name in sections],
        "compareRunCharts": [{**card, "metricSectionId": name} for name, cards in sections.items() for card in cards],
    }


def bars(metric: str) -> dict[str, Any]:
    """A chart of a metric: one bar for each run."""
    return _card("BAR", metric)


def curve(metric: str) -> dict[str, Any]:
    """A chart of a metric over the steps: on log axes, as losses fall and steps are recorded."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "log", "scaleType": "log", "useGlobalXaxisKey": False, "range": {}}
    drawn = {"selectedMetricKeys": [metric], "lineSmoothness": 0, "useGlobalLineSmoothing": True}
    rest = {"selectedXAxisMetricKey": "", "yAxisKey": "metric", "yAxisExpressions": [], "ignoreOutliers": False}
    return {**_card("LINE", metric), **axes, **drawn, **rest}


def _card(kind: str, metric: str) -> dict[str, Any]:
    shown = {"uuid": metric, "type": kind, "metricKey": metric, "displayName": metric}
    return {**shown, "runsCountToCompare": _COMPARED, "deleted": False, "isGenerated": False}
