"""From a study to its findings: block by block what each restart needs, then what needs them all.

Free of Hydra and MLflow, usable from a notebook.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from basinet.foundation.stopwatch import Stopwatch
from basinet.pipeline.blocks import Block, MemoryStore, Store
from basinet.pipeline.gather import Findings, enough, gather
from basinet.pipeline.landscape import explore
from basinet.pipeline.solve import OnProgress, examined_together, go_on, ignore, solve
from basinet.stages.landscape import Saddles
from basinet.stages.newton import newton_seconds
from basinet.study.study import Study

_log = logging.getLogger(__name__)

_DEAR = 300  # parameters from which on polishing is no afterthought: what it costs is said
_DEAREST = 3000  # … from which on not even one Hessian, of 72 MB, is made only to know what it would have cost
_DEEP = 50  # weight layers, likewise: a Hessian is made of a block for every two of them
_SAMPLE = 4  # restarts that this is measured on
_BLOCK_BYTES = 1 << 27  # of parameters in one block of restarts
_BLOCK_RESTARTS = 1 << 16
_BLOCK_SECONDS = 60.0  # that a block may take: as much is lost if the process is killed
_TRIAL_RESTARTS = 256  # in a block while it is not known how long they take
_RUNS = 256  # in a block, where restarts go on as runs
AUTO_FIRST = 1000
"""How many restarts `restarts=auto` does before it is asked for the first time whether there are enough."""


def run(
    study: Study,
    *,
    store: Store[Block] | None = None,
    curves_max: int = 2000,
    progress: OnProgress = ignore,
    held: int | None = None,
) -> Findings:
    """Train all restarts of a study and put what was found into tables.

    Args:
        study: the condition.
        store: where finished blocks are kept, and found if some are there already; in memory if None.
        curves_max: number of restarts whose whole loss curve is kept.
        progress: called with the share of the work that is done.
        held: of more restarts than so many no more are held than those of one block (`Findings.parts`); None for all.

    >>> findings = run(Study.from_config({"restarts": 20, "descent": {"steps": 50}}))
    >>> len(findings.restarts), sorted(findings.parameters)
    (20, ['final', 'initial'])
    """
    store = MemoryStore() if store is None else store
    _tell_cost(study)
    watch = Stopwatch()
    _fill(study, store, progress, watch)
    findings = _gathered(study, store, curves_max, watch, held)
    settings = study.landscape
    if not isinstance(settings, Saddles):
        return findings
    found = explore(study, settings, findings.minima, findings.count, store, watch)
    return replace(findings, minima=found.minima, landscape=found)


def _fill(study: Study, store: Store[Block], progress: OnProgress, watch: Stopwatch) -> None:
    """Compute what is missing of a study's restarts, block by block; nothing, where workers have done it (`ahead`)."""
    pace = None
    while (restarts := next_range(study, store, pace)) is not None:
        start, begun = time.perf_counter(), store.begun(restarts.start)
        restarts = restarts if begun is None else begun.restarts
        before, share = restarts.start / study.restarts, len(restarts) / study.restarts
        told = _within(progress, before, share)
        block = solve(study, restarts, told, watch) if begun is None else go_on(study, begun, told, watch)
        pace = (time.perf_counter() - start) / len(restarts)
        with watch.stage("blocks"):
            store.add(block)


@dataclass(frozen=True)
class _Streamed:
    """The blocks of a study's restarts, read whenever they are gone through."""

    store: Store[Block]
    restarts: int

    def __iter__(self) -> Iterator[Block]:
        for block in self.store.stream():
            if block.restarts.start >= self.restarts:
                break
            yield block.within(self.restarts)


def _gathered(study: Study, store: Store[Block], curves_max: int, watch: Stopwatch, held: int | None) -> Findings:
    """What needs all restarts, their blocks in memory unless they are of more than `held`."""
    blocks = _Streamed(store, study.restarts)
    if held is not None and min(store.finished(), study.restarts) > held:
        return gather(study, blocks, curves_max, watch, held)
    with watch.stage("blocks"):
        every = [*blocks]
    return gather(study, every, curves_max, watch)


