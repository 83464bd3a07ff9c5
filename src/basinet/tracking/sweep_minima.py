"""Which bottoms of the conditions of a sweep are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from basinet.tracking.integrity import open_table
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import PARENT


class SweepMinima:
    """Which bottoms of the conditions of a sweep are the same, as the sweep's parent run says; each is read once."""

    def __init__(self, store: TrackingStore) -> None:
        self._store = store
        self._tables: dict[str, pd.DataFrame | None] = {}

    def ids(self, run: Any, minimum: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The sweep's ids for a condition's; -1 where there is none, the condition's own ids if it has no sweep."""
        sweep_id = run.data.tags.get(PARENT)
        if sweep_id is None:
            return minimum.copy()
        if sweep_id not in self._tables:
            path = self._store.artifact(self._store.client.get_run(sweep_id), "tables/sweep_minima.parquet")
            self._tables[sweep_id] = None if path is None else read_table(path)
        table = self._tables[sweep_id]
        if table is None:  # the sweep has not ended yet
            return np.full(len(minimum), -1, dtype=np.int64)
        mine = table[table["run_id"] == run.info.run_id]
        by_minimum = np.full(max(int(mine["minimum"].max()) + 2 if len(mine) else 1, 1), -1, dtype=np.int64)
        by_minimum[mine["minimum"].to_numpy(np.int64)] = mine["sweep_minimum"].to_numpy(np.int64)
        result: np.ndarray[Any, Any] = by_minimum[minimum]  # the last entry answers for -1
        return result


def read_table(path: Path) -> pd.DataFrame:
    """A whole Parquet file."""
    with open_table(path) as file:
        frame: pd.DataFrame = file.read().to_pandas()
    return frame
