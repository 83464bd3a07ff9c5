"""Writing: a run per condition, a parent run per sweep."""

from __future__ import annotations

import getpass
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

import basinet
from basinet.analysis.landscape_files import min_data, ts_data
from basinet.foundation import machine
from basinet.foundation.quantiles import QUANTILES
from basinet.foundation.schema import SCHEMA_VERSION
from basinet.tracking.parts import GrowingArrays, GrowingTable, as_table
from basinet.tracking.process import process_tags
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import COLUMNS, CONDITION, CURRENT, NUMBERS, PARENT, RUN_KIND, SWEEPS

NOTE = "mlflow.note.content"
_TAG_LENGTH = 8000
_NAME_LENGTH = 250
_LIBRARIES = ("torch", "numpy", "scipy", "pandas", "mlflow", "hydra-core")  # whose versions a run notes


class Written(Protocol):
    """Some restarts of a condition that is written in parts."""

    def tables(self) -> Mapping[str, pd.DataFrame | pa.Table]:
        """Rows of tables, by their names."""
        ...

    @property
    def parameters(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Rows of the parameters, by their names."""
        ...


@dataclass(frozen=True)
class OpenRun:
    """A run that is being written."""

    store: TrackingStore
    run: Any  # mlflow.entities.Run

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.run.info.run_id)

    @property
    def folder(self) -> Path | None:
        """Where the artifacts lie, if on this machine."""
        return self.store.artifact_folder(self.run)

    def log(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        history: pd.DataFrame | None = None,
    ) -> None:
        """Log in one call; `history` has the columns `step` and one per metric. Only finite values are logged.

        All timestamps are the run's start, so that logging the same again adds nothing.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = self.run.info.start_time
        entries = [Metric(key, float(value), now, 0) for key, value in (metrics or {}).items() if math.isfinite(value)]
        if history is not None:
            for key in history.columns.drop("step"):
                pairs = zip(history["step"], history[key], strict=True)
                entries += [Metric(key, float(value), now, int(step)) for step, value in pairs if math.isfinite(value)]
        all_params = [Param(key, str(value)) for key, value in (params or {}).items()]
        all_tags = [RunTag(key, str(value)[:_TAG_LENGTH]) for key, value in (tags or {}).items()]
        client = self.store.client
        for first in range(0, max(len(entries), 1), 900):
            chosen = (all_params, all_tags) if first == 0 else ([], [])
            client.log_batch(self.id, metrics=entries[first : first + 900], params=chosen[0], tags=chosen[1])

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self.store.client.set_terminated(self.id, status)


def open_sweep(store: TrackingStore, experiment_id: str, name: str, command: str) -> OpenRun:
    """The parent run of a sweep."""
    tags = {RUN_KIND: "sweep", "basinet.command": command[:_TAG_LENGTH], **_provenance()}
    return OpenRun(store, store.client.create_run(experiment_id, tags=tags, run_name=name))


def open_condition(
    store: TrackingStore,
    experiment_id: str,
    name: str,
    key: str,
    columns: Mapping[str, Any],
    sweep: tuple[str, int] | None,
) -> OpenRun:
    """The run of a condition, with its settings as params and, where they are numbers, as metrics too.

    (Params are strings in the MLflow UI: they cannot be compared, sorted or drawn.) `key` is the content key of the
    study: runs with the same one are of the same condition. `sweep` is the id of the sweep that it is part of, and its
    number in that.
    """
    tags = {RUN_KIND: "condition", CONDITION: key, CURRENT: "yes", COLUMNS: json.dumps(dict(columns)), **_provenance()}
    if sweep is not None:
        tags |= {PARENT: sweep[0], SWEEPS: sweep[0], NUMBERS: str(sweep[1])}
    run = OpenRun(store, store.client.create_run(experiment_id, tags=tags, run_name=name[:_NAME_LENGTH]))
    numbers = {
        key: value for key, value in columns.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
    run.log(params=columns, metrics=numbers)
    return run


def _provenance() -> dict[str, str]:
    tags = {
        "basinet.version": basinet.__version__,
        "basinet.schema": str(SCHEMA_VERSION),
        "hardware.machine": platform.machine(),
        "hardware.cores": str(os.cpu_count()),
        "hardware.processor": machine.processor() or "unknown",
        "mlflow.user": _user(),
        "mlflow.source.name": "basinet",
        **_versions(),
        **process_tags(),
    }
    commit = _git_commit()
    return {**tags, "mlflow.source.git.commit": commit} if commit else tags


@cache
def _versions() -> dict[str, str]:
    return {"version.python": platform.python_version()} | {f"version.{name}": version(name) for name in _LIBRARIES}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return "unknown"


def _git_commit() -> str | None:
    """The commit of the working directory, where it is a git checkout."""
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def quantile_history(quantiles: pd.DataFrame) -> pd.DataFrame:
    """The quantiles of the loss per record as a metric history: `loss/min`, `loss/q05`, … over `step`.

    Of a flow, whose restarts make steps of their own, over the number of the record: MLflow's axis has whole numbers.
    """
    names = {f"loss_{key}": f"loss/{key}" for key in QUANTILES}
    steps = quantiles["record"] if "time" in quantiles else quantiles["step"]
    return quantiles[list(names)].rename(columns=names).assign(step=steps)


def write_parquet(table: pd.DataFrame | pa.Table, path: Path) -> None:
    """Write a table with the schema version in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(as_table(table), path, compression="zstd")


def write_condition(
    run: OpenRun,
    settings: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame | pa.Table],
    parameters: Mapping[str, np.ndarray[Any, Any]],
    parts: Iterable[Written] = (),
) -> None:
    """Write the artifacts of a condition: `tables/*.parquet`, `minima.csv`, `parameters.npz`, `config.yaml`.

    Of one with saddles also `landscape/min.data` and `landscape/ts.data`.

    Args:
        run: of the condition.
        settings: what it was.
        tables: by their names.
        parameters: by their names, `[restart, parameter]`; of a condition that is written in parts empty.
        parts: rows of further tables, and of the parameters, one part after the other.
    """
    with run.store.writing(run.run) as folder:
        _write_parts(parts, folder)
        for name, table in tables.items():
            write_parquet(table, folder / "tables" / f"{name}.parquet")
        tables["minima"].drop(columns=["parameters", "signature"]).to_csv(folder / "minima.csv", index=False)
        if "saddles" in tables:
            (folder / "landscape").mkdir(exist_ok=True)
            minima, saddles = tables["minima"], tables["saddles"]
            (folder / "landscape" / "min.data").write_text(min_data(minima, saddles), encoding="ascii")
            (folder / "landscape" / "ts.data").write_text(ts_data(minima, saddles), encoding="ascii")
        if parameters:
            np.savez(folder / "parameters.npz", **parameters)  # type: ignore[arg-type]
        plain = json.loads(json.dumps(dict(settings)))
        (folder / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


def _write_parts(parts: Iterable[Written], folder: Path) -> None:
    """Rows of tables and parameters as they come; the files are those of a condition that is written at once."""
    with ExitStack() as stack:
        tables: dict[str, GrowingTable] = {}
        parameters: GrowingArrays | None = None
        for part in parts:
            for name, rows in part.tables().items():
                if name not in tables:
                    tables[name] = stack.enter_context(GrowingTable(folder / "tables" / f"{name}.parquet"))
                tables[name].append(rows)
            parameters = parameters or stack.enter_context(GrowingArrays(folder / "parameters.npz"))
            parameters.append(part.parameters)


def write_note(run: OpenRun, markdown: str) -> None:
    """The text that the MLflow UI shows on the run's page, cut to the length of a tag."""
    run.log(tags={NOTE: markdown})


def say_in_note(run: OpenRun, paragraph: str, beginning: str) -> None:
    """Put a paragraph behind the first one of a run's note, in place of an earlier one that has the same beginning."""
    note = run.run.data.tags.get(NOTE, "")
    first, *others = [part for part in note.split("\n\n") if not part.startswith(beginning)]
    write_note(run, "\n\n".join(part for part in (first, paragraph, *others) if part))
