"""What a condition costs beside its computing."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

import basinet

PER_CONDITION = 0.5  # seconds
ONCE = 30.0  # seconds for what is done once: imports in three processes, the store, the sweep's figures and its report
ONE_PROCESS = "hydra/launcher=joblib hydra.launcher.n_jobs=1 tracking.figures=sweep"


@pytest.mark.parametrize(
    ("conditions", "launcher"), [(12, ONE_PROCESS), pytest.param(500, "", marks=pytest.mark.stress)]
)
def test_a_condition_costs_half_a_second_beside_its_computing(conditions: int, launcher: str, tmp_path: Path) -> None:
    """There is next to nothing to compute. Others may use the machine meanwhile, so processor time is what counts."""
    line = f"-m seed=range({conditions}) restarts=8 descent.steps=20 polish=none engine=torch {launcher}"
    start, used = time.monotonic(), _processor()
    subprocess.run([Path(sys.executable).parent / "basinet", *line.split()], cwd=tmp_path, check=True)
    wall, processor = time.monotonic() - start, _processor() - used
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    computing = basinet.load_runs("basinet", tracking_uri=uri)["seconds/descend"].sum()
    loading = time.monotonic()
    restarts = basinet.load_restarts("basinet", tracking_uri=uri)
    loading = time.monotonic() - loading
    print(
        f"\n{conditions} conditions: {wall:.1f} s, {computing:.1f} s computing; of processors {processor:.1f} s, "
        f"{processor / conditions:.2f} s a condition; all restarts loaded in {loading:.1f} s"
    )
    assert len(restarts) == 8 * conditions
    assert processor < PER_CONDITION * conditions + ONCE
    assert loading < 5


def _processor() -> float:
    """Seconds of processors that the processes started from here, and theirs, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
