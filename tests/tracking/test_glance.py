"""What is seen of a store without MLflow."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from basinet.foundation.errors import ConfigError
from basinet.tracking.glance import is_known, look
from basinet.tracking.store import TrackingStore


def spoil(sql: str) -> None:
    with closing(sqlite3.connect("mlflow.db")) as connection:
        connection.execute(sql)
        connection.commit()


def test_a_store_is_known_that_is_new_or_has_the_tables_of_the_installed_mlflow(
    store: TrackingStore, tmp_path: Path
) -> None:
    assert is_known(store.uri, "made")
    assert is_known(f"sqlite:///{tmp_path}/new.db", "made")
    assert not (tmp_path / "new.db").exists()
    spoil("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    assert not is_known(store.uri, "made")


def test_of_a_server_nothing_is_known_before_it_has_been_asked() -> None:
    assert not is_known("http://127.0.0.1:9", "made")
    assert not is_known("postgresql://127.0.0.1:9", "made")


def test_a_deleted_experiment_is_named(store: TrackingStore, write: Callable[..., Any]) -> None:
    write({"seed": 0}, [1.0])
    seen = look(store.uri, "made")
    assert seen is not None
    assert len(seen.runs) == 1
    spoil("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'made'")
    with pytest.raises(ConfigError, match=r"^tracking\.experiment=made: was deleted"):
        is_known(store.uri, "made")
