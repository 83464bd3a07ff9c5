"""The descent: from starts to where gradient descent stops, segment by segment."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from basinet.foundation.outcomes import Status
from basinet.protocols import Descent, Engine, Objective, State

_LONGEST_SEGMENT = 1000  # steps: arrived restarts are put aside, and progress is seen, at least this often


def record_steps(steps: int, records: int) -> list[int]:
    """The steps at which losses are recorded: 0, and up to `records` log-spaced ones from 1 to the budget.

    >>> record_steps(1000, 4)
    [0, 1, 10, 100, 1000]
    """
    if steps == 0:
        return [0]
    spaced = np.geomspace(1, steps, records) if records > 1 else np.array([steps])
    return [0, *np.unique(np.rint(spaced).astype(np.int64)).tolist()]


def descend(objective: Objective, descent: Descent, engine: Engine, theta: Tensor) -> Iterator[State]:
    """Follow every start `theta [restart, parameter]` down, yielding the state of all restarts after each segment.

    Segments end at the recorded steps, and in between often enough to put aside the restarts that have arrived; nothing
    depends on where else they end, because the stopping test keeps to its own steps.
    """
    state = engine.segment(objective, descent, _start(descent, theta), 0)
    yield state
    for until in _segment_ends(record_steps(descent.budget.steps, descent.budget.records)):
        running = (state.status == Status.RUNNING).nonzero().squeeze(1)
        if len(running) == 0:
            state = replace(state, step=until)
        elif len(running) == len(state.status):
            state = engine.segment(objective, descent, state, until)
        else:
            state = state.scatter(running, engine.segment(objective, descent, state.rows(running), until))
        yield state


def _segment_ends(records: list[int]) -> Iterator[int]:
    for start, end in itertools.pairwise(records):
        yield from range(start + _LONGEST_SEGMENT - start % _LONGEST_SEGMENT, end, _LONGEST_SEGMENT)
        yield end


def _start(descent: Descent, theta: Tensor) -> State:
    restarts = theta.shape[0]
    return State(
        theta=theta,
        memory=descent.init(theta),
        step=0,
        status=torch.full((restarts,), int(Status.RUNNING), dtype=torch.int8, device=theta.device),
        steps=torch.zeros(restarts, dtype=torch.int64, device=theta.device),
        loss=theta.new_zeros(restarts),
        gradient_norm=theta.new_zeros(restarts),
    )


class Step(NamedTuple):
    """One restart at one step of its descent."""

    step: int
    theta: Tensor  # [parameter]
    loss: float
    gradient: Tensor  # [parameter], of all samples


def retrace(objective: Objective, descent: Descent, engine: Engine, theta: Tensor, steps: int) -> Iterator[Step]:
    """The descent of one restart from `theta [parameter]`, step by step up to step number `steps`.

    The numbers are those of `descend` to the bit, on the engine that made them; it yields the start too.
    """
    state = _start(descent, theta.unsqueeze(0))
    for step in range(steps + 1):
        loss, gradient = engine.loss_and_gradient(objective, state.theta)
        yield Step(step, state.theta[0], float(loss[0]), gradient[0])
        if step < steps:
            state = engine.segment(objective, descent, state, step + 1)
            state = replace(state, status=torch.full_like(state.status, int(Status.RUNNING)))
