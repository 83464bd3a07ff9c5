"""What a condition takes: memory and disk are counted, time is measured on a few restarts and steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from basinet.foundation import machine
from basinet.foundation.large import HELD
from basinet.pipeline.run import largest_block, remembered_numbers
from basinet.pipeline.solve import again, examined_numbers, examined_together, solve
from basinet.protocols import Descent
from basinet.stages.derivatives import Derivatives
from basinet.stages.descend import descend
from basinet.stages.march import march
from basinet.stages.newton import MEASURED, eigenvectors_seconds, newton_seconds
from basinet.study.study import Study

PROGRAM = 560e6
"""Bytes of memory of a process before anything is computed (measured)."""

_SIGNATURE = 8  # numbers
_SCALARS = 200  # bytes of a restart in its block and in the tables: losses, norms, verdicts, …, not compressed
_RECORD = 8  # bytes of a restart and record in its block; in the table of curves 9, as steps and numbers shrink
_CURVE = 9
_CURVE_HELD = 56  # … in memory while that table is made: its columns, and once more without the diverged
_TICKET = 2  # bytes of a restart of a large condition that are held till its end: at which bottom it is
_COUNTED = 4 << 20  # … and of a record: how many losses and gradient norms begin alike
_VISIT = 60  # bytes of a visit of a run
_WRITTEN = 1 << 21  # bytes beside the tables of a condition: figures, notes, its share of the database (measured: 1 MB)
_HELD = 4  # of the largest arrays of a restart while it is examined (measured): Hessian, aligned, eigenvectors, joined
_DESCENDING = 4  # numbers of a restart and parameter while it descends: start and θ, before and after
_REMEMBERING = 3  # what its descent remembers: before, after, and in parts that are put together
_RECORDING = 24  # bytes of a restart and record while it descends: three numbers, and once more where they are stacked
_NEWTON = 6  # Newton steps of a restart
_CORRECTIONS = 4  # Hessians that a step along the flow takes (measured) …
_FOLLOWED = 60  # … and those of all its steps (measured: 15 where it rests, 55 on the way to infinity)
_TABLES = 3e-5  # seconds to write a restart into its block and tables (measured)
_WAY = 3  # steps along the flow that are measured
_LONG_ENOUGH = 0.1  # seconds: shorter ones are not measured well
_TOO_LONG = 2.0  # seconds: a step that takes as long as this is not tried more often
_DEAR = 10.0  # … not even once more, and nothing else of which a Hessian is made is measured
_TRIES = 4
_MOST = 4096  # restarts to measure with
_QUICKEST = 1e-13  # seconds for a parameter, a sample and a step: some 50 TFLOPS
_QUICKEST_STEP = 1e-10  # seconds for a step of a restart, however small


@dataclass(frozen=True)
class Pace:
    """Seconds that one restart takes on this machine, where many are computed together."""

    segment: float  # from one record to the next, beside the steps between them
    step: float  # of the descent
    newton: float  # step of polishing
    flow: float  # a Hessian's worth of a step along the flow, which in lanes is far less than a Newton step
    rest: float  # everything else: its spectrum, what tells it from others


def memory(study: Study, curves_max: int = 2000) -> int:
    """Bytes of a process that computes a condition, where they are most.

    Either while a block is computed, of which some restarts are examined at a time, or while tables are made of all;
    of a large condition, of the first restarts, or of one block beside the rows that wait to be written.
    """
    block = min(largest_block(study), study.restarts)
    numbers = _DESCENDING * study.network.size + _REMEMBERING * remembered_numbers(study)
    descending = block * (numbers * study.dtype.itemsize + _RECORDING * len(study.marks))
    examining = min(block, examined_together(study)) * 8 * _HELD * examined_numbers(study)
    held = min(study.restarts, HELD)
    kept = held * _per_restart(study)
    joined = held * (24 * study.network.size + 8 * _eigenvalues(study) + _SCALARS)
    curves = min(curves_max, held) * len(study.marks) * _CURVE_HELD
    runs = 4 * _VISIT * visits(study, held)  # as columns of numbers, and as a table
    counted = 0 if study.restarts <= HELD else study.restarts * _TICKET + len(study.marks) * _COUNTED
    return int(PROGRAM + kept + runs + counted + max(descending, examining, joined + curves))


def least_memory(study: Study) -> int:
    """Bytes that it takes to examine one restart, into however small blocks they are divided."""
    return 8 * _HELD * examined_numbers(study)


def least_seconds(study: Study) -> float:
    """What the descent takes at the very least if no restart arrives: no machine is as fast as that."""
    step = max(_QUICKEST_STEP, _QUICKEST * study.network.size * study.problem.inputs.shape[1])
    return study.restarts * _gradients(study) * step


def polishing_at_least(study: Study) -> Pace:
    """A pace that polishing takes, by the eigenvectors of its Hessians alone, none of which is made for that.

    They are the larger part where there are many parameters; of few, which take no time that matters, nothing is said.
    """
    size = study.network.size
    if size <= MEASURED or not _is_polished(study):
        return Pace(0.0, 0.0, 0.0, 0.0, 0.0)
    at = torch.arange(MEASURED, dtype=torch.float64)
    one = eigenvectors_seconds(torch.cos(torch.outer(at, at))[None], size, 1) / min(machine.cores(), study.restarts)
    return Pace(0.0, 0.0, newton=one, flow=one, rest=0.0)


def _gradients(study: Study) -> float:
    """That a restart takes: a run its budget, whatever arrives."""
    steps = study.descent.budget.steps
    return steps if study.budget is None else max(steps, study.budget)


def visits(study: Study, restarts: int) -> int:
    """How many visits of runs are kept, if descents are as long as they may be; shorter ones make more of them."""
    if study.budget is None:
        return 0
    rounds = 1 + study.budget / max(1, study.descent.budget.steps)
    whole = min(restarts, study.escape.allowance.visits)
    return int(whole * rounds + (restarts - whole) * (1 + math.log(rounds)))


def blocks_size(study: Study, restarts: int) -> int:
    """Bytes of the blocks of so many restarts."""
    return restarts * _per_restart(study) + _VISIT * visits(study, restarts)


def tables_size(study: Study, restarts: int, curves_max: int) -> int:
    """Bytes of what is written when a condition of so many restarts has finished."""
    curves = min(curves_max, restarts) * len(study.marks) * _CURVE
    runs = _VISIT * visits(study, restarts)
    return restarts * (_parameters(study) + 8 * _eigenvalues(study) + _SCALARS) + curves + runs + _WRITTEN


def _per_restart(study: Study) -> int:
    """Bytes of a restart in its block."""
    descended = study.network.size * study.dtype.itemsize
    spectrum = 8 * (_eigenvalues(study) + _SIGNATURE)
    return _parameters(study) + descended + spectrum + len(study.marks) * _RECORD + _SCALARS


def _parameters(study: Study) -> int:
    """Bytes of where a restart begins and ends."""
    return study.network.size * (study.dtype.itemsize + 8)


def _eigenvalues(study: Study) -> int:
    return study.network.size if study.network.size <= study.polishing.dense_max else 2


def pace(study: Study) -> Pace:
    """Measure how long a few restarts take for a few steps, with the study's own engine."""
    restarts = min(study.engine.threads, study.restarts)
    most = min(study.restarts, _MOST, largest_block(study))
    while restarts < most and _segment_seconds(study, restarts, 1) < _LONG_ENOUGH / 2:
        restarts = min(4 * restarts, most)
    one, steps = _segment_seconds(study, restarts, 1), 1
    many = one
    while steps < 1000 and many < (_TOO_LONG if steps == 1 else _LONG_ENOUGH):
        steps *= 4
        many = _segment_seconds(study, restarts, steps)
    step = max(many - one, 0.0) / (steps - 1) if steps > 1 else one
    newton = _newton(study)
    flow, rest = (newton, newton) if newton > _DEAR else (_flow(study), _rest(study))  # they make Hessians, too
    return Pace(max(one - step, 0.0) / restarts, step / restarts, newton, flow, rest)


