"""Everything that can be done for some restarts without knowing the others: descend, polish, certify."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from basinet.foundation.stopwatch import Stopwatch
from basinet.foundation.threads import keep_freed_memory, single_threaded_operations
from basinet.pipeline.blocks import Block
from basinet.protocols import State
from basinet.stages.certify import collect_evidence
from basinet.stages.descend import descend
from basinet.stages.polish import polish
from basinet.stages.solution import fold
from basinet.study.study import Study

OnProgress = Callable[[float], None]
"""Called now and then with the share of the work that is done, from 0 to 1."""


def ignore(share: float) -> None:
    """Progress that nobody wants to see."""


def solve(study: Study, restarts: range, progress: OnProgress = ignore, watch: Stopwatch | None = None) -> Block:
    """Everything that can be done for some restarts without knowing the others."""
    watch = watch or Stopwatch()
    keep_freed_memory()
    steps = max(study.descent.budget.steps, 1)
    with single_threaded_operations():
        with watch.stage("descend"):
            starts = study.starts(restarts)
            states = descend(study.objective, study.descent, study.engine, starts)
            solution = fold(_watched(states, steps, progress), study.record_steps).cpu()
        exact, holdout, engine = study.exact_objective, study.holdout, study.exact_engine
        with watch.stage("polish"):
            polished = polish(exact, solution.theta.double(), study.polishing, study.tolerances, engine)
        with watch.stage("certify"):
            return Block(
                restarts=restarts,
                starts=starts.cpu(),
                solution=solution.without_parameter_norms(),
                polished=polished,
                evidence=collect_evidence(exact, solution, polished, study.polishing, engine),
                signature=exact.signature(polished.theta),
                loss_holdout=None if holdout is None else holdout.loss(polished.theta),
                accuracy=exact.accuracy(polished.theta),
                accuracy_holdout=None if holdout is None else holdout.accuracy(polished.theta),
                loss_original=exact.loss_original(polished.theta),
                loss_holdout_original=None if holdout is None else holdout.loss_original(polished.theta),
            )


def _watched(states: Iterator[State], steps: int, progress: OnProgress) -> Iterator[State]:
    for state in states:
        progress(state.step / steps)
        yield state
