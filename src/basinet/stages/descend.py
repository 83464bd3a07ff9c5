"""The descent: from starts to where gradient descent stops, segment by segment."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.foundation.outcomes import Status
from basinet.protocols import RECORDED, AtOwnPace, Descent, Engine, Objective, State, Stepwise

_LONGEST_SEGMENT = 1000  # steps: arrived restarts are put aside, and progress is seen, at least this often
AT_A_TIME = 100  # steps of each restart, after which the same is done where each chooses its own


def descend(objective: Objective, descent: Descent, engine: Engine, theta: Tensor) -> Iterator[State]:
    """Follow every start `theta [restart, parameter]` down, yielding the state of all restarts after each segment.

    Segments end at the marks, and in between often enough to put aside the restarts that have arrived; nothing depends
    on where else they end. Where every restart chooses its own steps, none waits for the others, and each keeps its own
    records.
    """
    if isinstance(descent, Stepwise):
        return _together(objective, descent, engine, theta)
    if isinstance(descent, AtOwnPace):
        return at_own_pace(objective, descent, engine, theta)
    raise TypeError(f"{type(descent).__name__} is neither Stepwise nor SelfPaced nor Searching")


def at_own_pace(
    objective: Objective, descent: AtOwnPace, engine: Engine, theta: Tensor, every: int = AT_A_TIME
) -> Iterator[State]:
    """Every restart at its own pace, after `every` few steps; a state's step is the mark that all have got to."""
    state = engine.follow(objective, descent, start(descent, theta), most=0)
    yield state
    while len(running := (state.status == Status.RUNNING).nonzero().squeeze(1)):
        part = engine.follow(objective, descent, state.rows(running), most=every)
        state = replace(state.scatter(running, part), step=float(part.at.min()))
        yield state


def _together(objective: Objective, descent: Stepwise, engine: Engine, theta: Tensor) -> Iterator[State]:
    """All restarts step by step; the stopping test keeps to its own steps, whatever segments they are divided into."""
    state = engine.segment(objective, descent, start(descent, theta), 0)
    yield state
    for until in _segment_ends(descent.budget.marks):
        running = (state.status == Status.RUNNING).nonzero().squeeze(1)
        if len(running) == 0:
            state = replace(state, step=until)
        elif len(running) == len(state.status):
            state = engine.segment(objective, descent, state, until)
        else:
            state = state.scatter(running, engine.segment(objective, descent, state.rows(running), until))
        yield state


def _segment_ends(records: Sequence[int]) -> Iterator[int]:
    for start, end in itertools.pairwise(records):
        yield from range(start + _LONGEST_SEGMENT - start % _LONGEST_SEGMENT, end, _LONGEST_SEGMENT)
        yield end


def start(descent: Descent, theta: Tensor) -> State:
    """The state of descents that have not begun."""
    restarts, own_pace = theta.shape[0], isinstance(descent, AtOwnPace)
    shape = (restarts, len(descent.budget.marks), len(RECORDED))
    exact = torch.zeros(restarts, dtype=torch.float64, device=theta.device)
    return State(
        theta=theta,
        memory=descent.init(theta),
        step=0,
        status=torch.full((restarts,), int(Status.RUNNING), dtype=torch.int8, device=theta.device),
        steps=torch.zeros(restarts, dtype=torch.int64, device=theta.device),
        loss=theta.new_zeros(restarts),
        gradient_norm=theta.new_zeros(restarts),
        time=exact if descent.budget.clock == "time" else None,
        gradients=exact + 1 if own_pace else None,  # that of the start
        records=exact.new_full(shape, torch.nan) if own_pace else None,
    )


class Step(NamedTuple):
    """One restart at one step of its descent."""

    step: int
    theta: Tensor  # [parameter]
    loss: float
    gradient: Tensor  # [parameter], of all samples
    time: float | None = None  # where that is the descent's clock


def retrace(objective: Objective, descent: Descent, engine: Engine, theta: Tensor, steps: int) -> Iterator[Step]:
    """The descent of one restart from `theta [parameter]`, step by step up to step number `steps`.

    The numbers are those of `descend` to the bit, on the engine that made them; it yields the start too.
    """
    for state in _every_step(objective, descent, engine, start(descent, theta.unsqueeze(0)), steps):
        loss, gradient = engine.loss_and_gradient(objective, state.theta)
        time = None if state.time is None else float(state.time[0])
        yield Step(int(state.steps[0]), state.theta[0], float(loss[0]), gradient[0], time)


def _every_step(objective: Objective, descent: Descent, engine: Engine, state: State, steps: int) -> Iterator[State]:
    """The state of one restart at its start and after each of so many steps."""
    yield state
    if isinstance(descent, AtOwnPace):
        while int(state.steps[0]) < steps:
            before, state = state, engine.follow(objective, descent, state, most=1)
            if int(state.steps[0]) > int(before.steps[0]):  # or else it was refused
                yield state
    elif isinstance(descent, Stepwise):
        for step in range(steps):
            state = engine.segment(objective, descent, state, step + 1)
            state = replace(state, status=torch.full_like(state.status, int(Status.RUNNING)))
            yield state
