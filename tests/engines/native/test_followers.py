"""Descents at each restart's own pace: the native engine against the torch engine, and itself in other company."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from basinet.descents import Lbfgs, StepLimits
from basinet.engines import NativeEngine, TorchEngine
from basinet.foundation.outcomes import Status
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Engine
from basinet.stages.descend import descend, retrace
from basinet.stages.solution import Solution, fold

Risks = Callable[..., EmpiricalRisk]
Draws = Callable[..., Tensor]

DTYPES = {"float64": torch.float64, "float32": torch.float32}
SLOW = [("relu", "float32"), ("identity", "float64"), ("logistic", "float64")]
CASES = [("tanh", "float64"), ("gelu", "float32"), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
cases = pytest.mark.parametrize(("activation", "dtype"), CASES)


def lbfgs(steps: int, tolerance: float = 0.0, memory: int = 3, records: int = 4) -> Lbfgs:
    return Lbfgs(StepLimits(steps, tolerance, records), memory)


def solved(engine: Engine, risk: EmpiricalRisk, descent: Lbfgs, theta: Tensor) -> Solution:
    return fold(descend(risk, descent, engine, theta), descent, risk.samples)


def starts(normal: Draws, risk: EmpiricalRisk, restarts: int) -> Tensor:
    theta = (normal(3, restarts, risk.size) / 2).to(risk.inputs.dtype)
    theta[3], theta[8], theta[11, 0] = math.nan, math.inf, math.nan
    return theta


def bits(tensor: Tensor) -> Tensor:
    """As integers: NaN is equal to NaN, 0 is not -0."""
    integers = {torch.float64: torch.int64, torch.float32: torch.int32}
    return tensor.contiguous().view(integers[tensor.dtype]) if tensor.is_floating_point() else tensor


COLUMNS = ("theta", "loss", "gradient_norm", "steps", "status", "gradients")


def assert_same_bits(part: Solution, whole: Solution, rows: list[int]) -> None:
    for name in COLUMNS:
        assert torch.equal(bits(getattr(part, name)), bits(getattr(whole, name))[rows]), name


@cases
def test_lbfgs_agrees_with_the_torch_engine_to_rounding_over_some_steps(
    risk_of: Risks, normal: Draws, activation: str, dtype: str
) -> None:
    """Steps, evaluations and ends to the number; where a search turns on the last bit it goes another way."""
    risk, descent = risk_of(activation, DTYPES[dtype]), lbfgs(8)
    theta = starts(normal, risk, 40)
    expected, found = (solved(engine, risk, descent, theta) for engine in (TorchEngine(), NativeEngine(2)))
    assert found.status[[3, 8, 11]].tolist() == [Status.DIVERGED] * 3
    calm = torch.isfinite(theta).all(1)
    together = (found.gradients == expected.gradients) & (found.steps == expected.steps)
    assert together.double().mean() > 0.9
    assert torch.equal(found.status[together], expected.status[together])
    epsilon = torch.finfo(DTYPES[dtype]).eps
    errors = ((found.theta - expected.theta).abs().amax(1) / (1 + expected.theta.abs().amax(1)))[together & calm]
    # Differences of gradients, and divisions by them, magnify the rounding of each of eight steps.
    assert errors.median() < 1e3 * epsilon
    assert errors.max() < 1e7 * epsilon


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
@pytest.mark.slow
def test_restarts_end_at_the_same_bottoms_on_both_engines(risk_of: Risks, normal: Draws, activation: str) -> None:
    """Mostly: a search that turns on the last bit may lead elsewhere."""
    risk, descent = risk_of(activation, torch.float64), lbfgs(400, 1e-6)
    theta = starts(normal, risk, 30)
    expected, found = (solved(engine, risk, descent, theta) for engine in (TorchEngine(), NativeEngine(2)))
    arrived = (expected.status == Status.ARRIVED) & (found.status == Status.ARRIVED)
    assert arrived.double().mean() > 0.6
    near = (expected.loss - found.loss).abs()[arrived] < 1e-3
    assert near.double().mean() > 0.85
    spent = [float(solution.gradients[arrived].mean()) for solution in (expected, found)]
    assert spent[1] == pytest.approx(spent[0], rel=0.1)


@cases
def test_a_restart_is_the_same_to_the_bit_in_any_lane_company_thread_and_segment(
    risk_of: Risks, normal: Draws, activation: str, dtype: str
) -> None:
    risk, tolerance = risk_of(activation, DTYPES[dtype]), {"float64": 1e-3, "float32": 1e-2}[dtype]
    theta = starts(normal, risk, 60)
    whole = solved(NativeEngine(), risk, lbfgs(80, tolerance), theta)
    assert len(whole.steps.unique()) > 3
    companies = [[0], [59, 3, 2], list(range(20, 60)), [7] * 20]
    for rows, threads, records in zip(companies, (1, 3, 2, 2), (4, 80, 30, 1), strict=True):
        descent = lbfgs(80, tolerance, records=records)
        assert_same_bits(solved(NativeEngine(threads), risk, descent, theta[rows]), whole, rows)


@cases
def test_a_retraced_descent_is_the_descent_to_the_bit(
    risk_of: Risks, normal: Draws, activation: str, dtype: str
) -> None:
    risk, descent, engine = risk_of(activation, DTYPES[dtype]), lbfgs(20), NativeEngine()
    theta = starts(normal, risk, 20)
    whole = solved(engine, risk, descent, theta)
    *_, last = retrace(risk, descent, engine, theta[13], int(whole.steps[13]))
    assert last.step == whole.steps[13]
    assert torch.equal(bits(last.theta), bits(whole.theta[13]))
    assert last.loss == float(whole.loss[13])


def test_a_descent_at_its_own_pace_changes_neither_its_arguments_nor_restarts_that_are_not_running(
    risk_of: Risks, normal: Draws
) -> None:
    risk, descent, engine = risk_of("tanh", torch.float64), lbfgs(7), NativeEngine()
    start = next(iter(descend(risk, descent, engine, normal(3, 10, risk.size))))
    state = engine.follow(risk, descent, start, 3)
    state.status[4] = int(Status.STALLED)
    copies = [bits(tensor).clone() for tensor in state.tensors()]
    after = engine.follow(risk, descent, state, 2)
    assert all(torch.equal(bits(tensor), copy) for tensor, copy in zip(state.tensors(), copies, strict=True))
    assert after.steps.tolist() == [5] * 4 + [3] + [5] * 5
    assert torch.equal(after.theta[4], state.theta[4])
    last = engine.follow(risk, descent, after, 100)
    assert last.steps.tolist() == [7] * 4 + [3] + [7] * 5
    assert last.status.tolist() == [Status.BUDGET] * 4 + [Status.STALLED] + [Status.BUDGET] * 5


def test_both_engines_note_the_same_marks(risk_of: Risks, normal: Draws) -> None:
    risk, descent = risk_of("tanh", torch.float64), lbfgs(12, 1e-2, records=5)
    theta = starts(normal, risk, 20)
    one, other = (solved(engine, risk, descent, theta).trajectory for engine in (TorchEngine(), NativeEngine(2)))
    assert one.step.tolist() == other.step.tolist() == descent.budget.marks
    torch.testing.assert_close(one.loss, other.loss, rtol=1e-4, atol=1e-6, equal_nan=True)
    assert one.loss[:, 3].isnan().all()
    assert (one.loss[1:, 0] < one.loss[:-1, 0]).all()


def test_a_descent_of_no_restarts_is_none(risk_of: Risks, normal: Draws) -> None:
    risk = risk_of("tanh", torch.float64)
    for engine in (NativeEngine(2), TorchEngine()):
        assert len(solved(engine, risk, lbfgs(5), normal(3, 0, risk.size)).steps) == 0


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
def test_it_arrives_where_f_is_nothing_but_rounding(
    risk_of: Risks, normal: Draws, dtype: str, tolerance: float
) -> None:
    """f - f* is some ‖∇f‖² there: 1e-24 in double precision, 1e-8 in single, of values of 1/2."""
    risk = risk_of("tanh", DTYPES[dtype])
    theta = normal(3, 100, risk.size).to(risk.inputs.dtype)
    found = solved(NativeEngine(2), risk, lbfgs(3000, tolerance, memory=10), theta)
    assert found.status.tolist() == [Status.ARRIVED] * 100


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_without_a_tolerance_it_stalls_at_the_rounding_of_the_gradient(
    risk_of: Risks, normal: Draws, dtype: str
) -> None:
    risk = risk_of("tanh", DTYPES[dtype])
    theta = normal(3, 50, risk.size).to(risk.inputs.dtype)
    found = solved(NativeEngine(2), risk, lbfgs(2000, 0.0, memory=10), theta)
    assert (found.status == Status.STALLED).double().mean() > 0.7
    assert (found.gradient_norm < 1e3 * torch.finfo(risk.inputs.dtype).eps).all()
