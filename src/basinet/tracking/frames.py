"""The frames of several conditions below each other, with their settings as columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from basinet.foundation.errors import unknown
from basinet.study.defaults import usual_columns
from basinet.tracking.tags import COLUMNS, PARENT


def joined(parts: list[pd.DataFrame], runs: list[Any], columns: Sequence[str] | None) -> pd.DataFrame:
    """The conditions' frames below each other, with `run_id` before and the settings behind."""
    names = dict.fromkeys(name for part in parts for name in part.columns)
    filled = [part for part in parts if len(part)] or parts[:1]  # those without rows would take categories away
    frame = pd.concat(filled, ignore_index=True).reindex(columns=list(names)) if parts else pd.DataFrame()
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    settings = pd.DataFrame(settings_of(runs))
    settings.insert(0, "run_id", [run.info.run_id for run in runs])
    new = [key for key in settings.columns if key not in frame.columns and (columns is None or key in columns)]
    repeated = {key: _repeat(typed(settings[key]), lengths) for key in new}
    front = {"run_id": repeated.pop("run_id")} if "run_id" in repeated else {}
    return pd.DataFrame({**front, **{key: frame[key] for key in frame.columns}, **repeated})


def settings_of(runs: list[Any]) -> list[dict[str, Any]]:
    """The settings of conditions as they stand in tables.

    Those of which only unusual values are columns (`usual_columns`) are there for all conditions if they are for one.
    """
    own = [json.loads(run.data.tags[COLUMNS]) for run in runs]
    usual = {key: value for key, value in usual_columns().items() if any(key in settings for settings in own)}
    return [{**settings, **{key: settings.get(key, value) for key, value in usual.items()}} for settings in own]


def _repeat(values: pd.Series, lengths: np.ndarray[Any, Any]) -> Any:
    return values.repeat(lengths.tolist()).array


def typed(values: pd.Series) -> pd.Series:
    """Numbers as numbers, everything else as categories."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return values
    present = values.dropna()
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return pd.to_numeric(values)
    texts = values.map(lambda value: value if pd.isna(value) else str(value))
    return texts.astype("category")


def select(frame: pd.DataFrame, columns: Sequence[str] | None, what: str) -> pd.DataFrame:
    check_columns(columns, frame.columns, what)
    return frame if columns is None else frame[list(columns)]


def check_columns(columns: Sequence[str] | None, known: Iterable[str], what: str) -> None:
    names = set(known)
    for column in columns or ():
        if column not in names:
            raise unknown(f"column of {what}", column, names)


def identity(run: Any) -> dict[str, Any]:
    """What a run is called, and what has become of it."""
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