def _within(progress: OnProgress, before: float, share: float) -> OnProgress:
    """The progress of a block, which is a share of the whole."""
    return lambda part: progress(min(1.0, before + share * part))


def next_range(study: Study, store: Store[Block], pace: float | None = None) -> range | None:
    """The restarts to do next; None if all are there.

    As many as fit the memory, and as take about a minute at `pace` seconds a restart. With `restarts=auto` it is asked
    after 1000, 2000, 4000, … of them whether there are enough: how many are done in the end depends on no clock.
    """
    first = store.finished()
    stop = goal(study, first, store)
    size = block_size(study, pace, _BLOCK_SECONDS, _TRIAL_RESTARTS)
    return None if stop <= first else range(first, min(first + size, stop))


def block_size(study: Study, pace: float | None, seconds: float, few: int) -> int:
    """How many restarts to compute next: as many as take so long at `pace` seconds a restart, a `few` at least.

    Of runs it is always the same number: a bottom is certified once in each block in which runs have been there, and
    which of two mirror images is the lower one by its last bit, and named first, must not depend on a clock.
    """
    if study.escape.goes_on:
        return min(_RUNS, largest_block(study))
    size = few if pace is None else max(few, int(seconds / pace))
    return min(size, largest_block(study))


def goal(study: Study, first: int, store: Store[Block]) -> int:
    """Up to which restart to go on where those below number `first` are there; `first` itself if these are all.

    With `restarts=auto` it is asked after 1000, 2000, 4000, … of them whether there are enough.
    """
    if first >= study.restarts or not study.is_auto:
        return max(first, study.restarts)
    largest = largest_block(study)
    last, stop = 0, min(largest, AUTO_FIRST)
    while stop <= first:
        last, stop = stop, stop + min(largest, max(AUTO_FIRST, stop))
    if 0 < first == last and enough(study, _Streamed(store, first)):
        return first
    return min(stop, study.restarts)


def largest_block(study: Study) -> int:
    """How many restarts are computed at a time, at most."""
    per_restart = 8 * (3 * study.network.size + remembered_numbers(study) + 2 * len(study.marks))
    return max(1, min(_BLOCK_RESTARTS, _BLOCK_BYTES // per_restart))


def remembered_numbers(study: Study) -> int:
    """How many numbers the descent carries from step to step of each restart."""
    memory = study.descent.init(torch.empty(1, study.network.size, device="meta"))
    return sum(tensor.numel() for tensor in memory)


def _tell_cost(study: Study) -> None:
    """Log what polishing costs, or would cost, where that is more than an afterthought.

    What is not done is not measured either beyond `_DEAREST` parameters, where a Hessian takes as much memory as it
    wants, and beyond `_DEEP` layers, where it takes minutes.
    """
    size, limit = study.network.size, study.polishing.dense_max
    if study.polishing.steps == 0 or size <= _DEAR or not _log.isEnabledFor(logging.INFO):
        return
    if size > limit and (size > _DEAREST or study.network.depth > _DEEP):
        _log.info("not polished: %d parameters, polish.dense_max=%d", size, limit)
        return
    together = 1 if size > limit else examined_together(study)
    sample = study.starts(range(min(_SAMPLE, study.restarts, together))).double().cpu()
    seconds = study.restarts * newton_seconds(study.exact_objective, sample, study.exact_engine)
    step = f"one Newton step of {study.restarts:,} restarts takes about {_rounded(seconds)} s"
    if size <= limit:
        _log.info("polishing %d parameters: %s, and up to %d are taken", size, step, study.polishing.steps)
    else:
        _log.info("not polished: %d parameters, polish.dense_max=%d; with more, %s", size, limit, step)


def _rounded(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 100 else f"{seconds:,.0f}"