def _segment_seconds(study: Study, restarts: int, steps: int) -> float:
    """For that many restarts, from one record to the next."""
    descent = _with_budget(study.descent, steps=steps, records=1, tolerance=0.0)
    starts = study.starts(range(restarts))

    def measure() -> float:
        states = descend(study.objective, descent, study.engine, starts)
        next(states)
        begin = time.perf_counter()
        for state in states:
            state.theta[:1].cpu()  # a device that works by itself is waited for
        return time.perf_counter() - begin

    return _least(measure)


def _with_budget(descent: Any, **changes: Any) -> Descent:
    """The same descent with another budget."""
    changed: Descent = replace(descent, budget=replace(descent.budget, **changes))
    return changed


def _newton(study: Study) -> float:
    """Seconds of a Newton step of one restart."""
    if not _is_polished(study):
        return 0.0

    def measure(restarts: int) -> float:
        theta = study.starts(range(restarts)).double().cpu()
        return restarts * newton_seconds(study.exact_objective, theta, study.exact_engine)

    return _of_one(study, measure)


def _flow(study: Study) -> float:
    """Seconds of a step along the flow of one restart, by the Hessians that it takes."""
    if not _is_polished(study):
        return 0.0
    f = Derivatives(study.exact_objective, study.exact_engine)

    def measure(restarts: int) -> float:
        theta = study.starts(range(restarts)).double().cpu()
        begin = time.perf_counter()
        march(f, theta, study.tolerances, torch.full_like(theta[:, 0], torch.inf), _WAY)
        return time.perf_counter() - begin

    return _of_one(study, measure) / (_WAY * _CORRECTIONS)


