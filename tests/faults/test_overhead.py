"""What a condition costs beside its computing: counted, for `benchmarks/sweeps.py` measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.engine import Engine

import basinet

LINE = "restarts=8 descent.steps=20 polish=none engine=torch tracking.figures=none"
ONE_PROCESS = "hydra/launcher=joblib hydra.launcher.n_jobs=1 hydra.launcher.batch_size=1"


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What this process asks of any database from now on."""
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sqlalchemy.event.listen(Engine, "before_cursor_execute", note)
    yield asked
    sqlalchemy.event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.slow
@pytest.mark.parametrize("conditions", [8, pytest.param(200, marks=pytest.mark.stress)])
def test_a_condition_asks_the_store_as_little_in_a_long_sweep_as_in_a_short_one(
    conditions: int,
    command: Callable[[str], Any],
    furnish: Callable[[Path], Path],
    statements: list[str],
    tmp_path: Path,
) -> None:
    asked = {}
    for count in (2, 3, conditions):
        uri = f"sqlite:///{furnish(tmp_path / str(count))}/mlflow.db"
        statements.clear()
        answer = command(f"-m seed=range({count}) {LINE} {ONE_PROCESS} tracking.uri={uri}")
        assert answer.code == 0, answer.err
        asked[count] = len(statements)
        assert len(basinet.load_restarts("basinet", tracking_uri=uri)) == 8 * count
    first = asked[3] - asked[2]
    later = (asked[conditions] - asked[3]) / (conditions - 3)
    print(f"\n{first:.0f} statements a condition in a short sweep, {later:.0f} in one of {conditions}")
    assert later <= 1.1 * first
    assert first < 400
