"""Tables and arrays that are written bit by bit: one file each, whatever the size, and never more than a piece held."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from basinet.foundation.schema import SCHEMA_KEY, SCHEMA_VERSION

ROWS = 1 << 17
"""Of a table in one row group, which is what readers read at a time."""


def as_table(table: pd.DataFrame | pa.Table) -> pa.Table:
    """A table as it is written: with the schema version in its metadata."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), SCHEMA_KEY: str(SCHEMA_VERSION).encode()}
    return table.replace_schema_metadata(metadata)


class GrowingTable:
    """A Parquet file whose rows come in by and by, in row groups of `ROWS` rows, however they come in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> GrowingTable:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write(1)
        if self._writer is not None:
            self._writer.close()

    def append(self, rows: pd.DataFrame | pa.Table) -> None:
        """More rows, with the columns of those before."""
        table = as_table(rows)
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._waiting.append(table)
        self._write(ROWS)

    def _write(self, least: int) -> None:
        """What waits, as long as it is as many rows as that."""
        while self._writer is not None and sum(len(table) for table in self._waiting) >= least:
            together = pa.concat_tables(self._waiting)
            self._writer.write_table(together.slice(0, ROWS).combine_chunks(), row_group_size=ROWS)
            self._waiting = [together.slice(ROWS)] if len(together) > ROWS else []


class GrowingArrays:
    """An .npz file, as `numpy.savez` writes one, of arrays whose rows come in by and by."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._rows: dict[str, tuple[IO[bytes], int, np.ndarray[Any, Any]]] = {}  # a file, how many, and some of them

    def __enter__(self) -> GrowingArrays:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None:
                self._join()

    def append(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """More rows of each array."""
        for name, rows in arrays.items():
            aside, count, _ = self._rows.get(name) or (self._aside(), 0, rows)
            aside.write(np.ascontiguousarray(rows).data)
            self._rows[name] = aside, count + len(rows), rows[:0]

    def _aside(self) -> IO[bytes]:
        """Where the rows of an array wait, since those of several cannot be written into one file at a time."""
        return self._stack.enter_context(tempfile.TemporaryFile(dir=self._path.parent))

    def _join(self) -> None:
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, (aside, count, like) in self._rows.items():
                header = {
                    "descr": np.lib.format.dtype_to_descr(like.dtype),
                    "fortran_order": False,
                    "shape": (count, *like.shape[1:]),
                }
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_1_0(entry, header)
                    aside.seek(0)
                    shutil.copyfileobj(aside, entry, 1 << 20)
                aside.close()