def _is_polished(study: Study) -> bool:
    return study.network.size <= study.polishing.dense_max and study.polishing.steps > 0


def _rest(study: Study) -> float:
    """Seconds for one restart of all that is neither descent nor polishing."""
    unpolished = replace(study.polishing, steps=0)
    short = replace(study, descent=_with_budget(study.descent, steps=0), polishing=unpolished)

    def measure(restarts: int) -> float:
        begin = time.perf_counter()
        solve(short, range(restarts))
        return time.perf_counter() - begin

    return _of_one(study, measure) + _TABLES


def _of_one(study: Study, measure: Callable[[int], float]) -> float:
    """Seconds for one of several restarts: of so many that they take long enough, and that are examined together."""
    most = min(study.restarts, _MOST, largest_block(study), examined_together(study))
    restarts = min(8, most)
    while (seconds := _least(lambda count=restarts: measure(count))) < _LONG_ENOUGH and restarts < most:  # type: ignore[misc]
        restarts = min(4 * restarts, most)
    return seconds / restarts


def _least(measure: Callable[[], float]) -> float:
    """The least of some tries: the first may have to prepare things, and others may be held up by something else."""
    least = math.inf
    for attempt in range(_TRIES):
        least = min(least, measure())
        if least > (_DEAR if attempt == 0 else _TOO_LONG):
            break
    return least


def descent_seconds(study: Study, missing: int, found: Pace) -> float:
    """Of the descent of restarts that are missing, if none of them arrives before its budget of steps is used up.

    What is descended again, more exactly, has the same budget.
    """
    steps = _gradients(study)
    segments = len(study.marks) + steps // 1000
    times = 1 if again(study) is None else 2
    return times * missing * (found.step * steps + found.segment * segments)


def polishing_seconds(study: Study, missing: int, found: Pace) -> float:
    """Of polishing and examining restarts that are missing, if all have to be followed along the flow."""
    flows = 1 if study.objective.coercive else 3  # on the way to infinity, those from both sides are followed, too
    steps = study.polishing.steps
    followed = flows * min(_CORRECTIONS * steps, _FOLLOWED)
    return missing * (found.newton * min(steps, _NEWTON) + found.flow * followed + found.rest)


def kind(study: Study) -> tuple[object, ...]:
    """The same for conditions that take the same time, so that one of them has to be measured."""
    settings = study.settings
    descent = {key: value for key, value in settings["descent"].items() if key in ("name", "batch_size")}
    how = (study.dtype, study.device, study.execution.engine)
    return (study.objective_key, str(descent), *how, str(settings["polish"]))
