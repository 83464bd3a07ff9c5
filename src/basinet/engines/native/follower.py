"""What the native engine needs to know of a descent whose restarts go at their own pace: one row each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from basinet.descents import Lbfgs
from basinet.engines.native.library import pointer
from basinet.protocols import Descent, State


class Follower(NamedTuple):
    """The source of its kernel, and what that is handed for a state that it may write into."""

    source: str
    task: Callable[[Any, State, Tensor, int], ctypes.Structure]
    """A function of the descent, the state, the marks [record] int64, and how many steps to make at most."""


class Way(ctypes.Structure):
    """The argument of `follow` (lbfgs.cpp says what is what)."""

    _fields_ = (
        ("theta", ctypes.c_void_p),
        ("gradient", ctypes.c_void_p),
        ("pairs", ctypes.c_void_p),
        ("status", ctypes.c_void_p),
        ("steps", ctypes.c_void_p),
        ("gradients", ctypes.c_void_p),
        ("loss", ctypes.c_void_p),
        ("gradient_norm", ctypes.c_void_p),
        ("records", ctypes.c_void_p),
        ("marks", ctypes.c_void_p),
        ("mark_count", ctypes.c_int64),
        ("most", ctypes.c_int64),
        ("tolerance", ctypes.c_double),
        ("memory", ctypes.c_int64),
    )


def _lbfgs(descent: Lbfgs, state: State, marks: Tensor, most: int) -> Way:
    written = (state.theta, *state.memory, state.status, state.steps, state.gradients, state.loss, state.gradient_norm)
    tensors = (*written, state.records, marks)
    return Way(*(pointer(tensor) for tensor in tensors), len(marks), most, descent.budget.tolerance, descent.memory)


FOLLOWERS: dict[type[Descent], Follower] = {Lbfgs: Follower("lbfgs.cpp", _lbfgs)}
