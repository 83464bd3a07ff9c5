from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from basinet.foundation.errors import ConfigError
from basinet.tracking.row_choice import first, read, sampled


@pytest.mark.parametrize(
    ("sample", "count"), [(1, 1), (40, 40), (1000, 100), (0.25, 25), (0.001, 1), (1.0, 100), (np.int64(7), 7)]
)
def test_a_sample_is_a_number_of_rows_or_a_share_each_row_once_and_in_order(sample: float, count: int) -> None:
    rows = sampled(sample, seed=3)(100)
    assert len(rows) == len(set(rows)) == count
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < 100


def test_a_seed_draws_the_same_again_and_another_one_others() -> None:
    drawn = [sampled(50, seed)(1000).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_every_row_is_drawn_as_often_as_any_other() -> None:
    """Of 4000 draws of 5 rows of 20, a row is in 1000 ± 27 · 5."""
    hits = np.bincount(np.concatenate([sampled(5, seed)(20) for seed in range(4000)]), minlength=20)
    assert np.abs(hits - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_of_nothing_nothing_is_drawn() -> None:
    assert sampled(0.5)(0).tolist() == sampled(3)(0).tolist() == []


@pytest.mark.parametrize("sample", [0, -1, 0.0, -0.5, 1.5, float("nan"), "10", True, None])
def test_a_sample_that_is_none_is_refused_in_one_line(sample: Any) -> None:
    with pytest.raises(ConfigError) as error:
        sampled(sample)
    told = "must be a number of restarts (1, 2, …) or a share of them (a float in (0, 1], such as 0.01)"
    assert str(error.value) == f"sample={sample!r}: {told}"


@pytest.mark.parametrize("seed", [-1, 0.5, "1", True, None])
def test_a_seed_that_is_none_is_refused_in_one_line(seed: Any) -> None:
    with pytest.raises(ConfigError) as error:
        sampled(5, seed)
    assert str(error.value) == f"seed={seed!r}: must be a whole number, 0 or more"


@pytest.mark.parametrize("choice", [None, first(7), first(100), sampled(6, 2), lambda rows: np.array([0, 9, 10, 24])])
def test_what_is_read_are_the_rows_that_were_chosen_and_the_columns_that_were_asked_for(
    choice: Any, tmp_path: Path
) -> None:
    table = pa.table({"restart": np.arange(25), "loss": np.arange(25) ** 2, "kind": ["a"] * 25})
    pq.write_table(table, tmp_path / "table.parquet", row_group_size=10)
    with pq.ParquetFile(tmp_path / "table.parquet") as file:
        found = read(file, ["loss"], choice)
    rows = list(range(25)) if choice is None else choice(25).tolist()
    assert found.to_pydict() == {"loss": [row**2 for row in rows]}


def test_row_groups_without_a_chosen_row_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"loss": np.arange(25)}), tmp_path / "table.parquet", row_group_size=10)
    asked: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def counting(self: Any, group: int, *more: Any) -> Any:
        asked.append(group)
        return whole(self, group, *more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counting)
    with pq.ParquetFile(tmp_path / "table.parquet") as file:
        read(file, None, lambda rows: np.array([21, 22]))
    assert asked == [2]
