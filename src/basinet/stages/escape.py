"""Runs: from the bottom of a restart's descent on to others, round by round, until a budget of gradients is spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.escapes.seam import Allowance, Draws, Escape, Landscape, Phase, Runs, State, Value, Walk
from basinet.foundation.outcomes import Status
from basinet.foundation.random_streams import Address, Ahead, Numbers
from basinet.foundation.rows import put, rows, stacked
from basinet.protocols import AtOwnPace, Descent, Engine, Objective, Stepwise
from basinet.protocols import State as Descending
from basinet.stages.catalogue import Catalogue, Found
from basinet.stages.descend import start
from basinet.stages.solution import Solution, gradients_spent

_DONE, _BEGIN, _WALK, _DESCEND = -1, 0, 1, 2  # stages of a round; from _DESCEND on, by landings
_STRIDE = 64  # steps that walks take before it is asked who waits elsewhere
_AT_OWN_PACE = 100  # steps of descents that choose their own, likewise
_LOSS = 1 / 3  # of a gradient: one pass of three


@dataclass(frozen=True)
class Standing:
    """Where runs stand between two rounds, one row each: all that it takes to go on."""

    restart: Tensor  # [run] int64
    round: Tensor  # [run] int64, the next one
    gradients: Tensor  # [run] float64, spent so far
    losses: Tensor  # [run] int64, asked for without their gradient so far
    runs: Runs

    @property
    def spent(self) -> Tensor:
        """`[run]` float64, in gradients."""
        return self.gradients + _LOSS * self.losses


@dataclass(frozen=True)
class Visits:
    """Bottoms that runs have visited, one row per visit, in the order of runs and rounds."""

    restart: Tensor  # [visit] int64
    round: Tensor  # [visit] int64
    gradients: Tensor  # [visit] float64, spent by the run until it was there
    loss: Tensor  # [visit] float64, where its descent ended
    accepted: Tensor  # [visit] bool: the run moved there
    best: Tensor  # [visit] float64, the lowest of the run so far
    bottom: (
        Tensor  # [visit] int64, a row of the catalogue; -1: the bottom of the restart itself, or none that has a name
    )


@dataclass(frozen=True)
class Escaped:
    """What a block of runs leaves."""

    standing: Standing  # where they stood before the rounds that the budget did not allow any more, or cut short
    rounds: Tensor  # [run] int64, descents made, the restart's own among them
    spent: Tensor  # [run] float64, gradients, all in all
    visits: Visits
    found: Found


class Means(NamedTuple):
    """What rounds are made with."""

    objective: Objective  # of the descent
    exact: Objective  # in float64 on the CPU
    descent: Descent
    engine: Engine
    method: Escape
    seed: int
    fresh: Callable[[Numbers, Numbers], Tensor]  # starts for (restart, round)


def first_standing(means: Means, restarts: range, starts: Tensor, ended: Solution) -> Standing:
    """Runs after round 0, which is the descent of their restart.

    One whose descent has diverged is at its start, and takes whatever comes.
    """
    count, lost = len(restarts), ended.status == Status.DIVERGED
    loss = ended.loss.double().masked_fill(lost, torch.inf)
    theta = torch.where(lost.unsqueeze(1), starts, ended.theta)
    landscape = Landscape(means.objective.size, means.exact.scale)
    memory = {name: entry.to(theta.device) for name, entry in means.method.remember(count, landscape).items()}
    return Standing(
        restart=torch.arange(restarts.start, restarts.stop),
        round=torch.ones(count, dtype=torch.int64),
        gradients=ended.gradients.cpu(),
        losses=torch.zeros(count, dtype=torch.int64),
        runs=Runs(theta, loss, loss, memory),
    )


def first_visits(standing: Standing) -> Visits:
    """Those of round 0, certified with their restarts: of every run, so that none is forgotten.

    A descent that has diverged has come to a bottom of infinite height.
    """
    restart, loss = standing.restart, standing.runs.loss
    return Visits(
        restart=restart,
        round=torch.zeros_like(restart),
        gradients=standing.spent,
        loss=loss,
        accepted=torch.isfinite(loss),
        best=loss,
        bottom=torch.full_like(restart, -1),
    )


def escape(means: Means, allowance: Allowance, standing: Standing, progress: Callable[[float], None]) -> Escaped:
    """Go on with runs, round by round, until their budget is spent or their target is reached.

    A round is a walk, which the method takes, and a descent, which the engine takes as it takes every other. Nobody
    waits for the slowest: descents stop at landings, the walks of all runs stand on one, and whoever stands on the
    fullest goes on next. What a run does depends on nothing but its address, so that none of this changes a number.

    A run begins no round with its budget spent. A walk breaks off when it is, and its descent is the run's last: no run
    spends more than its budget and one descent.

    Args:
        means: objective, descent, engine and method.
        allowance: budget and target of each run, and of how many all visits are kept.
        standing: of the runs.
        progress: called with the share of the budgets that is spent.
    """
    rounds = _Rounds(means, allowance, standing)
    while (stage := rounds.fullest()) is not None:
        rounds.advance(stage)
        progress(rounds.share())
    return rounds.result()


class Descended(NamedTuple):
    """A descent of one restart: where it began, and how it ended."""

    start: Tensor  # [parameter]
    steps: int
    status: Status


def descent_of_round(means: Means, allowance: Allowance, standing: Standing, number: int) -> Descended | None:
    """The descent of a round of one run; None where that round has none.

    It ends where descents of rounds do, which keep no records, and so do not stop at them.

    Args:
        means: objective, descent, engine and method.
        allowance: of the run, as it had it then.
        standing: of this run alone, after its round 0.
        number: of the round, 1 or more.
    """
    rounds, begun = _Rounds(means, allowance, standing), None
    while (stage := rounds.fullest()) is not None and int(rounds.standing.round[0]) <= number:
        if begun is None and stage >= _DESCEND and int(rounds.standing.round[0]) == number:
            begun = rounds.descents[stage - _DESCEND].state.theta[0]
        rounds.advance(stage)
        if begun is not None and int(rounds.stage[0]) < _DESCEND and rounds.ended is not None:
            status = Status(int(rounds.ended.status[0]))
            return Descended(begun, int(rounds.ended.steps[0]), Status.BUDGET if status == Status.RUNNING else status)
    return None


def landings(steps: int, typical: int) -> list[int]:
    """The steps at which descents are put aside: where half of them have ended, and then at twice as many each time.

    >>> landings(1000, 115)
    [0, 120, 240, 480, 960, 1000]
    """
    result, step = [0], max(10, -(-typical // 10) * 10)
    while step < steps:
        result.append(step)
        step *= 2
    return [*result, steps] if steps > 0 else result


class _Underway(NamedTuple):
    """Descents that stand on one landing, a row each, in no particular order."""

    runs: Tensor  # [descent] int64, the rows of their runs
    state: Descending


@dataclass
class _Rounds:
    """All runs of a block, each in the middle of its round; tables have one row per run."""

    means: Means
    allowance: Allowance
    standing: Standing

    stage: Tensor = field(init=False)  # [run] int64
    gradients: Tensor = field(init=False)  # [run] float64, spent in this round
    losses: Tensor = field(init=False)  # [run] int64, likewise
    broken: Tensor = field(init=False)  # [run] bool: the budget has ended within the walk of this round
    descents: dict[int, _Underway] = field(init=False, default_factory=dict)  # by landing
    ended: Descending | None = field(init=False, default=None)  # those of the last arrival
    walk: Walk | None = field(init=False, default=None)
    stepwise: Stepwise | None = field(init=False)  # the descent, if it is one; asked once, since asking is slow
    own_pace: AtOwnPace | None = field(init=False)  # likewise
    landings: list[int] = field(init=False)
    catalogue: Catalogue = field(init=False)
    kept: list[Visits] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        theta = self.standing.runs.theta
        count = theta.shape[0]
        self.stage = torch.full((count,), _BEGIN)
        self.gradients = torch.zeros(count, dtype=torch.float64)
        self.losses = torch.zeros(count, dtype=torch.int64)
        self.broken = torch.zeros(count, dtype=torch.bool)
        typical = self.standing.gradients / self.standing.round.clamp(min=1)
        steps = self.means.descent.budget.steps
        descent = self.means.descent
        self.stepwise = descent if isinstance(descent, Stepwise) else None
        self.own_pace = descent if isinstance(descent, AtOwnPace) else None
        self.landings = landings(steps, int(typical.median())) if self.stepwise is not None else []
        self.catalogue = Catalogue(self.means.exact, self.means.engine)
        self._end(torch.arange(count))

    def fullest(self) -> int | None:
        """The stage at which most runs wait; None if all have ended.

        Walks take many steps of little work, which many runs should share: they wait until half of the runs walk.
        """
        waiting = torch.bincount(self.stage + 1, minlength=_WALK + 2)[1:]
        if not bool(waiting.any()):
            return None
        if int(waiting[_WALK]) * 2 < int(waiting.sum()):
            waiting[_WALK] *= int(waiting[_WALK]) == int(waiting.sum())
        return int(waiting.argmax())

    def share(self) -> float:
        """Of the budgets that is spent."""
        spent = (self.standing.spent + self.gradients).clamp(max=self.allowance.budget)
        spent = spent.masked_fill(self.stage == _DONE, self.allowance.budget)
        return float(spent.sum()) / (self.allowance.budget * len(spent))

    def advance(self, stage: int) -> None:
        """Let everybody who waits at a stage go on to another one."""
        if stage >= _DESCEND:
            self._descend(stage - _DESCEND)
            return
        index = (self.stage == stage).nonzero().squeeze(1)
        if stage == _BEGIN:
            self._begin(index)
        else:
            self._walk(index)

    def result(self) -> Escaped:
        """When all runs have ended."""
        standing = self.standing
        spent = standing.spent + (self.gradients + _LOSS * self.losses) * self.broken
        return Escaped(standing, standing.round + self.broken, spent, in_order(self.kept), self.catalogue.found())

    def _draws(self, standing: Standing, step: Tensor | None = None) -> Draws:
        """The random numbers of rounds; those of walks from `step` on, which take some steps together."""
        address = Address(self.means.seed, standing.restart.numpy(), standing.round.numpy())
        ahead = None if step is None else Ahead(address, step.numpy(), _STRIDE)
        return Draws(address, self.means.fresh, standing.runs.theta, ahead)

    def _begin(self, index: Tensor) -> None:
        here = rows(self.standing, index)
        begun = self.means.method.begin(here.runs, self._draws(here))
        self.gradients[index], self.losses[index] = 0.0, 0
        self._settle(index, begun)

    def _walk(self, index: Tensor) -> None:
        """Some steps of all walks that stand here, as long as most of them go on."""
        means, here, walk = self.means, rows(self.standing, index), rows(self._walks, index)
        draws = self._draws(here, walk.step)
        asks_loss = means.method.asks == "loss"
        for _ in range(_STRIDE):
            value = Value(*means.engine.loss_and_gradient(means.objective, walk.theta))
            going = walk.phase == Phase.WALKING
            if asks_loss:
                self.losses[index] += going
            else:
                self.gradients[index] += going
            taken = means.method.step(here.runs, replace(walk, step=walk.step + 1), value, draws)
            walk = _where(going, taken, walk)
            spent = here.spent + self.gradients[index] + _LOSS * self.losses[index]
            over = (spent >= self.allowance.budget) & (walk.phase == Phase.WALKING)
            if bool(over.any()):
                self.broken[index] |= over
                walk = _where(over, means.method.leave(walk), walk)
            if int((walk.phase == Phase.WALKING).sum()) * 2 < len(index):
                break
        self._settle(index, walk)

    def _settle(self, index: Tensor, walk: Walk) -> None:
        """Where runs go on whose walks stand so."""
        walks, ready, failed = (walk.phase == int(phase) for phase in Phase)
        if bool(walks.any()):
            self.stage[index[walks]] = _WALK
            self.walk = walk if len(index) == len(self.stage) else put(self._walks_like(walk), index, walk)
        if bool(ready.any()):
            self._put_aside(0, _Underway(index[ready], start(self.means.descent, walk.theta[ready])))
        if bool(failed.any()):
            self._close(index[failed])

    @property
    def _walks(self) -> Walk:
        if self.walk is None:
            raise AssertionError("nobody walks")
        return self.walk

    def _walks_like(self, walk: Walk) -> Walk:
        """All walks, or room for them."""
        if self.walk is None:
            count = len(self.stage)
            self.walk = rows(walk, torch.zeros(count, dtype=torch.int64))
        return self.walk

    def _put_aside(self, landing: int, some: _Underway) -> None:
        """Descents have come to a landing, where others may be.

        Each landing has a table of its own: what descents remember is large, and rows of it are moved only when
        descents that stood together part, or others join them.
        """
        self.stage[some.runs] = _DESCEND + landing
        there = self.descents.get(landing)
        if there is not None:
            some = _Underway(torch.cat([there.runs, some.runs]), Descending.join([there.state, some.state]))
        self.descents[landing] = some

    def _descend(self, landing: int) -> None:
        """From one landing to the next; whoever chooses its own steps takes some, and comes to the same one again."""
        means, (index, state) = self.means, self.descents.pop(landing)
        if self.own_pace is not None:
            state = means.engine.follow(means.objective, self.own_pace, state, _AT_OWN_PACE)
            arrived, next_landing = state.status != Status.RUNNING, 0
        elif self.stepwise is not None:
            state = self._segment(self.stepwise, state, landing)
            arrived = (state.status != Status.RUNNING) | (landing + 2 >= len(self.landings))
            next_landing = landing + 1
        else:
            raise TypeError(f"{type(means.descent).__name__} is neither Stepwise nor at its own pace")
        if bool(arrived.all()):
            self._arrive(index, state)
            return
        going = arrived.logical_not().nonzero().squeeze(1)
        self._put_aside(next_landing, _Underway(index[going], state.rows(going)))
        if len(going) < len(index):
            self._arrive(index[arrived], _without_memory(state).rows(arrived.nonzero().squeeze(1)))

    def _segment(self, descent: Stepwise, state: Descending, landing: int) -> Descending:
        """The state of descents at the next landing."""
        means, ends = self.means, self.landings
        state = replace(state, step=ends[landing])
        if landing == 0:
            state = means.engine.segment(means.objective, descent, state, 0)
        running = (state.status == Status.RUNNING).nonzero().squeeze(1)
        if len(running) == 0 or landing + 1 == len(ends):
            return state
        if len(running) == len(state.status):
            return means.engine.segment(means.objective, descent, state, ends[landing + 1])
        return state.scatter(
            running, means.engine.segment(means.objective, descent, state.rows(running), ends[landing + 1])
        )

    def _arrive(self, index: Tensor, state: Descending) -> None:
        """Descents have ended: their bottoms are judged and written down, and their rounds closed."""
        means, here, self.ended = self.means, rows(self.standing, index), _without_memory(state)
        self.gradients[index] += gradients_spent(state, means.descent, means.objective.samples, ()).cpu()
        there = (state.status != Status.DIVERGED) & torch.isfinite(state.loss)
        loss = state.loss.double().masked_fill(~there, torch.inf)
        judged = means.method.judge(here.runs, state.theta, loss, self._draws(here))
        accepted = judged.accepted & there
        best = torch.minimum(here.runs.best, loss)
        after = Runs(
            theta=torch.where(accepted.unsqueeze(1), state.theta, here.runs.theta),
            loss=torch.where(accepted, loss, here.runs.loss),
            best=best,
            memory=judged.memory,
        )
        self._write_down(index, here, there, state.theta, Visit(loss, accepted, best))
        whole = ~self.broken[index]
        if bool(whole.all()):
            self.standing = replace(self.standing, runs=put(self.standing.runs, index, after))
        elif bool(whole.any()):
            kept = whole.nonzero().squeeze(1)
            runs = put(self.standing.runs, index[kept], rows(after, kept))
            self.standing = replace(self.standing, runs=runs)
        self._close(index)

    def _write_down(self, index: Tensor, here: Standing, there: Tensor, theta: Tensor, visit: Visit) -> None:
        """Visits that are kept, with the bottoms that they are to."""
        wanted = there & ((here.restart < self.allowance.visits) | (visit.best < here.runs.best))
        which = wanted.nonzero().squeeze(1)
        if len(which) == 0:
            return
        restart, number = here.restart[which], here.round[which]
        spent = here.spent + self.gradients[index] + _LOSS * self.losses[index]
        bottom = self.catalogue.enter(theta[which], visit.loss[which], restart, number)
        loss, accepted, best = (column[which].cpu() for column in visit)
        self.kept.append(Visits(restart, number, spent[which], loss, accepted, best, bottom))

    def _close(self, index: Tensor) -> None:
        """Rounds have ended: what they took is added up, and runs begin the next one or end."""
        whole = index[~self.broken[index]]
        standing = self.standing
        gradients, losses, number = standing.gradients.clone(), standing.losses.clone(), standing.round.clone()
        gradients[whole] += self.gradients[whole]
        losses[whole] += self.losses[whole]
        number[whole] += 1
        self.standing = replace(standing, gradients=gradients, losses=losses, round=number)
        self.gradients[whole], self.losses[whole] = 0.0, 0
        self._end(index)

    def _end(self, index: Tensor) -> None:
        """Runs whose budget is spent, or whose target is reached, have ended; the others begin a round."""
        ended = (self.standing.spent[index] >= self.allowance.budget) | self.broken[index]
        if isinstance(self.allowance.target, float):  # the best of all runs is not known yet
            ended |= self.standing.runs.best[index].cpu() <= self.allowance.target
        self.stage[index] = torch.where(ended, _DONE, _BEGIN)


class Visit(NamedTuple):
    """What is written down of an arrival, each `[run]`."""

    loss: Tensor
    accepted: Tensor
    best: Tensor


def _without_memory(state: Descending) -> Descending:
    """What is asked of descents that have ended."""
    return replace(state, memory=(), records=None)


def _where(condition: Tensor, yes: Walk, no: Walk) -> Walk:
    """Rows of two tables of walks."""

    def choose(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(condition.view(-1, *[1] * (one.dim() - 1)), one, other)

    state: State = {name: choose(entry, no.state[name]) for name, entry in yes.state.items()}
    return Walk(choose(yes.theta, no.theta), choose(yes.step, no.step), choose(yes.phase, no.phase), state)


def in_order(parts: list[Visits]) -> Visits:
    """All visits, by run and round."""
    if not parts:
        none = torch.zeros(0, dtype=torch.int64)
        return Visits(none, none, none.double(), none.double(), none.bool(), none.double(), none)
    every = stacked(parts)
    order = every.round.argsort(stable=True)
    order = order[every.restart[order].argsort(stable=True)]
    return rows(every, order)
