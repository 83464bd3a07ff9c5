"""What a descent leaves behind: where every restart ended, and the losses on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.foundation.outcomes import Status
from basinet.protocols import State


@dataclass(frozen=True)
class Trajectory:
    """Losses at the recorded steps. A restart that has arrived carries its last value on; a diverged one is NaN."""

    step: Tensor  # [record] int64
    loss: Tensor  # [record, restart] float32
    gradient_norm: Tensor  # [record, restart] float32


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
        )


def fold(states: Iterable[State], records: Iterable[int]) -> Solution:
    """The solution at the end of a descent's states, with a trajectory of those states whose step is in `records`."""
    wanted = frozenset(records)
    steps, losses, norms = [], [], []
    first = last = None
    for last in states:
        first = last if first is None else first
        if last.step in wanted:
            lost = last.status == Status.DIVERGED
            steps.append(last.step)
            losses.append(_single(last.loss, lost))
            norms.append(_single(last.gradient_norm, lost))
    if first is None or last is None:
        raise ValueError("a descent has at least one state")
    status = torch.where(last.status == Status.RUNNING, int(Status.BUDGET), last.status)
    trajectory = Trajectory(torch.tensor(steps, device="cpu"), torch.stack(losses), torch.stack(norms))
    return Solution(last.theta, first.loss, last.loss, last.gradient_norm, last.steps, status, trajectory)


def _single(values: Tensor, lost: Tensor) -> Tensor:
    """Values in single precision on the CPU: NaN where a restart is lost, the largest number where they are larger."""
    limit = torch.finfo(torch.float32).max
    return values.clamp(max=limit).masked_fill(lost, torch.nan).to("cpu", torch.float32)
