"""Whether a restart is on its way to infinity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from basinet.protocols import Marched
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.march import march
from basinet.stages.modes import count_modes
from basinet.stages.tolerances import Tolerances


class Receding(NamedTuple):
    """What the flow says about the way to infinity, one row per restart."""

    recedes: Tensor  # [restart] bool: the flow goes on until nothing is left of its slope
    remaining: Tensor  # [restart], by how much f falls on the way, relative to its scale
    grows: Tensor  # [restart], by which share ‖θ‖ grows in the last two decades of the flow's time


def recede(
    f: Derivatives, theta: Tensor, loss: Tensor, marched: Marched, tolerances: Tolerances, steps: int
) -> Receding:
    """Of restarts at `theta [restart, parameter]`, where f is `loss`, from which the flow has got to `marched`.

    A level at infinity can be a saddle of sorts, which a restart that is not quite on its ridge leaves in the end. So
    where f curves down at `theta`, flows from both sides have to go on, too, and the least that they say counts.
    """
    own = _read(f, marched, loss)
    index = own.recedes.nonzero().squeeze(1)
    if len(index) == 0:
        return own
    values, vectors = f.eigenvectors(theta[index])
    _, negatives = count_modes(values.numpy(), tolerances)
    curved = torch.from_numpy(negatives > 0)
    index, lowest = index[curved], vectors[curved, :, 0]
    if len(index) == 0:
        return own
    beside, before = theta[index], loss[index]
    aside = lowest * (tolerances.aside * (1 + norm(beside))).unsqueeze(1)
    worst = Receding(*(column[index] for column in own))
    for side in (beside + aside, beside - aside):
        there = march(f, side, tolerances, torch.zeros_like(before), steps)
        worst = _worse(worst, _read(f, there, before))
    return Receding(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(own, worst, strict=True)))


def _read(f: Derivatives, marched: Marched, before: Tensor) -> Receding:
    return Receding(marched.faded, (before - marched.loss).abs() / f.objective.scale, marched.grows)


def _worse(one: Receding, other: Receding) -> Receding:
    return Receding(
        one.recedes & other.recedes,
        torch.maximum(one.remaining, other.remaining),
        torch.minimum(one.grows, other.grows),
    )
