"""Reading: from an experiment, a sweep or a run to tidy frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet

from basinet.errors import ConfigError, unknown
from basinet.tables import SCHEMA_VERSION
from basinet.tracking.record import COLUMNS, CONDITION, KIND
from basinet.tracking.store import TrackingStore, checked_uri

_PAGE = 1000


def load_runs(name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per condition: `run_id sweep_id name status started seconds restarts …`, its settings and last metrics.

    Args:
        name: an experiment, the id of a sweep's parent run, or the id of a condition's run.
        tracking_uri: the store; the one of the working directory if None.
        columns: the columns wanted, in this order; all if None.

    Raises:
        ConfigError: if there is no such experiment or run, or no such column.
    """
    _, runs = _conditions(name, tracking_uri)
    rows = []
    for run in runs:
        settings = json.loads(run.data.tags[COLUMNS])
        metrics = {key: value for key, value in run.data.metrics.items() if key not in settings}
        rows.append({**_identity(run), **metrics, **settings})
    frame = pd.DataFrame(rows)
    settings_keys = {key for run in runs for key in json.loads(run.data.tags[COLUMNS])}
    for key in frame.columns:
        if key in settings_keys or key == "status":
            frame[key] = _typed(frame[key])
    return _select(frame, columns, "load_runs")


def load_restarts(name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per restart of every condition, with the condition's settings as columns.

    `loss` is where the restart ended; `status` how its descent ended (arrived, budget, diverged). Of a condition that
    ran more than once, the newest run. Arguments and errors as for `load_runs`.
    """
    return _load_table("restarts", name, tracking_uri, columns)


def load_curves(name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per restart and recorded step, of the first `tracking.curves_max` restarts of every condition.

    Arguments and errors as for `load_runs`.
    """
    return _load_table("curves", name, tracking_uri, columns)


def load_quantiles(name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per recorded step of every condition: quantiles of the loss and gradient norm over all its restarts.

    Arguments and errors as for `load_runs`.
    """
    return _load_table("quantiles", name, tracking_uri, columns)


def load_parameters(
    name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row per restart: `run_id restart initial final` (vectors of parameters), with the condition's settings.

    `np.stack(frame["final"])` is the matrix `[restart, parameter]` of a condition. Arguments and errors as for
    `load_runs`.
    """
    store, runs = _conditions(name, tracking_uri)
    parts, kept = [], []
    for run in runs:
        path = store.artifact(run, "parameters.npz")
        if path is None:
            continue
        with np.load(path, allow_pickle=False) as arrays:
            initial, final = arrays["initial"], arrays["final"]
        parts.append(pd.DataFrame({"restart": np.arange(len(final)), "initial": list(initial), "final": list(final)}))
        kept.append(run)
    return _select(_joined(parts, kept, None), columns, "load_parameters")


def _load_table(table: str, name: str, tracking_uri: str | None, columns: Sequence[str] | None) -> pd.DataFrame:
    store, runs = _conditions(name, tracking_uri)
    parts, kept = [], []
    for run in runs:
        path = store.artifact(run, f"tables/{table}.parquet")
        if path is None:
            continue
        schema = pyarrow.parquet.read_schema(path)
        _check_schema(schema, str(path))
        wanted = None if columns is None else [column for column in columns if column in schema.names]
        parts.append(pd.read_parquet(path, columns=wanted))
        kept.append(run)
    if not parts:
        raise ConfigError(f"no condition of '{name}' has finished")
    return _select(_joined(parts, kept, columns), columns, f"load_{table}")


def _check_schema(schema: Any, path: str) -> None:
    attributes = json.loads((schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    version = attributes.get("basinet_schema")
    if version != SCHEMA_VERSION:
        raise ConfigError(f"{path}: has schema {version}, this version of basinet reads {SCHEMA_VERSION}")


def _joined(parts: list[pd.DataFrame], runs: list[Any], columns: Sequence[str] | None) -> pd.DataFrame:
    """The conditions' frames below each other, with `run_id` before and the settings behind."""
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    settings = pd.DataFrame([json.loads(run.data.tags[COLUMNS]) for run in runs])
    settings.insert(0, "run_id", [run.info.run_id for run in runs])
    new = [key for key in settings.columns if key not in frame.columns and (columns is None or key in columns)]
    repeated = {key: _repeat(_typed(settings[key]), lengths) for key in new}
    front = {"run_id": repeated.pop("run_id")} if "run_id" in repeated else {}
    return pd.DataFrame({**front, **{key: frame[key] for key in frame.columns}, **repeated})


def _repeat(values: pd.Series, lengths: np.ndarray[Any, Any]) -> Any:
    return values.repeat(lengths.tolist()).array


def _typed(values: pd.Series) -> pd.Series:
    """Numbers as numbers, everything else as categories."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return values
    present = values.dropna()
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return pd.to_numeric(values)
    texts = values.map(lambda value: value if pd.isna(value) else str(value))
    return texts.astype("category")


def _select(frame: pd.DataFrame, columns: Sequence[str] | None, what: str) -> pd.DataFrame:
    if columns is None:
        return frame
    for column in columns:
        if column not in frame.columns:
            raise unknown(f"column of {what}", column, frame.columns)
    return frame[list(columns)]


def _identity(run: Any) -> dict[str, Any]:
    info = run.info
    ended = info.end_time if info.end_time is not None else info.start_time
    return {
        "run_id": info.run_id,
        "sweep_id": run.data.tags.get("mlflow.parentRunId", ""),
        "name": info.run_name,
        "status": info.status.lower(),
        "started": pd.Timestamp(info.start_time, unit="ms"),
        "wall_seconds": (ended - info.start_time) / 1000,
    }


def _conditions(name: str, tracking_uri: str | None) -> tuple[TrackingStore, list[Any]]:
    """The newest run of every condition of an experiment, a sweep or a run, oldest first."""
    store = TrackingStore.open_existing(checked_uri(tracking_uri))
    experiment = store.client.get_experiment_by_name(name)
    if experiment is not None:
        runs = _search(store, [experiment.experiment_id], f"tags.`{KIND}` = 'condition'")
    else:
        runs = _runs_of(store, name)
    newest: dict[str, Any] = {}
    for run in sorted(runs, key=_finished_then_newest):
        newest[run.data.tags[CONDITION]] = run
    if not newest:
        raise ConfigError(f"'{name}' has no conditions yet")
    return store, sorted(newest.values(), key=lambda run: run.info.start_time)


def _finished_then_newest(run: Any) -> tuple[bool, int]:
    return run.info.status == "FINISHED", run.info.start_time


def _runs_of(store: TrackingStore, run_id: str) -> list[Any]:
    from mlflow.exceptions import MlflowException

    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        names = [experiment.name for experiment in store.client.search_experiments()]
        raise unknown("experiment or run", run_id, names) from error
    if run.data.tags.get(KIND) == "condition":
        return [run]
    return _search(store, [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")


def _search(store: TrackingStore, experiments: list[str], condition: str) -> list[Any]:
    return _all_pages(
        lambda token: store.client.search_runs(experiments, condition, max_results=_PAGE, page_token=token)
    )


def _all_pages(page: Callable[[str | None], Any]) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        answer = page(token)
        found.extend(answer)
        token = answer.token
        if not token:
            return found
