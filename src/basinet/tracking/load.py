"""Reading: from an experiment, a sweep or a run to tidy frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from basinet.foundation.errors import ConfigError, require, unknown
from basinet.study.defaults import columns_of, usual_columns
from basinet.tracking.find import find_conditions
from basinet.tracking.integrity import open_table, reading
from basinet.tracking.record import COLUMNS, CONDITION, PARENT
from basinet.tracking.store import TrackingStore, checked_uri


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
    every = _settings(runs)
    for run, settings in zip(runs, every, strict=True):
        metrics = {key: value for key, value in run.data.metrics.items() if key not in settings}
        rows.append({**_identity(run), **metrics, **settings})
    frame = pd.DataFrame(rows)
    settings_keys = {key for settings in every for key in settings}
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


def load_minima(name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per distinct bottom of every condition, in the order of their losses, with the condition's settings.

    `minimum` is the id in its condition, `sweep_minimum` in its sweep: the same bottom found from two initialisations
    has one. `share` is of all restarts of the condition, with Wilson's interval; `restart` is one that reached it, and
    `parameters` where it is. Levels that are degenerate or at infinity are rows too, told apart by `kind`. Arguments
    and errors as for `load_runs`.
    """
    frame = _load_table("minima", name, tracking_uri, None).drop(columns="signature")
    return _select(frame, columns, "load_minima")


