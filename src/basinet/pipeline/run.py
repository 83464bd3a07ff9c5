"""From a study to its findings: block by block what each restart needs, then what needs them all.

Free of Hydra and MLflow, usable from a notebook.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from basinet.analysis import unseen
from basinet.foundation.stopwatch import Stopwatch
from basinet.foundation.threads import keep_freed_memory, single_threaded_operations
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.pipeline import tables
from basinet.pipeline.blocks import Block, MemoryStore, Store
from basinet.protocols import State
from basinet.stages.certify import Kind, Tolerances, classify, collect_evidence
from basinet.stages.descend import descend
from basinet.stages.polish import newton_seconds, polish
from basinet.stages.solution import fold
from basinet.study.study import Study

_log = logging.getLogger(__name__)

_DEAR = 300  # parameters from which on polishing is no afterthought: what it costs is said
_SAMPLE = 4  # restarts that this is measured on
_BLOCK_BYTES = 1 << 27  # of parameters in one block of restarts
_BLOCK_RESTARTS = 1 << 16
_BLOCK_SECONDS = 60.0  # that a block may take: as much is lost if the process is killed
_TRIAL_RESTARTS = 256  # in a block while it is not known how long they take
AUTO_FIRST = 1000
"""How many restarts `restarts=auto` does before it is asked for the first time whether there are enough."""

Report = Callable[[float], None]
"""Called now and then with the share of the work that is done, from 0 to 1."""


@dataclass(frozen=True)
class Findings:
    """What came out of a study."""

    study: Study
    restarts: pd.DataFrame  # one row per restart
    minima: pd.DataFrame  # one row per distinct bottom
    evidence_arrays: dict[str, npt.NDArray[Any]]  # what the verdicts were made of, by the names of `Evidence`
    curves: pd.DataFrame  # one row per restart and record, of the first restarts
    quantiles: pd.DataFrame  # one row per record, of all restarts
    parameters: dict[str, npt.NDArray[np.floating]]  # "initial" and "final", [restart, parameter]
    seconds: dict[str, float]  # wall time by stage: descend, polish, certify, blocks, merge, tables

    @property
    def evidence(self) -> pd.DataFrame:
        """One row per restart: what its verdict was made of."""
        frame: pd.DataFrame = tables.evidence_arrow(self.evidence_arrays).to_pandas()
        return frame


def solve(study: Study, restarts: range, report: Report = lambda share: None, watch: Stopwatch | None = None) -> Block:
    """Everything that can be done for some restarts without knowing the others."""
    watch = watch or Stopwatch()
    keep_freed_memory()
    loss_initial: list[Tensor] = []

    def watched() -> Iterator[State]:
        for state in descend(study.objective, study.descent, study.engine, starts):
            if not loss_initial:
                loss_initial.append(state.loss.cpu())
            report(state.step / max(study.descent.budget.steps, 1))
            yield state

    with single_threaded_operations():
        with watch.stage("descend"):
            starts = study.starts(restarts)
            solution = fold(watched(), study.record_steps).cpu()
        exact, holdout, classes = study.exact_objective, study.holdout, study.problem.classes
        with watch.stage("polish"):
            polished = polish(exact, solution.theta.double(), study.polishing, study.exact_engine)
        with watch.stage("certify"):
            return Block(
                restarts=restarts,
                starts=starts.cpu(),
                loss_initial=loss_initial[0],
                solution=solution.without_parameter_norms(),
                polished=polished,
                evidence=collect_evidence(exact, solution, polished, study.polishing, study.exact_engine),
                signature=exact.signature(polished.theta),
                loss_holdout=None if holdout is None else holdout.loss(polished.theta),
                accuracy=accuracy(exact, polished.theta) if classes else None,
                accuracy_holdout=accuracy(holdout, polished.theta) if classes and holdout else None,
            )


def accuracy(risk: EmpiricalRisk, theta: Tensor) -> Tensor:
    """Share of the samples in the right class `[restart]`: the largest output, or the nearer of two target values."""
    outputs, targets = risk.outputs(theta), risk.targets
    if targets.shape[0] > 1:
        right = outputs.argmax(1) == targets.argmax(0)
    else:
        middle = (targets.min() + targets.max()) / 2
        right = ((outputs > middle) == (targets > middle)).squeeze(1)
    return right.to(theta.dtype).mean(1).masked_fill(torch.isfinite(theta).all(1).logical_not(), torch.nan)


def enough(study: Study, blocks: list[Block]) -> bool:
    """Whether Boender and Rinnooy Kan's rule says that hardly a minimum can be missing (`unseen.enough`)."""
    kind = classify(tables.evidence_arrays(blocks), Tolerances())
    found = tables.merged(blocks, kind, study.exact_objective.symmetry)
    return unseen.enough(int((found.kind == Kind.MINIMUM).sum()), int((kind == Kind.MINIMUM).sum()))


