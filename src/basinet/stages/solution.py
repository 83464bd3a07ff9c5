"""What a descent leaves behind: where every restart ended, and the losses on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
    parameter_norm: Tensor | None  # [record, restart] float32; None once the verdicts, which need them, are made


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

    def rows(self, first: int, count: int) -> Solution:
        """The same for `count` restarts only, from row `first` on."""
        mine, trajectory = (first, count), self.trajectory
        norms = trajectory.parameter_norm
        return Solution(
            self.theta.narrow(0, *mine),
            self.loss_initial.narrow(0, *mine),
            self.loss.narrow(0, *mine),
            self.gradient_norm.narrow(0, *mine),
            self.steps.narrow(0, *mine),
            self.status.narrow(0, *mine),
            Trajectory(
                trajectory.step,
                trajectory.loss.narrow(1, *mine),
                trajectory.gradient_norm.narrow(1, *mine),
                None if norms is None else norms.narrow(1, *mine),
            ),
        )

    def without_parameter_norms(self) -> Solution:
        """The same after the verdicts: a third of the memory of trajectories is free again."""
        return replace(self, trajectory=replace(self.trajectory, parameter_norm=None))


def fold(states: Iterable[State], records: Iterable[int]) -> Solution:
    """The solution at the end of a descent's states, with a trajectory of those states whose step is in `records`."""
    wanted = frozenset(records)
    steps, losses, norms, lengths = [], [], [], []
    first = last = None
    for last in states:
        first = last if first is None else first
        if last.step in wanted:
            lost = last.status == Status.DIVERGED
            steps.append(last.step)
            losses.append(_single(last.loss, lost))
            norms.append(_single(last.gradient_norm, lost))
            length = torch.linalg.vector_norm(last.theta, dim=1)
            lengths.append(_single(length, lost))
    if first is None or last is None:
        raise ValueError("a descent has at least one state")
    status = torch.where(last.status == Status.RUNNING, int(Status.BUDGET), last.status)
    trajectory = Trajectory(
        torch.tensor(steps, device="cpu"), torch.stack(losses), torch.stack(norms), torch.stack(lengths)
    )
    return Solution(last.theta, first.loss, last.loss, last.gradient_norm, last.steps, status, trajectory)


def _single(values: Tensor, lost: Tensor) -> Tensor:
    """Values in single precision on the CPU: NaN where a restart is lost, the largest number where they are larger."""
    limit = torch.finfo(torch.float32).max
    return values.clamp(max=limit).masked_fill(lost, torch.nan).to("cpu", torch.float32)
