"""Conditions that are too large to be held: what is written and read of them, and in how much memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import basinet
from basinet.analysis.spread import spread
from basinet.foundation.large import HELD

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere"),
]

LAUNCHED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
CHEAP = ("problem=xor", "descent.steps=2", "descent.records=2", "polish=none")


@dataclass(frozen=True)
class Launched:
    folder: Path
    peak: int  # bytes
    said: str  # on standard error

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def tables(self) -> Path:
        (found,) = self.folder.rglob("restarts.parquet")
        return found.parent


def launch(folder: Path, restarts: int) -> Launched:
    program = Path(sys.executable).parent / "basinet"
    command = [sys.executable, "-c", LAUNCHED, str(program), *CHEAP, f"restarts={restarts}"]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return Launched(folder, int(answer.stdout.split()[-1]), answer.stderr)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return launch(tmp_path_factory.mktemp("little"), 200_000)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return launch(tmp_path_factory.mktemp("large"), 800_000)


def test_four_times_as_many_restarts_take_hardly_more_memory(little: Launched, large: Launched) -> None:
    """All of the little condition are held, and as many of the large one, with a block more and counts of losses."""
    print(f"{little.peak / 1e6:.0f} MB, {large.peak / 1e6:.0f} MB")
    assert large.peak < 1.35 * little.peak


def test_the_memory_is_said_before_and_noted_after(large: Launched) -> None:
    (line,) = [line for line in large.said.splitlines() if line.startswith("memory: ")]
    foretold = float(line.split()[2]) * {"MB": 1e6, "GB": 1e9}[line.split()[3]]
    assert large.peak / 1.5 <= foretold <= 1.5 * large.peak
    (noted,) = basinet.load_runs("basinet", tracking_uri=large.uri)["memory/peak"]
    assert 0.9 * large.peak <= noted <= large.peak


def test_every_restart_is_in_the_tables_in_its_order(large: Launched) -> None:
    for name in ("restarts", "evidence"):
        with pq.ParquetFile(large.tables / f"{name}.parquet") as file:
            assert file.num_row_groups > 5
            numbers = file.read(["restart"])["restart"].to_numpy()
        np.testing.assert_array_equal(numbers, np.arange(800_000))
    with np.load(large.tables.parent / "parameters.npz") as arrays:
        assert arrays["initial"].shape == arrays["final"].shape == (800_000, 9)


def test_the_spread_counts_all_restarts(large: Launched) -> None:
    restarts = pd.read_parquet(large.tables / "restarts.parquet").assign(condition="one")
    expected = spread(restarts, ["condition"]).iloc[0]
    run = basinet.load_runs("basinet", tracking_uri=large.uri).iloc[0]
    for share in ("arrived", "diverged", "minimum", "unfinished"):
        assert run[f"share/{share}"] == expected[f"share_{share}"]
    assert run["restarts"] == 800_000
    first = spread(restarts.head(HELD), ["condition"]).iloc[0]
    assert run["final/median_loss"] == first["loss_median"]


def test_a_sample_is_the_same_rows_of_the_restarts_and_their_evidence(large: Launched) -> None:
    every = pd.read_parquet(large.tables / "restarts.parquet", columns=["restart", "loss"]).set_index("restart")["loss"]
    columns = ["restart", "loss", "init"]
    drawn = basinet.load_restarts("basinet", tracking_uri=large.uri, columns=columns, sample=1000, seed=4)
    assert list(drawn) == columns
    assert drawn["restart"].is_monotonic_increasing
    assert drawn["restart"].nunique() == 1000
    np.testing.assert_array_equal(drawn["loss"], every[drawn["restart"]])
    evidence = basinet.load_evidence("basinet", tracking_uri=large.uri, sample=1000, seed=4)
    np.testing.assert_array_equal(evidence["restart"], drawn["restart"])
    late = "restart >= 799000"
    among = basinet.load_restarts("basinet", tracking_uri=large.uri, columns=["restart"], where=late, sample=0.01)
    assert len(among) == 10
    assert among["restart"].min() >= 799_000


def test_a_report_says_of_which_restarts_it_is(large: Launched, tmp_path: Path) -> None:
    page = basinet.report("basinet", tmp_path / "report", tracking_uri=large.uri).read_text(encoding="utf-8")
    assert f"n = the first {HELD:,} of 800,000 restarts" in page
    assert "Counts and shares are of all restarts." in page
