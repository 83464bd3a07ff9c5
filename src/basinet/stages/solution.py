"""What a descent leaves behind: where every restart ended, and the losses on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.foundation.outcomes import Status
from basinet.protocols import CHECK_EVERY, Descent, State, Stepwise


@dataclass(frozen=True)
class Trajectory:
    """Losses at the marks. A restart that has arrived carries its last value on; a diverged one is NaN."""

    step: Tensor  # [record]: int64 steps; of a descent whose clock is time, float64 times
    loss: Tensor  # [record, restart] float32
    gradient_norm: Tensor  # [record, restart] float32
    steps: Tensor | None = None  # [record, restart] int32: each restart's own, where `step` are times


@dataclass(frozen=True)
class Solution:
    """The end of a descent, one row per restart."""

    theta: Tensor  # [restart, parameter]
    loss_initial: Tensor  # [restart], f at the start
    loss: Tensor  # [restart], f at theta
    gradient_norm: Tensor  # [restart], Euclidean norm of ∇f at theta
    steps: Tensor  # [restart] int64, updates made; of a diverged restart, the step at which it was noticed
    status: Tensor  # [restart] int8, a `Status`
    trajectory: Trajectory
    gradients: Tensor  # [restart] float64: spent, in gradients of all samples
    time: Tensor | None = None  # [restart] float64, of a descent whose clock that is

    def cpu(self) -> Solution:
        """The same on the CPU."""
        return Solution(
            self.theta.cpu(),
            self.loss_initial.cpu(),
            self.loss.cpu(),
            self.gradient_norm.cpu(),
            self.steps.cpu(),
            self.status.cpu(),
            self.trajectory,
            self.gradients.cpu(),
            None if self.time is None else self.time.cpu(),
        )


def fold(states: Iterable[State], descent: Descent, samples: int) -> Solution:
    """The solution at the end of a descent's states, with a trajectory of what they are at its marks."""
    marks = frozenset(descent.budget.marks)
    steps, losses, norms = [], [], []
    first = last = None
    for last in states:
        first = last if first is None else first
        if last.records is None and last.step in marks:
            lost = last.status == Status.DIVERGED
            steps.append(last.step)
            losses.append(_single(last.loss, lost))
            norms.append(_single(last.gradient_norm, lost))
    if first is None or last is None:
        raise ValueError("a descent has at least one state")
    status = torch.where(last.status == Status.RUNNING, int(Status.BUDGET), last.status)
    if last.records is None:
        trajectory = Trajectory(torch.tensor(steps, device="cpu"), torch.stack(losses), torch.stack(norms))
    else:
        trajectory = _recorded(last, last.records, descent.budget.marks)
    ended = (last.theta, first.loss, last.loss, last.gradient_norm, last.steps, status)
    return Solution(*ended, trajectory, _spent(last, descent, samples), last.time)


def _recorded(last: State, records: Tensor, marks: Sequence[float]) -> Trajectory:
    """The trajectory that restarts have noted by themselves, each carrying its end on."""
    end = torch.stack([last.loss, last.gradient_norm, last.steps], 1).to(records)
    rows = torch.where(records.isnan(), end.unsqueeze(1), records).transpose(0, 1)  # [record, restart, 3]
    lost = (last.status == Status.DIVERGED) & (rows[:, :, 2] >= last.steps)
    own = None if last.time is None else rows[:, :, 2].to("cpu", torch.int32)
    at = torch.tensor(marks, device="cpu", dtype=torch.int64 if last.time is None else torch.float64)
    return Trajectory(at, _single(rows[:, :, 0], lost), _single(rows[:, :, 1], lost), own)


def _spent(last: State, descent: Descent, samples: int) -> Tensor:
    """What a descent has cost, in gradients of all samples, `[restart]` float64.

    A step takes one, and so does the end; with minibatches a step takes its part of one, and every test a whole one.
    """
    if last.gradients is not None:
        return last.gradients
    steps = last.steps.double()
    batch = descent.batch(0, samples) if isinstance(descent, Stepwise) else None
    if batch is None:
        return steps + 1
    in_epoch = -(-samples // len(batch))  # the last of an epoch is short
    between = [mark for mark in descent.budget.marks if mark % CHECK_EVERY]
    tests = 1 + last.steps // CHECK_EVERY + sum((last.steps >= mark).long() for mark in between)
    return last.steps // in_epoch + last.steps % in_epoch * (len(batch) / samples) + tests


def _single(values: Tensor, lost: Tensor) -> Tensor:
    """Values in single precision on the CPU: NaN where a restart is lost, the largest number where they are larger."""
    limit = torch.finfo(torch.float32).max
    return values.clamp(max=limit).masked_fill(lost, torch.nan).to("cpu", torch.float32)