def gather(study: Study, blocks: list[Block], curves_max: int, watch: Stopwatch | None = None) -> Findings:
    """What needs all restarts: the distinct bottoms, and the tables."""
    watch = watch or Stopwatch()
    with watch.stage("merge"):
        evidence = tables.evidence_arrays(blocks)
        kind = classify(evidence, Tolerances())
        found = tables.merged(blocks, kind, study.exact_objective.symmetry)
    with watch.stage("tables"):
        return Findings(
            study=study,
            restarts=tables.restarts_table(blocks, study.seed, study.engine.name, kind, evidence, found),
            minima=tables.minima_table(blocks, evidence, found),
            evidence_arrays=evidence,
            curves=tables.curves_table(blocks, curves_max),
            quantiles=tables.quantiles_table(blocks),
            parameters=tables.parameters(blocks),
            seconds=watch.seconds,
        )


def run(
    study: Study, *, store: Store | None = None, curves_max: int = 2000, report: Report = lambda share: None
) -> Findings:
    """Train all restarts of a study and put what was found into tables.

    Args:
        study: the condition.
        store: where finished blocks are kept, and found if some are there already; in memory if None.
        curves_max: number of restarts whose whole loss curve is kept.
        report: called with the share of the work that is done.

    >>> findings = run(Study.from_config({"restarts": 20, "descent": {"steps": 50}}))
    >>> len(findings.restarts), sorted(findings.parameters)
    (20, ['final', 'initial'])
    """
    store = MemoryStore() if store is None else store
    _tell_cost(study)
    watch, pace = Stopwatch(), None
    while (restarts := next_range(study, store, pace)) is not None:
        start = time.perf_counter()
        before, share = restarts.start / study.restarts, len(restarts) / study.restarts
        block = solve(study, restarts, lambda part, b=before, s=share: report(b + s * part), watch)  # type: ignore[misc]
        pace = (time.perf_counter() - start) / len(restarts)
        with watch.stage("blocks"):
            store.add(block)
    with watch.stage("blocks"):
        blocks = [block.within(study.restarts) for block in store.blocks() if block.restarts.start < study.restarts]
    return gather(study, blocks, curves_max, watch)


def next_range(study: Study, store: Store, pace: float | None = None) -> range | None:
    """The restarts to do next; None if all are there.

    As many as fit the memory, and as take about a minute at `pace` seconds a restart. With `restarts=auto` it is asked
    after 1000, 2000, 4000, … of them whether there are enough: how many are done in the end depends on no clock.
    """
    first, largest = store.finished(), largest_block(study)
    if first >= study.restarts:
        return None
    size = _TRIAL_RESTARTS if pace is None else max(_TRIAL_RESTARTS, int(_BLOCK_SECONDS / pace))
    stop = study.restarts
    if study.is_auto:
        last, stop = 0, min(largest, AUTO_FIRST)
        while stop <= first:
            last, stop = stop, stop + min(largest, max(AUTO_FIRST, stop))
        if 0 < first == last and enough(study, store.blocks()):
            return None
    return range(first, min(first + min(size, largest), stop, study.restarts))


def largest_block(study: Study) -> int:
    """How many restarts are computed at a time, at most."""
    per_restart = 8 * (3 * study.network.size + 2 * len(study.record_steps))
    return max(1, min(_BLOCK_RESTARTS, _BLOCK_BYTES // per_restart))


def _tell_cost(study: Study) -> None:
    """Log what polishing costs, or would cost, where that is more than an afterthought."""
    size, limit = study.network.size, study.polishing.dense_max
    if study.polishing.steps == 0 or size <= _DEAR or not _log.isEnabledFor(logging.INFO):
        return
    sample = study.starts(range(min(_SAMPLE, study.restarts))).double().cpu()
    seconds = study.restarts * newton_seconds(study.exact_objective, sample, study.exact_engine)
    step = f"one Newton step of {study.restarts:,} restarts takes about {_rounded(seconds)} s"
    if size <= limit:
        _log.info("polishing %d parameters: %s, and up to %d are taken", size, step, study.polishing.steps)
    else:
        _log.info("not polished: %d parameters, polish.dense_max=%d; with more, %s", size, limit, step)


def _rounded(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 100 else f"{seconds:,.0f}"
