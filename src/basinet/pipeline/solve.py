"""Everything that can be done for some restarts without knowing the others: descend, polish, certify."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from basinet.foundation.outcomes import Status
from basinet.foundation.rows import rows
from basinet.foundation.stopwatch import Stopwatch
from basinet.foundation.threads import keep_freed_memory, single_threaded_operations
from basinet.pipeline.blocks import Block, Life, Visited
from basinet.protocols import Descent, Limits, Repeatable, Searching, State
from basinet.stages.catalogue import Found
from basinet.stages.certify import Ended, Evidence, collect_evidence
from basinet.stages.descend import descend
from basinet.stages.escape import (
    Descended,
    Means,
    Visits,
    descent_of_round,
    escape,
    first_standing,
    first_visits,
    in_order,
)
from basinet.stages.march import MARKS
from basinet.stages.polish import Polished, polish
from basinet.stages.repeat import elsewhere
from basinet.stages.solution import fold
from basinet.study.study import Study

_EXAMINED = 1 << 26  # bytes of each of the largest arrays that examining holds; see `costs` for how many there are

OnProgress = Callable[[float], None]
"""Called now and then with the share of the work that is done, from 0 to 1."""


def ignore(share: float) -> None:
    """Progress that nobody wants to see."""


def solve(study: Study, restarts: range, progress: OnProgress = ignore, watch: Stopwatch | None = None) -> Block:
    """Everything that can be done for some restarts without knowing the others.

    They descend all together, and are examined some at a time: polishing, and taking a spectrum, holds P² numbers of
    each restart. Nothing depends on how many those are. Where a method of escaping is set, they go on as runs.
    """
    watch = watch or Stopwatch()
    runs = study.escape.goes_on
    block = _solved(study, restarts, ignore if runs else progress, watch)
    if not runs:
        return block
    standing = first_standing(_means(study), restarts, block.starts, block.solution)
    life = Life(standing, torch.ones(len(restarts), dtype=torch.int64), standing.spent)
    return _lived(study, dataclasses.replace(block, life=life, visits=first_visits(standing)), progress, watch)


def go_on(study: Study, block: Block, progress: OnProgress = ignore, watch: Stopwatch | None = None) -> Block:
    """A block whose runs have had a smaller budget, with that of the study, as if they had always had it."""
    if block.life is None or block.visits is None:
        raise ValueError("there are no runs in this block")
    rounds = block.life.standing.round[block.visits.restart - block.restarts.start]
    visits = rows(block.visits, (block.visits.round < rounds).nonzero().squeeze(1))  # without those cut short
    return _lived(study, dataclasses.replace(block, visits=visits), progress, watch or Stopwatch())


def descent_again(study: Study, restart: int, number: int) -> Descended | None:
    """The descent of a round of a run, 1 or later; None where that round has none.

    All rounds before are made again, as the run had nothing but its address to begin with.
    """
    own = range(restart, restart + 1)
    with single_threaded_operations():
        starts = study.starts(own)
        states = descend(study.objective, study.descent, study.engine, starts)
        ended = fold(states, study.descent, study.objective.samples).cpu()
        standing = first_standing(_means(study), own, starts, ended)
        return descent_of_round(_means(study), study.escape.allowance, standing, number)


def _lived(study: Study, block: Block, progress: OnProgress, watch: Stopwatch) -> Block:
    """The block with the lives of its runs from where they stand until their budget is spent."""
    if block.life is None or block.visits is None:
        raise ValueError("there are no runs in this block")
    with single_threaded_operations():
        with watch.stage("escape"):
            escaped = escape(_means(study), study.escape.allowance, block.life.standing, progress)
        before = [] if block.bottoms is None else [block.bottoms]
        bottoms = _rows_of_all([*before, *_bottoms(study, escaped.found, watch)])
    known = len(bottoms.restart) - len(escaped.found.restart)
    after = dataclasses.replace(
        escaped.visits, bottom=torch.where(escaped.visits.bottom < 0, -1, escaped.visits.bottom + known)
    )
    life = Life(escaped.standing, escaped.rounds, escaped.spent)
    bottoms, visits = _by_who_was_first(bottoms, in_order([block.visits, after]))
    return dataclasses.replace(block, life=life, visits=visits, bottoms=bottoms)


def _by_who_was_first(bottoms: Visited, visits: Visits) -> tuple[Visited, Visits]:
    """Bottoms in the order of the runs and rounds that were there first, with the visits that name them.

    Of rows that merge into one minimum the first represents it. So it is the same whether a budget was raised or always
    there, though an earlier run that came there later may have left a row of its own.
    """
    order = bottoms.round.argsort(stable=True)
    order = order[bottoms.restart[order].argsort(stable=True)]
    place = torch.full((len(order) + 1,), -1)  # the last is that of no bottom, which is number -1
    place[order] = torch.arange(len(order))
    return rows(bottoms, order), dataclasses.replace(visits, bottom=place[visits.bottom])


def _bottoms(study: Study, found: Found, watch: Stopwatch) -> Iterator[Visited]:
    """What is known of bottoms that runs have visited, some at a time; at least one table, which may be empty."""
    for part in torch.arange(len(found.restart)).split(examined_together(study)):
        seen = _examine(study, found.theta[part], torch.zeros(len(part), dtype=torch.bool), watch)
        own = (seen.polished, seen.evidence, seen.signature, seen.loss_original)
        yield Visited(found.restart[part], found.round[part], *own)


def _means(study: Study) -> Means:
    return Means(
        objective=study.objective,
        exact=study.exact_objective,
        descent=study.descent,
        engine=study.engine,
        method=study.escape,
        seed=study.seed,
        fresh=study.fresh_starts,
    )


def _solved(study: Study, restarts: range, progress: OnProgress, watch: Stopwatch) -> Block:
    """Restarts, each from its start to the bottom of its descent."""
    keep_freed_memory()
    together = examined_together(study)
    with single_threaded_operations():
        with watch.stage("descend"):
            starts = study.starts(restarts)
            states = descend(study.objective, study.descent, study.engine, starts)
            watched = _watched(states, study.descent.budget, progress)
            solution = fold(watched, study.descent, study.objective.samples).cpu()
            repeated = _repeated(study, starts)
        diverged = solution.status == Status.DIVERGED
        pieces = zip(solution.theta.split(together), diverged.split(together), strict=True)
        parts = [_examine(study, theta.double(), lost, watch) for theta, lost in pieces]
        polished = [part.polished for part in parts]
        ends = [None] * len(parts) if repeated is None else list(repeated.split(together))
        with watch.stage("polish"):
            moved = _moved(study, polished, ends)
        with watch.stage("certify"):
            return Block(restarts, starts.cpu(), solution, **_joined(parts)._asdict(), elsewhere=moved)


def again(study: Study) -> Descent | None:
    """The more exact descent that restarts make as well; None where that is not asked for."""
    return study.descent.repetition if isinstance(study.descent, Repeatable) else None


def _repeated(study: Study, starts: Tensor) -> Tensor | None:
    """Where a more exact descent ends, `[restart, parameter]` on the CPU; None where that is not asked for."""
    repetition = again(study)
    if repetition is None:
        return None
    states = descend(study.objective, repetition, study.engine, starts)
    return fold(states, repetition, study.objective.samples).theta.cpu()


def _moved(study: Study, polished: Sequence[Polished], repeated: Sequence[Tensor | None]) -> Tensor | None:
    """Which restarts a more exact descent takes elsewhere, `[restart]` bool; None where that was not asked for."""
    exact, engine, found = study.exact_objective, study.exact_engine, []
    for ended, theta in zip(polished, repeated, strict=True):
        if theta is not None:
            other = polish(exact, theta.double(), study.polishing, study.tolerances, engine)
            found.append(elsewhere(ended, other))
    return torch.cat(found) if found else None


def examined_together(study: Study) -> int:
    """How many restarts are examined at a time: as many as hold one such array each in 64 MB."""
    return max(1, _EXAMINED // (8 * examined_numbers(study)))


def examined_numbers(study: Study) -> int:
    """How many numbers the largest arrays have that are held of each restart which is being examined.

    Its Hessian and what is remembered of its way along the flow, or the directions of Lanczos.
    """
    size, polishing = study.network.size, study.polishing
    dense = size * size + MARKS * (polishing.steps + 1)
    return dense if size <= polishing.dense_max else (1 + polishing.lanczos_steps) * size


class _Examined(NamedTuple):
    """What is known of some restarts when they have been examined; as in `Block`."""

    polished: Polished
    evidence: Evidence
    signature: Tensor
    loss_holdout: Tensor | None
    accuracy: Tensor | None
    accuracy_holdout: Tensor | None
    loss_original: Tensor | None
    loss_holdout_original: Tensor | None


def _examine(study: Study, descended: Tensor, diverged: Tensor, watch: Stopwatch) -> _Examined:
    """From where descents ended to what is known of the bottoms there."""
    exact, holdout, engine = study.exact_objective, study.holdout, study.exact_engine
    with watch.stage("polish"):
        polished = polish(exact, descended, study.polishing, study.tolerances, engine)
    with watch.stage("certify"):
        return _Examined(
            polished=polished,
            evidence=_evidence(study, descended, diverged, polished),
            signature=exact.signature(polished.theta),
            loss_holdout=None if holdout is None else holdout.loss(polished.theta),
            accuracy=exact.accuracy(polished.theta),
            accuracy_holdout=None if holdout is None else holdout.accuracy(polished.theta),
            loss_original=exact.loss_original(polished.theta),
            loss_holdout_original=None if holdout is None else holdout.loss_original(polished.theta),
        )


def _joined(parts: Sequence[_Examined]) -> _Examined:
    """The rows of all parts, one after the other."""
    return parts[0] if len(parts) == 1 else _Examined(*map(_rows_of_all, zip(*parts, strict=True)))


def _rows_of_all(parts: Sequence[Any]) -> Any:
    """Tensors, or dataclasses of tensors, or nothing."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    names = [entry.name for entry in dataclasses.fields(first)]
    return type(first)(**{name: _rows_of_all([getattr(part, name) for part in parts]) for name in names})


def _evidence(study: Study, descended: Tensor, diverged: Tensor, polished: Polished) -> Evidence:
    exact, engine, descent = study.exact_objective, study.exact_engine, study.descent
    ended = Ended(descended, diverged, descent.settles, leaps=isinstance(descent, Searching))
    return collect_evidence(exact, ended, polished, study.polishing, study.tolerances, engine)


def _watched(states: Iterator[State], budget: Limits, progress: OnProgress) -> Iterator[State]:
    for state in states:
        progress(budget.share(state.step))
        yield state
