"""L-BFGS in lanes: what its kernel is told."""

from __future__ import annotations

import ctypes

import torch

from basinet.descents import Lbfgs
from basinet.engines.native.library import pointer
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import State


class _Way(ctypes.Structure):
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


MARKS = torch.int64
"""Of steps."""


def task(risk: EmpiricalRisk, descent: Lbfgs, state: State, marks: torch.Tensor, most: int) -> tuple[_Way]:
    """As `Follower.task`."""
    written = (state.theta, *state.memory, state.status, state.steps, state.gradients, state.loss, state.gradient_norm)
    tensors = (*written, state.records, marks)
    return (_Way(*(pointer(tensor) for tensor in tensors), len(marks), most, descent.budget.tolerance, descent.memory),)
