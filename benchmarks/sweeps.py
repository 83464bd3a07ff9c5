"""What many conditions and many restarts take beside their computing: sweeping, loading, comparing, reporting."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from basinet.analysis.compare import differences, levels
from report import replace_section

CONDITIONS = 500
LITTLE = "restarts=8 descent.steps=20 polish=none engine=torch"
MANY = (
    "init=normal,uniform,orthogonal,xavier_normal network.depth=1,2,3,4,5 restarts=50000 descent.steps=20 polish=none "
    "tracking.figures=none"
)
_LOAD_AND_REPORT = """
import json, resource, time
import basinet
start = time.perf_counter()
restarts = basinet.load_restarts("basinet", columns=["loss", "init", "network.depth"])
loaded = time.perf_counter() - start
assert len(restarts) == 1_000_000
start = time.perf_counter()
page = basinet.report("basinet")
reported = time.perf_counter() - start
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps([loaded, reported, page.stat().st_size / 1e6, memory]))
"""


def sweep(line: str, folder: str) -> None:
    """Run the console script."""
    subprocess.run(
        [Path(sys.executable).parent / "basinet", *line.split()], cwd=folder, check=True, capture_output=True
    )


def processors() -> float:
    """Seconds of processors that the processes started from here, and theirs, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def conditions() -> str:
    """A sweep of conditions in which there is next to nothing to compute."""
    with tempfile.TemporaryDirectory() as folder:
        start, used = time.perf_counter(), processors()
        sweep(f"-m seed=range({CONDITIONS}) {LITTLE}", folder)
        wall, used = time.perf_counter() - start, processors() - used
    return (
        f"* {CONDITIONS} conditions with next to nothing to compute: {wall:.0f} s, of processors "
        f"{used / CONDITIONS:.2f} s a condition."
    )


def report() -> str:
    """A million restarts loaded and reported."""
    with tempfile.TemporaryDirectory() as folder:
        sweep(f"-m {MANY}", folder)
        answer = subprocess.run(
            [sys.executable, "-c", _LOAD_AND_REPORT], cwd=folder, check=True, capture_output=True, text=True
        )
    loaded, reported, size, memory = json.loads(answer.stdout.splitlines()[-1])
    return (
        f"* 1,000,000 restarts in 20 conditions: three columns loaded in {loaded:.2f} s, reported in {reported:.1f} s "
        f"as a page of {size:.1f} MB, with at most {memory:.1f} GiB of memory."
    )


def comparisons() -> str:
    """A million restarts in twenty conditions compared in pairs, and by levels."""
    seconds = []
    for few in (True, False):
        random, count = np.random.default_rng(9), 1_000_000
        losses = random.geometric(0.02, count) * 1e-3 if few else random.exponential(size=count)
        table = pd.DataFrame({"init": np.arange(count) % 5, "depth": np.arange(count) // 5 % 4, "loss": losses})
        start = time.perf_counter()
        differences(table.assign(status="arrived"), ["init", "depth"])
        levels(table.assign(status="arrived"), "init", ["depth"])
        seconds.append(time.perf_counter() - start)
    return f"* Compared: {seconds[0]:.1f} s with few minima, {seconds[1]:.1f} s if all losses differ."


def main() -> None:
    """Measure, print, and rewrite the list in the docs."""
    lines = [conditions(), report(), comparisons()]
    print(*lines, sep="\n")
    replace_section("sweeps", lines)


if __name__ == "__main__":
    main()
