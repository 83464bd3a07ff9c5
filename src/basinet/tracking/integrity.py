"""Whether what lies in a store can be used: files that are missing, damaged, or of another version."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from basinet.foundation.errors import ConfigError, require
from basinet.foundation.large import HELD
from basinet.foundation.schema import SCHEMA_KEY, SCHEMA_VERSION
from basinet.study.defaults import BUDGET
from basinet.tracking.store import TrackingStore

TABLES = tuple(f"tables/{name}.parquet" for name in ("restarts", "minima", "evidence", "curves", "quantiles"))
ARTIFACTS = (*TABLES, "parameters.npz", "config.yaml")
"""What a condition that has finished has; the rest is drawn or written for people."""


VISITS = "tables/visits.parquet"
"""What a condition has beside that if its restarts go on as runs."""


COUNTS = "tables/counts.parquet"
"""What a large condition has beside that: how many of its restarts have ended alike (`basinet.analysis.tally`)."""


def is_large(run: Any) -> bool:
    """Whether a condition has more restarts than are read at once, unless they are asked for."""
    return run.data.metrics.get("restarts", 0.0) > HELD  # type: ignore[no-any-return]


def has_runs(run: Any) -> bool:
    """Whether the restarts of a condition go on as runs that escape from their bottoms."""
    return BUDGET in run.data.tags


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Within, whatever is wrong with a file is a `ConfigError` that names it."""
    try:
        yield
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, EOFError, pa.ArrowException, zipfile.BadZipFile, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read ({reason[:200]})") from error


@contextmanager
def open_table(path: Path) -> Iterator[pq.ParquetFile]:
    """A table, opened once for its schema and its columns; what goes wrong within is a `ConfigError`, too.

    Raises:
        ConfigError: if it cannot be read or is of another version of this package.
    """
    with reading(path), pq.ParquetFile(path) as file:
        version = _version(file.schema_arrow)
        told = f"{path}: has schema {version}, this version of basinet reads {SCHEMA_VERSION}"
        require(version == str(SCHEMA_VERSION), told)
        yield file


def damage(store: TrackingStore, run: Any) -> str | None:
    """Why the artifacts of a condition that has finished cannot be used, in a few words; None if they can.

    Of artifacts on a server only the first is looked at. Data within a file is not: that would take as long as loading.

    Raises:
        ConfigError: if a later version of this package has made them.
    """
    names = ARTIFACTS[:1] if store.folder is None else (*ARTIFACTS, *([VISITS] if has_runs(run) else []))
    for name in names:
        path = store.artifact(run, name)
        if path is None:
            return f"has no {name}"
        try:
            _look_at(path)
        except ConfigError as error:
            _require_not_newer(path)
            return f"{name}{str(error).removeprefix(str(path))}"
    return None


def _look_at(path: Path) -> None:
    if path.suffix == ".parquet":
        with open_table(path):
            pass
    with reading(path):
        if path.suffix == ".npz":
            zipfile.ZipFile(path).close()
        if path.suffix == ".yaml":
            yaml.safe_load(path.read_text(encoding="utf-8"))


def _require_not_newer(path: Path) -> None:
    try:
        version = _version(pq.read_schema(path))
    except (OSError, pa.ArrowException):
        return
    later = version.isdigit() and int(version) > SCHEMA_VERSION
    require(not later, f"{path}: is of a later version of basinet (schema {version}, this one has {SCHEMA_VERSION})")


def _version(schema: Any) -> str:
    version: bytes = (schema.metadata or {}).get(SCHEMA_KEY, b"none")
    return version.decode()
