"""A name is looked up once, and its tables are read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import basinet
from basinet.foundation.errors import ConfigError
from basinet.tracking.store import TrackingStore


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stores that are opened and the files that are read, as it happens."""
    seen: list[str] = []
    opened, artifact = TrackingStore.open_existing, TrackingStore.artifact

    def opening(uri: str) -> TrackingStore:
        seen.append("store")
        return opened(uri)

    def reading(self: TrackingStore, run: Any, relative: str) -> Path | None:
        seen.append(relative)
        return artifact(self, run, relative)

    monkeypatch.setattr(TrackingStore, "open_existing", staticmethod(opening))
    monkeypatch.setattr(TrackingStore, "artifact", reading)
    return seen


def test_the_tables_of_a_handle_are_those_of_the_loaders(swept: Path) -> None:
    results = basinet.open("basinet")
    for table in ("runs", "restarts", "minima", "curves", "quantiles", "evidence"):
        pd.testing.assert_frame_equal(getattr(results, table), getattr(basinet, f"load_{table}")("basinet"))


def test_a_handle_opens_the_store_once_and_reads_a_table_once(swept: Path, looked: list[str]) -> None:
    results = basinet.open("basinet")
    for _ in range(3):
        assert len(results.restarts) > 0
    assert sorted(looked) == ["store", *["tables/restarts.parquet"] * 2, "tables/sweep_minima.parquet"]


def test_what_is_changed_in_a_table_of_a_handle_is_not_changed_in_the_next(swept: Path) -> None:
    results = basinet.open("basinet")
    mine = results.restarts
    before = mine["loss"].to_numpy().copy()
    mine.loc[:, "loss"] = -1.0
    mine["more"] = 0
    assert np.array_equal(results.restarts["loss"], before)
    assert "more" not in results.restarts


def test_a_study_out_of_a_handle_computes_what_its_run_has_kept(swept: Path) -> None:
    results = basinet.open("basinet")
    for run_id in results.runs["run_id"]:
        study, kept = results.study(run_id), results.parameters(run_id)
        table = results.restarts[results.restarts["run_id"] == run_id]
        assert study.restarts == len(table)
        assert np.array_equal(study.starts(range(study.restarts)).numpy(), kept["initial"])
        # The loss is a sum of a few terms below 1 that another engine may add in another order.
        again = study.exact_objective.loss(study.starts(range(study.restarts)).double()).numpy()
        np.testing.assert_allclose(again, table["loss_initial"], rtol=1e-12)


def test_which_condition_is_meant_has_to_be_said_where_there_are_several(swept: Path) -> None:
    results = basinet.open("basinet")
    first = results.runs["run_id"].iloc[0]
    for ask in (results.study, results.parameters, results.settings):
        with pytest.raises(ConfigError, match=r"^'basinet' has 2 conditions; name one by its run id$"):
            ask()
        with pytest.raises(ConfigError, match=r"^'basinet' has no finished condition with the run id 'nobody'$"):
            ask("nobody")
    assert basinet.open(first).study().settings == results.study(first).settings


def test_nobody_is_found_where_nothing_is(swept: Path) -> None:
    with pytest.raises(ConfigError, match=r"^unknown experiment or run 'basinett': did you mean 'basinet'\?$"):
        basinet.open("basinett")
