from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from basinet.foundation.schema import SCHEMA_KEY, SCHEMA_VERSION
from basinet.tracking import parts
from basinet.tracking.parts import GrowingArrays, GrowingTable

FRAME = pd.DataFrame(
    {
        "restart": np.arange(23),
        "kind": pd.Categorical(["minimum", "saddle"] * 11 + ["saddle"]),
        "loss": np.arange(23) / 7,
    }
)


@pytest.mark.parametrize("sizes", [[23], [1, 22], [10, 1, 1, 11], [3, 0, 20]])
def test_a_table_in_parts_is_the_whole_in_row_groups_that_do_not_depend_on_them(
    sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS", 8)
    with GrowingTable(tmp_path / "tables" / "restarts.parquet") as table:
        for begin, size in zip(np.cumsum([0, *sizes]).tolist(), sizes, strict=False):
            table.append(FRAME.iloc[begin : begin + size])
    with pq.ParquetFile(tmp_path / "tables" / "restarts.parquet") as file:
        groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        assert groups == [8, 8, 7]
        assert file.schema_arrow.metadata[SCHEMA_KEY] == str(SCHEMA_VERSION).encode()
        pd.testing.assert_frame_equal(file.read().to_pandas(), FRAME)


def test_arrays_in_parts_are_read_as_if_numpy_had_written_them(tmp_path: Path) -> None:
    ends = np.random.default_rng(1).standard_normal((11, 3))
    with GrowingArrays(tmp_path / "parameters.npz") as arrays:
        for begin in (0, 4, 8):
            rows = ends[begin : begin + 4]
            arrays.append({"initial": -rows.astype(np.float32), "final": rows})
    with np.load(tmp_path / "parameters.npz", allow_pickle=False) as found:
        assert found.files == ["initial", "final"]
        np.testing.assert_array_equal(found["final"], ends)
        np.testing.assert_array_equal(found["initial"], -ends.astype(np.float32))
        assert found["initial"].dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["parameters.npz"]


def test_arrays_that_were_interrupted_leave_nothing(tmp_path: Path) -> None:
    arrays = GrowingArrays(tmp_path / "parameters.npz")
    arrays.append({"final": np.zeros((2, 3))})
    arrays.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert list(tmp_path.iterdir()) == []
