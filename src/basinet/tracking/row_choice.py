"""Which rows of a large table are read: all, the first ones, or a random sample that a seed draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from basinet.foundation.errors import require

Indices = npt.NDArray[np.int64]


class Choice(Protocol):
    """Which rows of a table are read."""

    def __call__(self, rows: int) -> Indices:
        """Of a table of so many rows the numbers of those that are read, ascending."""
        ...


def first(most: int) -> Choice:
    """The first so many rows."""
    return lambda rows: np.arange(min(rows, most))


def only(row: int) -> Choice:
    """One row, by its number."""
    return lambda rows: np.arange(row, min(row + 1, rows))


def sampled(sample: float, seed: int = 0) -> Choice:
    """Rows drawn without putting back: as many as a whole number says, or a share of all, 0 < share ≤ 1.

    Which ones depends on the number of rows and the seed alone: tables with a row for each restart give the same ones.

    Raises:
        ConfigError: if it is neither, or the seed is no whole number from 0 on.
    """
    is_number = not isinstance(sample, bool) and isinstance(sample, int | np.integer) and sample >= 1
    is_share = isinstance(sample, float | np.floating) and 0 < sample <= 1
    told = "must be a number of restarts (1, 2, …) or a share of them (a float in (0, 1], such as 0.01)"
    require(is_number or is_share, f"sample={sample!r}: {told}")
    valid = not isinstance(seed, bool) and isinstance(seed, int | np.integer) and seed >= 0
    require(valid, f"seed={seed!r}: must be a whole number, 0 or more")

    def choose(rows: int) -> Indices:
        count = min(rows, int(sample)) if is_number else max(1, math.ceil(sample * rows)) if rows else 0
        if count == rows:
            return np.arange(rows)
        drawn = np.random.default_rng(int(seed)).choice(rows, count, replace=False, shuffle=False)
        return np.sort(drawn).astype(np.int64)

    return choose


def read(file: pq.ParquetFile, columns: Sequence[str] | None, choice: Choice | None) -> pa.Table:
    """Some columns and rows of a table: no more than a row group of it is held beside what is chosen."""
    wanted = None if columns is None else list(columns)
    if choice is None:
        return file.read(wanted)
    rows = choice(file.metadata.num_rows)
    parts, begin = [], 0
    for group in range(file.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        own = rows[np.searchsorted(rows, begin) : np.searchsorted(rows, end)] - begin
        if len(own) > 0:
            parts.append(file.read_row_group(group, wanted).take(pa.array(own)))
        begin = end
    return pa.concat_tables(parts) if parts else file.read(wanted).slice(0, 0)
