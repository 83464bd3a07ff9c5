"""The gradient flow in lanes: what its kernel is told, and when there is one."""

from __future__ import annotations

import ctypes

import torch

from basinet.descents import rosenbrock
from basinet.descents.gradient_flow import (
    AFTER_REFUSAL,
    GROWTHS,
    LATER,
    LOWER,
    NOISE,
    NOWHERE,
    PATIENCE,
    RISE,
    GradientFlow,
    growth_limits,
)
from basinet.engines.native.library import Shape, has_hessian, pointer
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import State

_LARGEST = 300  # parameters: 6 MB of Hessians in lanes for each thread
_STAGES = len(rosenbrock.C)
_NUMBERS = (
    *("rtol", "atol", "tolerance", "steps", "patience", "first", "rise", "rounding", "noise", "later", "lower"),
    *("after_refusal", "nowhere", "cost", "gamma"),
)
_Square = ctypes.c_double * _STAGES**2
_Growths = ctypes.c_double * len(GROWTHS)


class _Rules(ctypes.Structure):
    """The numbers that decide, in the order of flow.cpp."""

    _fields_ = (
        *((name, ctypes.c_double) for name in _NUMBERS),
        ("a", _Square),
        ("c", _Square),
        ("growths", _Growths),
        ("limits", _Growths),
    )


class _Flow(ctypes.Structure):
    """The argument of `follow` (flow.cpp says what is what)."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("theta", "control", "status", "steps", "loss", "gradient_norm")),
        *((name, ctypes.c_void_p) for name in ("time", "gradients", "records", "marks")),
        ("mark_count", ctypes.c_int64),
        ("most", ctypes.c_int64),
    )


MARKS = torch.float64
"""Of time."""


def serves(descent: GradientFlow, shape: Shape) -> bool:
    """As `Follower.serves`: there is a kernel of the method that takes Hessians, while their blocks are small."""
    return descent.method == "rosenbrock" and has_hessian(shape) and shape.size <= _LARGEST


def task(
    risk: EmpiricalRisk, descent: GradientFlow, state: State, marks: torch.Tensor, most: int
) -> tuple[_Flow, _Rules]:
    """As `Follower.task`."""
    written = (state.theta, state.memory[0], state.status, state.steps, state.loss, state.gradient_norm)
    tensors = (*written, state.time, state.gradients, state.records, marks)
    return _Flow(*(pointer(tensor) for tensor in tensors), len(marks), most), _rules(risk, descent)


def _rules(risk: EmpiricalRisk, descent: GradientFlow) -> _Rules:
    numbers = {
        "rtol": descent.rtol,
        "atol": descent.atol,
        "tolerance": descent.budget.tolerance,
        "steps": descent.budget.steps,
        "patience": PATIENCE,
        "first": rosenbrock.FIRST,
        "rise": RISE,
        "rounding": risk.rounding,
        "noise": NOISE,
        "later": LATER,
        "lower": LOWER,
        "after_refusal": AFTER_REFUSAL,
        "nowhere": NOWHERE,
        "cost": rosenbrock.cost(risk.size),
        "gamma": rosenbrock.GAMMA,
    }
    return _Rules(
        *(float(numbers[name]) for name in _NUMBERS),
        *(_square(_whole(rosenbrock.A)), _square(rosenbrock.C)),
        *(_Growths(*GROWTHS), _Growths(*growth_limits(rosenbrock.ORDER))),
    )


def _whole(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    """With the rows of the last stages, each of which begins where the one before it has ended."""
    whole = list(rows)
    while len(whole) < _STAGES:
        whole.append((*whole[-1], 1.0))
    return tuple(whole)


def _square(rows: tuple[tuple[float, ...], ...]) -> ctypes.Array[ctypes.c_double]:
    """Rows of a lower triangle, filled up with zeros."""
    return _Square(*(number for row in rows for number in (*row, *(0.0,) * (_STAGES - len(row)))))
