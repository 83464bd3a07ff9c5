"""What handing blocks to the workers of Dask takes beside their computing, and what a second worker brings."""

from __future__ import annotations

import statistics
import time

from basinet.executors.dask import Dask, DaskCrew
from basinet.pipeline.ahead import Ahead, Lot, with_threads
from basinet.pipeline.blocks import MemoryStore
from basinet.pipeline.work import Job, work
from basinet.study.study import Study
from report import replace_section

REPEATS = 3
BLOCKS = 40
LITTLE = {"descent": {"steps": 1}, "polish": {"steps": 0, "dense_max": 0}}
MUCH = {"problem": {"name": "digits", "points": 200}, "network": {"width": 8}, "polish": {"steps": 0, "dense_max": 0}}
STUDY = {**MUCH, "descent": {"steps": 400}, "restarts": 1024}


def executor(workers: int) -> Dask:
    """So many processes of this machine, of one thread each."""
    queue = {"jobqueue": None, "queue": None, "cores": 1, "memory": "4GB", "time": "01:00:00", "options": ()}
    rest = {"address": None, "threads": 1, "pending": None, "minimum": None, "maximum": None, "interface": None}
    return Dask(workers=workers, **queue, **rest)  # type: ignore[arg-type]


def overhead() -> str:
    """Of one block that is waited for, beyond the seconds that its worker took, in milliseconds."""
    study = with_threads(Study.from_config({**LITTLE, "restarts": 64 * BLOCKS}), 1)
    beyond = []
    with executor(1).open() as crew:
        for number in range(BLOCKS):
            start = time.perf_counter()
            answer = crew.submit(work, Job(study, range(64 * number, 64 * (number + 1)))).result().value
            beyond.append(1000 * (time.perf_counter() - start - answer["seconds"]))
    middle, last = statistics.median(beyond[5:]), max(beyond[5:])
    return f"* A block of 64 restarts with Dask, beyond its computing: median {middle:.0f} ms, at most {last:.0f} ms."


def filled(crew: DaskCrew, study: Study) -> float:
    """Seconds for all restarts of a condition."""
    lot = Lot(study, lambda made_by: MemoryStore())
    start = time.perf_counter()
    Ahead(crew, 1, lambda number: lot).fill(0, lot, lambda share: None)
    return time.perf_counter() - start


def speedup() -> str:
    """One worker against two, in turn, all of which have started, and have the kernel."""
    study = with_threads(Study.from_config(STUDY), 1)
    with executor(1).open() as one, executor(2).open() as two:
        for crew in (one, two):
            filled(crew, study)
        pairs = [(filled(one, study), filled(two, study)) for _ in range(REPEATS)]
    ratios = sorted(alone / together for alone, together in pairs)
    ones, twos = (statistics.median(times) for times in zip(*pairs, strict=True))
    return (
        f"* 2 workers of one thread against 1, {REPEATS} times in turn: {statistics.median(ratios):.2f} × as fast "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}), {ones:.1f} s and {twos:.1f} s."
    )


if __name__ == "__main__":
    lines = []
    for measure in (overhead, speedup):
        lines.append(measure())
        print(lines[-1], flush=True)
    replace_section("executors", lines)
