"""Stores with runs made by hand, so that what is loaded has an oracle."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from basinet.tracking.record import OpenRun, open_condition, write_condition
from basinet.tracking.store import TrackingStore

STATUS = ["arrived", "budget", "diverged"]


@pytest.fixture
def store(furnish: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingStore:
    """The embedded store of the working directory, with nothing in it."""
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return TrackingStore.open(f"sqlite:///{tmp_path / 'mlflow.db'}")


def _tables(losses: list[float], minimum: list[int]) -> dict[str, pd.DataFrame]:
    count = len(losses)
    names = ["arrived", "budget"] * count
    restarts = pd.DataFrame(
        {
            "restart": np.arange(count),
            "seed": 0,
            "status": pd.Categorical(names[:count], categories=STATUS),
            "minimum": np.array(minimum, dtype=np.int64),
            "loss": np.array(losses),
        }
    )
    levels = sorted(set(minimum) - {-1})
    minima = pd.DataFrame(
        {
            "minimum": levels,
            "loss": [losses[minimum.index(level)] for level in levels],
            "parameters": [np.full(3, float(level)) for level in levels],
            "signature": [np.full(4, float(level)) for level in levels],
        }
    )
    curves = pd.DataFrame(
        {
            "restart": np.repeat(np.arange(count), 2),
            "record": np.tile(np.arange(2, dtype=np.int32), count),
            "loss": np.arange(2 * count, dtype=np.float32),
        }
    )
    quantiles = pd.DataFrame({"record": np.arange(2, dtype=np.int32), "loss_median": [1.0, 0.5]})
    return {"restarts": restarts, "minima": minima, "curves": curves, "quantiles": quantiles}


@pytest.fixture
def write(store: TrackingStore) -> Callable[..., OpenRun]:
    """A run of a condition with these settings and final losses, by default finished and part of no sweep."""

    def call(
        columns: dict[str, Any],
        losses: list[float],
        *,
        experiment: str = "made",
        sweep_id: str | None = None,
        status: str | None = "FINISHED",
        minimum: list[int] | None = None,
        number: int = 0,
    ) -> OpenRun:
        key, sweep = json.dumps(columns, sort_keys=True), None if sweep_id is None else (sweep_id, number)
        run = open_condition(store, store.experiment(experiment), "a name", key, columns, sweep)
        ends = np.arange(len(losses) * 3.0).reshape(-1, 3)
        tables = _tables(losses, [-1] * len(losses) if minimum is None else minimum)
        write_condition(run, {"settings": 1}, tables, {"initial": -ends, "final": ends})
        if status is not None:
            run.close(status)
        time.sleep(0.002)  # the times of runs are whole milliseconds
        return run

    return call
