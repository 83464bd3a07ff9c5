"""Saddles per second, each with the minima on its two sides: basinet against topsearch 0.0.3.

Both search the same function from the same starts: topsearch by hybrid eigenvector following with an analytic gradient,
one search after the other; basinet by eigenvector following with exact Hessians, all side by side. topsearch needs
older libraries than ours, so it has an environment of its own, which is made if it is not there (`TOPSEARCH` names the
Python of another one). Other work on the machine hits both sides alike: they take turns, and seconds of the processor
are counted beside those of the wall.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from basinet.foundation.outcomes import Kind
from basinet.pipeline.searches import examined, search_from
from basinet.stages.departures import Departures
from basinet.stages.landscape import Saddles
from basinet.stages.merge import distinct
from basinet.stages.seek import Found
from basinet.study.study import Study
from report import replace_section

XOR = {
    "network": {"width": 2, "activation": "logistic", "output": "logistic"},
    "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
    "threads": 1,
}
TURNS = 3
SEARCHES = 60  # of each turn, from the same starts
MANY = 4096  # searches side by side, as they are when a landscape is explored
SPREAD = 2.0  # deviation of the starts
WIDTHS = (2, 3, 10, 25)  # of XOR networks with 9, 13, 41 and 101 parameters
SEARCHES_OF_SIZES = 512
HOME = Path.home() / ".cache" / "basinet" / "topsearch-0.0.3"


class Side(NamedTuple):
    """What searches have found."""

    found: int  # searches that have ended at a saddle of index 1
    saddles: torch.Tensor  # [search, parameter]
    wall: float  # seconds
    processor: float


def topsearch_python() -> Path:
    """The Python of the environment in which topsearch is."""
    if "TOPSEARCH" in os.environ:
        return Path(os.environ["TOPSEARCH"])
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "topsearch==0.0.3"], check=True)
    return python


def theirs(python: Path, starts: np.ndarray) -> Side:
    """topsearch's saddles, sharpened by nobody, and its seconds."""
    with tempfile.TemporaryDirectory() as name:
        given, made = Path(name) / "starts.npz", Path(name) / "found.npz"
        np.savez(given, starts=starts)
        script = Path(__file__).with_name("peer_topsearch.py")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run([python, script, given, made], check=True, env={**environment, "OMP_NUM_THREADS": "1"})
        answer = np.load(made, allow_pickle=False)
        return Side(len(answer["found"]), torch.from_numpy(answer["found"]), *answer["seconds"].tolist())


def ours(study: Study, starts: np.ndarray) -> Side:
    """basinet's saddles with their sides followed, and its seconds."""
    settings = Saddles(searches=len(starts), searches_max=1, indices=1, steps=100)
    begun = Departures(torch.from_numpy(starts), torch.ones(len(starts), dtype=torch.int64))
    wall, processor = time.perf_counter(), time.process_time()
    block = search_from(study, settings, begun, range(len(starts)))
    seconds = time.perf_counter() - wall, time.process_time() - processor
    negative, unclear = block.points.modes(study.tolerances)
    is_saddle = (block.outcome.numpy() == Found.CONVERGED) & (negative == 1) & ~unclear
    return Side(int(is_saddle.sum()), block.points.theta[torch.from_numpy(is_saddle)], *seconds)


def different(study: Study, saddles: torch.Tensor) -> int:
    """How many distinct saddles of index 1 there are, modulo symmetry, after a few steps that sharpen all alike."""
    settings = Saddles(searches=len(saddles), searches_max=1, indices=1, steps=100)
    begun = Departures(saddles, torch.ones(len(saddles), dtype=torch.int64))
    points = examined(study, search_from(study, settings, begun, range(len(saddles))).points.theta)
    negative, unclear = points.modes(study.tolerances)
    kind = np.where((negative == 1) & ~unclear, Kind.MINIMUM, Kind.UNFINISHED).astype(np.int8)
    return len(distinct(points.bottoms(kind), study.exact_objective.symmetry, study.tolerances).count)


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    study, python = Study.from_config(XOR), topsearch_python()
    generator = np.random.default_rng(0)
    ours(study, SPREAD * generator.normal(size=(64, study.network.size)))  # compiles
    rows = []
    for _ in range(TURNS):
        starts = SPREAD * generator.normal(size=(SEARCHES, study.network.size))
        rows.append((theirs(python, starts), ours(study, starts)))
    many = ours(study, SPREAD * generator.normal(size=(MANY, study.network.size)))
    sides = list(zip(*rows, strict=True))
    lines = ["saddles of XOR 2-2-1 | topsearch 0.0.3 | basinet | basinet, 4,096 side by side", " | ".join(["---"] * 4)]
    searches = [TURNS * SEARCHES, TURNS * SEARCHES, MANY]
    told = [(sum(one.found for one in side), torch.cat([one.saddles for one in side])) for side in sides]
    told.append((many.found, many.saddles))
    cells = [f"{found:,} of {all_:,}" for (found, _), all_ in zip(told, searches, strict=True)]
    lines.append(" | ".join(["searches that end at one", *cells]))
    lines.append(" | ".join(["distinct ones", *(f"{different(study, saddles):,}" for _, saddles in told)]))
    for name in ("wall", "processor"):
        seconds = [sum(getattr(one, name) for one in side) for side in (*sides, [many])]
        rates = [found / spent for (found, _), spent in zip(told, seconds, strict=True)]
        cells = [f"{rate:,.1f} ({rate / rates[0]:,.0f}×)" for rate in rates]
        lines.append(" | ".join([f"a second of the {name}", *cells]))
    lines += ["", *sizes()]
    print("\n".join(lines))
    replace_section("saddles", lines)


def sizes() -> list[str]:
    """Seconds of larger networks, their starts drawn in the same way."""
    lines = ["parameters | searches | that end at a saddle | seconds of the processor", " | ".join(["---"] * 4)]
    for width in WIDTHS:
        study = Study.from_config({**XOR, "network": {**XOR["network"], "width": width}})
        generator = np.random.default_rng(width)
        ours(study, SPREAD * generator.normal(size=(64, study.network.size)))  # compiles
        took = ours(study, SPREAD * generator.normal(size=(SEARCHES_OF_SIZES, study.network.size)))
        lines.append(f"{study.network.size} | {SEARCHES_OF_SIZES} | {took.found:,} | {took.processor:.2f}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
