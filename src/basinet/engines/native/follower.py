"""Which descents at every restart's own pace never leave the lanes: one row each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from basinet.descents import Lbfgs
from basinet.descents.gradient_flow import GradientFlow
from basinet.engines.native import flow, lbfgs
from basinet.engines.native.library import Shape
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Descent, State


class Follower(NamedTuple):
    """What the native engine needs to know of such a descent."""

    source: str  # of its kernel
    marks: torch.dtype
    task: Callable[[EmpiricalRisk, Any, State, Tensor, int], tuple[ctypes.Structure, ...]]
    """The kernel's arguments for an objective, the descent, a state to write into, marks, and steps to make at most."""
    serves: Callable[[Any, Shape], bool] = lambda descent, shape: True
    """Whether there is a kernel for networks of that shape."""


FOLLOWERS: dict[type[Descent], Follower] = {
    Lbfgs: Follower("lbfgs.cpp", lbfgs.MARKS, lbfgs.task),
    GradientFlow: Follower("flow.cpp", flow.MARKS, flow.task, flow.serves),
}


def follower_of(descent: Descent, shape: Shape) -> Follower | None:
    """The row of a descent; None where restarts of networks of that shape leave the lanes."""
    row = FOLLOWERS.get(type(descent))
    return row if row is not None and row.serves(descent, shape) else None
