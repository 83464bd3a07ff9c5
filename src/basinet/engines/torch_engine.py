"""The torch engine: every device, every objective, every descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from basinet.engines.own_pace import followed, pieces
from basinet.foundation.outcomes import Status
from basinet.foundation.threads import in_threads, keep_freed_memory, single_threaded_operations
from basinet.linalg.eigen import eigenvalues, eigenvectors
from basinet.linalg.trust_region import newton_step
from basinet.protocols import (
    CHECK_EVERY,
    AtOwnPace,
    Chunk,
    Descent,
    Marching,
    Memory,
    NewtonStep,
    Objective,
    Searching,
    State,
    Stepwise,
)


@dataclass(frozen=True)
class TorchEngine:
    """Segments by batched torch operations, chunk by chunk; on the CPU chunks are handed to `threads` Python threads.

    Each operation runs on one thread, so that the numbers do not depend on how many there are.
    """

    threads: int = 1
    name: str = "torch"

    def unsupported_reason(self, objective: Objective, descent: Descent) -> str | None:
        return None

    def segment(self, objective: Objective, descent: Stepwise, state: State, until: int) -> State:
        def run(part: State) -> State:
            return _segment_of_chunk(objective, descent, part, until)

        return _joined(run, state.split(objective.chunk_size), self._threads_of_chunks(objective))

    def follow(self, objective: Objective, descent: AtOwnPace, state: State, most: int) -> State:
        def run(part: State) -> State:
            if isinstance(descent, Searching):
                return descent.follow(objective, part, most)
            return followed(objective, descent, part, most)

        if isinstance(descent, Searching):
            return _joined(run, state.split(objective.chunk_size), self._threads_of_chunks(objective))
        return _joined(run, pieces(descent, state, objective.size, self.threads), self.threads)

    def _threads_of_chunks(self, objective: Objective) -> int:
        return self.threads if objective.parallel_chunks else 1

    def loss_and_gradient(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        return objective.loss_and_gradient(theta)

    def signature(self, objective: Objective, theta: Tensor) -> Tensor:
        return objective.signature(theta)

    def hvp(self, objective: Objective, theta: Tensor, v: Tensor) -> Tensor:
        return objective.hvp(theta, v)

    def hessian(self, objective: Objective, theta: Tensor) -> Tensor:
        return objective.hessian(theta)

    def eigenvalues(self, objective: Objective, theta: Tensor) -> Tensor:
        return eigenvalues(objective.hessian(theta), self.threads)

    def eigenvectors(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        return eigenvectors(objective.hessian(theta), self.threads)

    def newton_step(self, objective: Objective, theta: Tensor, gradient: Tensor, region: Tensor) -> NewtonStep:
        return newton_step(objective.hessian(theta), gradient, region, self.threads)

    def march(self, objective: Objective, theta: Tensor, limit: Tensor, marching: Marching) -> None:
        return None


def _joined(run: Callable[[State], State], parts: list[State], threads: int) -> State:
    """What becomes of parts of a state, so many at a time."""
    keep_freed_memory()
    threads = min(threads, len(parts))
    with single_threaded_operations():
        return State.join([run(part) for part in parts] if threads <= 1 else in_threads(run, parts, threads))


def _segment_of_chunk(objective: Objective, descent: Stepwise, state: State, until: int) -> State:
    """All steps of a segment for one chunk.

    A restart that has arrived or diverged goes on as a passenger until the segment ends, and nothing of that is kept:
    cheaper than masking every step.
    """
    chunk = objective.chunk(state.theta.shape[0])
    theta, memory = chunk.pack(state.theta), tuple(chunk.pack(tensor) for tensor in state.memory)
    standing = _Standing.of(state, theta.clone())
    gradient: Tensor | None = None  # of all samples at theta, where it is known already
    if state.step == until:
        standing, _ = standing.check(chunk, theta, until, descent.budget.tolerance)
    for step in range(int(state.step), until):
        samples = descent.batch(step, objective.samples)
        if samples is not None:
            gradient = chunk.batch(samples.to(theta.device)).gradient(theta)
        elif gradient is None:
            gradient = chunk.gradient(theta)
        theta, memory = descent.step(theta, gradient, memory, step)
        gradient = None
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == until:
            standing, gradient = standing.check(chunk, theta, step + 1, descent.budget.tolerance)
    return standing.unpack(chunk, memory, until)


class _Standing(NamedTuple):
    """How each restart of a packed chunk stood at the last check."""

    theta: Tensor  # [restart', parameter']
    status: Tensor  # [restart']
    steps: Tensor  # [restart']
    loss: Tensor  # [restart']
    gradient_norm: Tensor  # [restart']

    @staticmethod
    def of(state: State, packed: Tensor) -> _Standing:
        columns = (state.status, state.steps, state.loss, state.gradient_norm)
        padding = packed.shape[0] - state.status.shape[0]  # rows of padding count as arrived at once
        return _Standing(packed, *(pad(column, (0, padding), value=int(Status.ARRIVED)) for column in columns))

    def check(self, chunk: Chunk, theta: Tensor, step: int, tolerance: float) -> tuple[_Standing, Tensor]:
        """The standing at `step`, and the gradient there; who is not running any more stays as it is."""
        loss, gradient = chunk.loss_and_gradient(theta)
        norm = (gradient * gradient).sum(1).sqrt_()
        running = self.status == Status.RUNNING
        lost = running & (torch.isfinite(norm) & torch.isfinite(loss)).logical_not()
        arrived = running & (norm <= tolerance)
        status = torch.where(arrived, int(Status.ARRIVED), self.status)
        status = torch.where(lost, int(Status.DIVERGED), status)
        return _Standing(
            torch.where(running.unsqueeze(1), theta, self.theta),
            status,
            torch.where(running, step, self.steps),
            torch.where(running, loss, self.loss),
            torch.where(running, norm, self.gradient_norm),
        ), gradient

    def unpack(self, chunk: Chunk, memory: Memory, step: float) -> State:
        theta = chunk.unpack(self.theta)
        columns = (column.narrow(0, 0, theta.shape[0]) for column in self[1:])
        return State(theta, tuple(chunk.unpack(tensor) for tensor in memory), step, *columns)
