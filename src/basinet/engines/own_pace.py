"""Descents in which every restart chooses its own steps: the loop, for every engine that computes derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from basinet.foundation.outcomes import Status
from basinet.protocols import Engine, Function, Objective, SelfPaced, State

_TOGETHER = 1 << 22  # numbers of each of the largest arrays of restarts that make a step together: 32 MB
_LEAST = 64  # restarts that are worth a thread


@dataclass(frozen=True)
class Computed:
    """An objective whose derivatives an engine computes."""

    objective: Objective
    engine: Engine

    @property
    def size(self) -> int:
        return self.objective.size

    @property
    def rounding(self) -> float:
        return self.objective.rounding

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.engine.loss_and_gradient(self.objective, theta)

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        return self.engine.hvp(self.objective, theta, v)

    def hessian(self, theta: Tensor) -> Tensor:
        return self.engine.hessian(self.objective, theta)


def pieces(descent: SelfPaced, state: State, size: int, threads: int) -> list[State]:
    """The state in so many pieces as fit the memory and give every thread something to do."""
    share = -(-len(state.status) // threads)
    return state.split(min(max(1, _TOGETHER // descent.numbers(size)), max(_LEAST, share)))


def followed(f: Function, descent: SelfPaced, state: State, most: int) -> State:
    """Some restarts, each by at most so many steps: those that are running make a step together, until none is left."""
    marks = torch.tensor(descent.budget.marks, dtype=torch.float64, device=state.theta.device)
    state, gradient = _entered(f, descent, state)
    for _ in range(most):
        index = (state.status == Status.RUNNING).nonzero().squeeze(1)
        if len(index) == 0:
            break
        part = state.rows(index)
        passed = torch.bucketize(part.at.to(marks), marks, right=True)  # marks that each has got to
        part, slope = descent.advance(f, part, gradient.index_select(0, index), marks[passed])
        part = _noted(part, passed, marks)
        state, gradient = state.scatter(index, part), gradient.index_copy(0, index, slope)
    return state


def _entered(f: Function, descent: SelfPaced, state: State) -> tuple[State, Tensor]:
    """The state and ∇f there; of starts also their loss, and whether they rest there or diverge."""
    loss, gradient = f.loss_and_gradient(state.theta)
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    new = (state.steps == 0) & (state.status == Status.RUNNING)
    lost = (torch.isfinite(norm) & torch.isfinite(loss)).logical_not()
    status = torch.where(new & descent.rests(norm), int(Status.ARRIVED), state.status)
    begun = replace(
        state,
        status=torch.where(new & lost, int(Status.DIVERGED), status),
        loss=torch.where(new, loss, state.loss),
        gradient_norm=torch.where(new, norm, state.gradient_norm),
    )
    return _ended_at_start(begun, len(descent.budget.marks)), gradient


def _ended_at_start(state: State, marks: int) -> State:
    """The first record of starts; and without steps there is nothing beyond."""
    first = torch.stack([state.loss, state.gradient_norm, state.steps], 1).to(torch.float64)
    records = _records(state).clone()
    records[:, 0] = torch.where((state.steps == 0).unsqueeze(1), first, records[:, 0])
    over = (state.status == Status.RUNNING) & (marks == 1)
    return replace(state, records=records, status=torch.where(over, int(Status.BUDGET), state.status))


def _noted(state: State, passed: Tensor, marks: Tensor) -> State:
    """The same after a step: with a record of those that have got to the mark `passed`, and at the last one ended."""
    there = state.at.to(marks) >= marks[passed]
    entry = torch.stack([state.loss, state.gradient_norm, state.steps], 1).to(marks)  # [restart, 3]
    records, place = _records(state), passed.view(-1, 1, 1).expand(-1, 1, entry.shape[1])
    new = torch.where(there.view(-1, 1, 1), entry.unsqueeze(1), records.gather(1, place))
    over = there & (state.status == Status.RUNNING) & (passed == len(marks) - 1)
    return replace(
        state,
        records=records.scatter(1, place, new),
        status=torch.where(over, int(Status.BUDGET), state.status),
    )


def _records(state: State) -> Tensor:
    if state.records is None:
        raise TypeError("restarts that choose their own steps keep their own records")
    return state.records
