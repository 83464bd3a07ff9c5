"""A landscape from the command line to what is read of it, and once more with more searches."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import basinet
from basinet.foundation.errors import ConfigError

BIN = Path(sys.executable).parent
CHAIN = (
    "problem=chain problem.targets=[1.0] network.depth=3 network.bias=false network.activation=identity "
    "network.output=identity objective.l2_weights=0.1 descent.learning_rate=0.1 restarts=40 engine=torch"
)
SADDLES = f"{CHAIN} landscape=saddles landscape.indices=all"


def launch(folder: Path, line: str, script: str = "basinet") -> str:
    command = [str(BIN / script), *shlex.split(line)]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env={**os.environ})
    return answer.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, furnish: Callable[[Path], Path]) -> Path:
    """A folder in which the chain has run without a landscape, then with 40 searches, then with 80."""
    return furnish(tmp_path_factory.mktemp("landscape"))


@pytest.fixture(scope="module")
def told(folder: Path) -> list[str]:
    """What the three launches have said."""
    searches = ["landscape.searches=40", "landscape.searches=80"]
    return [launch(folder, CHAIN), *(launch(folder, f"{SADDLES} {more}") for more in searches)]


@pytest.fixture
def uri(folder: Path, told: list[str]) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


pytestmark = pytest.mark.slow


def test_the_terminal_says_what_lies_between_the_minima_where_that_was_asked(told: list[str]) -> None:
    assert "Between the minima" not in told[0]
    for searches, said in zip((40, 80), told[1:], strict=True):
        assert (
            f"Between the minima: 1 saddle of index 1 in {searches} searches (coverage 100 %); they join all minima; "
            "Euler's sum 1: passed." in said
        )


def test_only_the_searches_that_were_missing_are_made(folder: Path, told: list[str]) -> None:
    names = sorted(path.stem for path in folder.rglob("searches-*/*.parquet"))
    assert names == ["000000000000-000000000040", "000000000040-000000000080"]
    assert len(list(folder.rglob("blocks/*/*.parquet"))) == 1  # the restarts of all three launches


def test_a_launch_that_asks_for_no_more_computes_nothing(folder: Path, told: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("searches-*/*.parquet")}
    assert "finished" in launch(folder, f"{SADDLES} landscape.searches=80 dry_run=true")
    more = launch(folder, f"{SADDLES} landscape.searches=90 dry_run=true")
    assert "partly done" in more
    assert "not counted: at most 90 searches for saddles" in more
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("searches-*/*.parquet")} == before


def test_saddles_and_minima_are_read_as_they_were_found(uri: str) -> None:
    results = basinet.open("basinet", uri)
    saddles, minima = results.saddles, results.minima
    pd.testing.assert_frame_equal(saddles, basinet.load_saddles("basinet", tracking_uri=uri))
    assert saddles[["saddle", "index", "images", "orbit_size"]].to_numpy().tolist() == [[0, 1, False, 4.0]]
    np.testing.assert_allclose(saddles["loss"], 0.500500501506, atol=1e-10)  # GROUND_TRUTHS 10
    assert minima["orbit_size"].tolist() == [4, 1]
    assert minima["log_det"].notna().all()
    assert basinet.disconnectivity(minima, saddles)["parent"].tolist() == [2, 2, -1]
    runs = basinet.load_runs("basinet", tracking_uri=uri)
    wanted = {"saddles": 1, "searches": 80, "coverage": 1, "connected": 1, "new_minima": 0, "euler": 1}
    assert {key: runs[f"landscape/{key}"].iloc[-1] for key in wanted} == wanted


def test_programs_for_energy_landscapes_get_their_files(folder: Path, uri: str) -> None:
    minima, saddle = basinet.load_minima("basinet", tracking_uri=uri), basinet.load_saddles("basinet", tracking_uri=uri)
    (low,) = {path.read_text(encoding="ascii") for path in folder.rglob("min.data")}
    (high,) = {path.read_text(encoding="ascii") for path in folder.rglob("ts.data")}
    table = np.array([line.split() for line in low.splitlines()], dtype=float)
    np.testing.assert_allclose(table[:, 0], minima["loss"])
    np.testing.assert_allclose(table[:, 1], 2 * minima["log_det"])
    assert table[:, 2].tolist() == [1, 4]  # all four signs of θ = 0 are θ = 0
    loss, log, order, one, other, *ones = np.array(high.split(), dtype=float)
    assert (loss, order, {one, other}, ones) == (pytest.approx(saddle["loss"].item()), 1, {1, 2}, [1, 1, 1])
    assert log == pytest.approx(2 * saddle["log_det"].item() - np.log(-saddle["lambda_min"].item()))


def test_the_report_has_a_section_on_it(folder: Path, told: list[str]) -> None:
    launch(folder, "basinet", "basinet-report")
    page = next(folder.rglob("report.html")).read_text(encoding="utf-8")
    assert "Between the minima" in page
    assert "The saddles of index 1, the lowest first." in page


def test_where_no_saddles_were_sought_reading_them_says_so(
    folder: Path, furnish: Callable[[Path], Path], tmp_path: Path
) -> None:
    furnish(tmp_path)
    launch(tmp_path, f"{CHAIN} restarts=3")
    with pytest.raises(ConfigError, match="no condition of 'basinet' was run with landscape=saddles"):
        basinet.load_saddles("basinet", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
