"""What killed processes leave is told from what somebody is at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from basinet.pipeline.blocks import FolderStore
from basinet.tracking import leftovers

AT_WORK = """
import sys, time
from pathlib import Path
from basinet.tracking.leftovers import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def work(tmp_path: Path) -> list[Path]:
    """A journal, a folder with a table and a half block, nobody's and old."""
    (tmp_path / "blocks" / "key").mkdir(parents=True)
    (tmp_path / "blocks" / "key" / "000000000000-000000000005.parquet").write_text("whole")
    (tmp_path / "writing-1").mkdir()
    (tmp_path / "writing-1" / "table.parquet").write_text("half")
    paths = [tmp_path / "blocks" / "key" / "writing-2", tmp_path / "journal-3.jsonl", tmp_path / "writing-1"]
    for path in paths[:2]:
        path.write_text("half")
    for path in paths:
        os.utime(path, (0, 0))
    return paths


def test_what_nobody_holds_is_swept_away_and_whole_blocks_stay(work: list[Path], tmp_path: Path) -> None:
    assert leftovers.leftovers(tmp_path) == work
    leftovers.sweep_away(work)
    assert [path.name for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        "000000000000-000000000005.parquet"
    ]


def test_what_has_just_been_made_is_not_yet_left(work: list[Path], tmp_path: Path) -> None:
    now = time.time()
    for path in work:
        os.utime(path, (now, now))
    assert leftovers.leftovers(tmp_path) == []


def test_the_half_block_of_a_condition_that_somebody_computes_is_his(work: list[Path], tmp_path: Path) -> None:
    with FolderStore(tmp_path / "blocks" / "key").lock:
        assert leftovers.leftovers(tmp_path) == work[1:]


@pytest.mark.parametrize("name", ["journal-3.jsonl", "writing-1"])
def test_a_hold_lasts_as_long_as_its_process(name: str, work: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_WORK, str(tmp_path / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert tmp_path / name not in leftovers.leftovers(tmp_path)
        process.send_signal(signal.SIGKILL)
    assert leftovers.leftovers(tmp_path) == work


def test_a_launch_sweeps_away_what_killed_ones_have_left(sweeps: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / ".basinet").mkdir()
    left = tmp_path / ".basinet" / "journal-0.jsonl"
    left.write_text("half")
    os.utime(left, (0, 0))
    assert sweeps("restarts=5 descent.steps=5 tracking.figures=none").code == 0
    assert {path.name for path in (tmp_path / ".basinet").iterdir()} == {".gitignore", "blocks"}
