"""The gradient flow in lanes: what its kernel is told, and when there is one."""

from __future__ import annotations

import ctypes

import torch

from basinet.descents import dormand_prince, rosenbrock, switching
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
_STAGES, _SLOPES = len(rosenbrock.C), len(dormand_prince.A)
_NUMBERS = (
    *("rtol", "atol", "tolerance", "steps", "patience", "rise", "rounding", "noise", "later", "lower"),
    *("after_refusal", "nowhere"),
)
_Growths = ctypes.c_double * len(GROWTHS)
_Stages, _Slopes = ctypes.c_double * _STAGES**2, ctypes.c_double * _SLOPES**2
_Weights = ctypes.c_double * _SLOPES


class _Rules(ctypes.Structure):
    """The numbers that decide, in the order of flow.h."""

    _fields_ = (*((name, ctypes.c_double) for name in _NUMBERS), ("growths", _Growths))


class _Explicit(ctypes.Structure):
    """Those of explicit steps, in the order of flow_explicit.h."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("first", "cost", "damped")),
        ("a", _Slopes),
        *((name, _Weights) for name in ("weights", "fifth", "third")),
        ("limits", _Growths),
    )


class _Implicit(ctypes.Structure):
    """Those of linearly implicit steps, in the order of flow_implicit.h."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("first", "cost", "gamma")),
        *((name, _Stages) for name in ("a", "c")),
        ("limits", _Growths),
    )


class _Turns(ctypes.Structure):
    """When a restart goes over to the other kind, in the order of flow.h."""

    _fields_ = tuple((name, ctypes.c_double) for name in ("limited", "worth", "wait", "longest_wait"))


class _Flow(ctypes.Structure):
    """The restarts (flow.h says what is what)."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("theta", "control", "turns", "status", "steps", "loss")),
        *((name, ctypes.c_void_p) for name in ("gradient_norm", "time", "gradients", "records", "marks")),
        ("mark_count", ctypes.c_int64),
        ("most", ctypes.c_int64),
    )


MARKS = torch.float64
"""Of time."""


def serves(descent: GradientFlow, shape: Shape) -> bool:
    """As `Follower.serves`: there is a kernel of the methods that take Hessians, while their blocks are small."""
    return descent.method in ("rosenbrock", "switching") and has_hessian(shape) and shape.size <= _LARGEST


def task(
    risk: EmpiricalRisk, descent: GradientFlow, state: State, marks: torch.Tensor, most: int
) -> tuple[ctypes.Structure, ...]:
    """As `Follower.task`."""
    control, turns = state.memory
    written = (state.theta, control, turns if descent.method == "switching" else None, state.status, state.steps)
    tensors = (*written, state.loss, state.gradient_norm, state.time, state.gradients, state.records, marks)
    flow = _Flow(*(pointer(tensor) for tensor in tensors), len(marks), most)
    return flow, _rules(risk, descent), _explicit(), _implicit(risk.size), _turns(risk.size)


def _rules(risk: EmpiricalRisk, descent: GradientFlow) -> _Rules:
    numbers = {
        "rtol": descent.rtol,
        "atol": descent.atol,
        "tolerance": descent.budget.tolerance,
        "steps": descent.budget.steps,
        "patience": PATIENCE,
        "rise": RISE,
        "rounding": risk.rounding,
        "noise": NOISE,
        "later": LATER,
        "lower": LOWER,
        "after_refusal": AFTER_REFUSAL,
        "nowhere": NOWHERE,
    }
    return _Rules(*(float(numbers[name]) for name in _NUMBERS), _Growths(*GROWTHS))


def _explicit() -> _Explicit:
    return _Explicit(
        *(dormand_prince.FIRST, dormand_prince.COST, dormand_prince.DAMPED),
        _Slopes(*_filled(dormand_prince.A, _SLOPES)),
        *(_Weights(*row) for row in (dormand_prince.WEIGHTS, dormand_prince.FIFTH, dormand_prince.THIRD)),
        _Growths(*growth_limits(dormand_prince.ORDER)),
    )


def _implicit(size: int) -> _Implicit:
    return _Implicit(
        *(rosenbrock.FIRST, rosenbrock.cost(size), rosenbrock.GAMMA),
        *(_Stages(*_filled(rows, _STAGES)) for rows in (_whole(rosenbrock.A), rosenbrock.C)),
        _Growths(*growth_limits(rosenbrock.ORDER)),
    )


def _turns(size: int) -> _Turns:
    return _Turns(switching.LIMITED, switching.worth(size), switching.WAIT, switching.LONGEST_WAIT)


def _whole(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    """With the rows of the last stages, each of which begins where the one before it has ended."""
    whole = list(rows)
    while len(whole) < _STAGES:
        whole.append((*whole[-1], 1.0))
    return tuple(whole)


def _filled(rows: tuple[tuple[float, ...], ...], count: int) -> list[float]:
    """Rows of a lower triangle, filled up with zeros, one after the other."""
    return [number for row in rows for number in (*row, *(0.0,) * (count - len(row)))]