def load_evidence(name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per restart of every condition: what its verdict was made of (`basinet.stages.certify.Evidence`).

    Arguments and errors as for `load_runs`.
    """
    return _load_table("evidence", name, tracking_uri, columns)


def load_catalogues(name: str, *, tracking_uri: str | None = None) -> pd.DataFrame:
    """The minima of every condition with what is needed to merge them: `run_id condition signature parameters …`."""
    parts = []
    for run, path in _artifacts("tables/minima.parquet", name, tracking_uri):
        table = _read(path)
        parts.append(table.assign(run_id=run.info.run_id, condition=run.data.tags[CONDITION]))
    return pd.concat(parts, ignore_index=True)


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


def load_condition(run_id: str, *, tracking_uri: str | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """The resolved settings of a condition's run, and its table of restarts.

    Raises:
        ConfigError: if there is no such run, or it is not a condition that has finished.
    """
    _, runs = _conditions(run_id, tracking_uri)
    if len(runs) != 1:
        raise ConfigError(f"'{run_id}' has {len(runs)} conditions; name one by its run id")
    for run, path in _artifacts("config.yaml", run_id, tracking_uri):
        with reading(path):
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        require(isinstance(settings, dict), f"{path}: is not the configuration of a condition")
        _check_unchanged(columns_of(settings), json.loads(run.data.tags[COLUMNS]), path)
    return settings, load_restarts(run_id, tracking_uri=tracking_uri)


def _check_unchanged(found: dict[str, Any], made_with: dict[str, Any], path: Path) -> None:
    """Raise `ConfigError` if a configuration is not that of its run any more."""
    for key in {**made_with, **found}:
        now, then = found.get(key), made_with.get(key)
        require(now == then, f"{path}: has been changed since the run was made: {key} is {now}, and was {then}")


def table_columns(table: str, name: str, *, tracking_uri: str | None = None) -> list[str]:
    """The columns that a table has in every condition that has finished, settings aside; errors as for `load_runs`."""
    found = []
    for _, path in _artifacts(f"tables/{table}.parquet", name, tracking_uri):
        with open_table(path) as file:
            found.append(file.schema_arrow.names)
    return [column for column in found[0] if all(column in names for names in found)]


def load_parameters(
    name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row per restart: `run_id restart initial final` (vectors of parameters), with the condition's settings.

    `np.stack(frame["final"])` is the matrix `[restart, parameter]` of a condition. Arguments and errors as for
    `load_runs`.
    """
    parts, runs = [], []
    for run, path in _artifacts("parameters.npz", name, tracking_uri):
        with reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            initial, final = arrays["initial"], arrays["final"]
        parts.append(pd.DataFrame({"restart": np.arange(len(final)), "initial": list(initial), "final": list(final)}))
        runs.append(run)
    return _select(_joined(parts, runs, None), columns, "load_parameters")


def _load_table(table: str, name: str, tracking_uri: str | None, columns: Sequence[str] | None) -> pd.DataFrame:
    parts, runs, known, sweeps = [], [], {"run_id"}, _SweepMinima(tracking_uri)
    for run, path in _artifacts(f"tables/{table}.parquet", name, tracking_uri):
        with open_table(path) as file:
            names = file.schema_arrow.names
            with_sweep = "minimum" in names and (columns is None or "sweep_minimum" in columns)
            asked = None if columns is None else [*columns, "minimum"] if with_sweep else columns
            wanted = None if asked is None else [name for name in names if name in asked] or names[:1]
            part = file.read(wanted).to_pandas()
        if with_sweep:
            ids = sweeps.ids(run, part["minimum"].to_numpy())
            part.insert(list(part.columns).index("minimum") + 1, "sweep_minimum", ids)
        parts.append(part)
        runs.append(run)
        known.update(names, part.columns, json.loads(run.data.tags[COLUMNS]))
    _check_columns(columns, known, f"load_{table}")
    return _select(_joined(parts, runs, columns), columns, f"load_{table}")


def _artifacts(relative: str, name: str, tracking_uri: str | None) -> Iterator[tuple[Any, Path]]:
    """The conditions that have finished, each with the local path of one of its artifacts."""
    store, runs = _conditions(name, tracking_uri)
    finished = [run for run in runs if run.info.status == "FINISHED"]  # of others, files may be half written
    if not finished:
        raise ConfigError(f"no condition of '{name}' has finished")
    for run in finished:
        path = store.artifact(run, relative)
        if path is None:
            raise ConfigError(f"run {run.info.run_id} of '{name}' has no {relative}: were its artifacts moved away?")
        yield run, path


class _SweepMinima:
    """Which bottoms of the conditions of a sweep are the same, as the sweep's parent run says; each is read once."""

    def __init__(self, tracking_uri: str | None) -> None:
        self._store = TrackingStore.open_existing(checked_uri(tracking_uri))
        self._tables: dict[str, pd.DataFrame | None] = {}

    def ids(self, run: Any, minimum: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The sweep's ids for a condition's; -1 where there is none, the condition's own ids if it has no sweep."""
        sweep_id = run.data.tags.get(PARENT)
        if sweep_id is None:
            return minimum.copy()
        if sweep_id not in self._tables:
            path = self._store.artifact(self._store.client.get_run(sweep_id), "tables/sweep_minima.parquet")
            self._tables[sweep_id] = None if path is None else _read(path)
        table = self._tables[sweep_id]
        if table is None:  # the sweep has not ended yet
            return np.full(len(minimum), -1, dtype=np.int64)
        mine = table[table["run_id"] == run.info.run_id]
        by_minimum = np.full(max(int(mine["minimum"].max()) + 2 if len(mine) else 1, 1), -1, dtype=np.int64)
        by_minimum[mine["minimum"].to_numpy(np.int64)] = mine["sweep_minimum"].to_numpy(np.int64)
        result: np.ndarray[Any, Any] = by_minimum[minimum]  # the last entry answers for -1
        return result


def _read(path: Path) -> pd.DataFrame:
    with open_table(path) as file:
        frame: pd.DataFrame = file.read().to_pandas()
    return frame


def _joined(parts: list[pd.DataFrame], runs: list[Any], columns: Sequence[str] | None) -> pd.DataFrame:
    """The conditions' frames below each other, with `run_id` before and the settings behind."""
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    settings = pd.DataFrame(_settings(runs))
    settings.insert(0, "run_id", [run.info.run_id for run in runs])
    new = [key for key in settings.columns if key not in frame.columns and (columns is None or key in columns)]
    repeated = {key: _repeat(_typed(settings[key]), lengths) for key in new}
    front = {"run_id": repeated.pop("run_id")} if "run_id" in repeated else {}
    return pd.DataFrame({**front, **{key: frame[key] for key in frame.columns}, **repeated})


def _settings(runs: list[Any]) -> list[dict[str, Any]]:
    """The settings of conditions as they stand in tables.

    Those of which only unusual values are columns (`usual_columns`) are there for all conditions if they are for one.
    """
    own = [json.loads(run.data.tags[COLUMNS]) for run in runs]
    unusual = [key for key in usual_columns() if any(key in settings for settings in own)]
    usual = {key: usual_columns()[key] for key in unusual}
    return [{**settings, **{key: settings.get(key, value) for key, value in usual.items()}} for settings in own]


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
    _check_columns(columns, frame.columns, what)
    return frame if columns is None else frame[list(columns)]


def _check_columns(columns: Sequence[str] | None, known: Iterable[str], what: str) -> None:
    names = set(known)
    for column in columns or ():
        if column not in names:
            raise unknown(f"column of {what}", column, names)


def _identity(run: Any) -> dict[str, Any]:
    info = run.info
    ended = info.end_time if info.end_time is not None else info.start_time
    return {
        "run_id": info.run_id,
        "sweep_id": run.data.tags.get(PARENT, ""),
        "name": info.run_name,
        "status": info.status.lower(),
        "started": pd.Timestamp(info.start_time, unit="ms"),
        "wall_seconds": (ended - info.start_time) / 1000,
    }


def _conditions(name: str, tracking_uri: str | None) -> tuple[TrackingStore, list[Any]]:
    """Like `find_conditions`, where there have to be some."""
    store, runs = find_conditions(name, tracking_uri)
    if not runs:
        raise ConfigError(f"'{name}' has no conditions yet")
    return store, runs
