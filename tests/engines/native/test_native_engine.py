"""The native engine against the torch engine, automatic differentiation, and itself in other company."""

from __future__ import annotations

import ctypes
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinet.descents import Adam, Budget, GradientDescent, Momentum, Nesterov, Sgd
from basinet.descents.budget import record_steps
from basinet.engines import NativeEngine, TorchEngine
from basinet.engines.native import library
from basinet.engines.native.update import UPDATES
from basinet.foundation.outcomes import Status
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import CHECK_EVERY, Descent, Engine, State
from basinet.stages.descend import descend, retrace
from basinet.stages.newton import Outcome
from basinet.stages.polish import Polishing, polish
from basinet.stages.solution import Solution, fold
from basinet.study.defaults import tolerances
from slowness import slow_but

Risks = Callable[..., EmpiricalRisk]
Draws = Callable[..., Tensor]

STEPS, RECORDS = 100, 6
ACTIVATIONS = ["logistic", "tanh", "relu", "softplus", "gelu", "identity"]
DESCENTS = ["gradient_descent", "momentum", "nesterov", "adam", "sgd"]
DTYPES = {"float64": torch.float64, "float32": torch.float32}

# Every descent and every activation in both precisions, in as few kernels as there are activations.
PAIRS = {
    "float64": {
        "logistic": ["gradient_descent", "sgd"],
        "tanh": ["momentum"],
        "relu": ["nesterov"],
        "softplus": ["adam"],
        "gelu": ["gradient_descent", "sgd"],
        "identity": ["adam"],
    },
    "float32": {
        "logistic": ["adam"],
        "tanh": ["gradient_descent", "sgd"],
        "relu": ["momentum"],
        "softplus": ["nesterov"],
        "gelu": ["adam"],
        "identity": ["gradient_descent", "sgd"],
    },
}
GRID = [(a, d, dtype) for dtype, pairs in PAIRS.items() for a, names in pairs.items() for d in names]
QUICK = [("logistic", "sgd", "float64"), ("gelu", "gradient_descent", "float64"), ("relu", "momentum", "float32")]
REST = [(a, d, dtype) for dtype in DTYPES for a in ACTIVATIONS for d in DESCENTS if (a, d, dtype) not in GRID]
cases = pytest.mark.parametrize(
    ("activation", "name", "dtype"),
    [*slow_but(QUICK, GRID), *(pytest.param(*case, marks=pytest.mark.stress) for case in REST)],
)


def descent_of(name: str, tolerance: float = 0.0, schedule: str = "cosine", steps: int = STEPS) -> Descent:
    budget = Budget(0.02 if name == "adam" else 0.1, steps, schedule, tolerance, RECORDS)
    return {
        "gradient_descent": GradientDescent(budget),
        "momentum": Momentum(budget, 0.9),
        "nesterov": Nesterov(budget, 0.9),
        "adam": Adam(budget, 0.9, 0.999, 1e-8),
        "sgd": Sgd(replace(budget, seed=4), batch_size=4),
    }[name]


def solve(engine: Engine, risk: EmpiricalRisk, descent: Descent, theta: Tensor) -> Solution:
    return fold(descend(risk, descent, engine, theta), descent, risk.samples)


def running(theta: Tensor, descent: Descent) -> State:
    restarts = theta.shape[0]
    status = torch.full((restarts,), int(Status.RUNNING), dtype=torch.int8)
    zeros = theta.new_zeros(restarts)
    return State(theta, descent.init(theta), 0, status, torch.zeros(restarts, dtype=torch.int64), zeros, zeros)


def bits(tensor: Tensor) -> Tensor:
    """A tensor as integers: NaN is equal to NaN, 0 is not -0."""
    integers = {torch.float64: torch.int64, torch.float32: torch.int32}
    return tensor.contiguous().view(integers[tensor.dtype]) if tensor.is_floating_point() else tensor


def columns(solution: Solution) -> dict[str, Tensor]:
    """Everything a solution says, one row per restart."""
    return {
        "theta": bits(solution.theta),
        "loss": bits(solution.loss),
        "gradient_norm": bits(solution.gradient_norm),
        "steps": solution.steps,
        "status": solution.status,
        "losses": bits(solution.trajectory.loss.T),
        "norms": bits(solution.trajectory.gradient_norm.T),
    }


def assert_same_bits(whole: Solution, rows: list[int], part: Solution) -> None:
    expected = columns(whole)
    for key, value in columns(part).items():
        assert torch.equal(value, expected[key][rows]), key


def starts(normal: Draws, risk: EmpiricalRisk, restarts: int) -> Tensor:
    """Half of a standard normal draw: with identity activations larger ones are thrown about by a rate of .1."""
    return (normal(3, restarts, risk.size) / 2).to(risk.inputs.dtype)


# --- Against the torch engine --------------------------------------------------------------------------------------


def norms_at_checks(risk: EmpiricalRisk, descent: Descent, theta: Tensor) -> Tensor:
    """The gradient norms `[check, restart]` that the stopping test sees, by the torch engine."""
    checks = sorted({*record_steps(STEPS, RECORDS), *range(0, STEPS + 1, CHECK_EVERY)})
    state, norms = running(theta, descent), []
    for until in checks:
        state = TorchEngine().segment(risk, descent, state, until)
        norms.append(state.gradient_norm)
    return torch.stack(norms)


def parting_tolerance(norms: Tensor) -> float:
    """A tolerance that a good part of the restarts meet early, as far from every norm as can be: in the widest gap."""
    lowest = norms[:-1].amin(0)
    values = norms.flatten().sort().values
    low, high = lowest.quantile(0.3), lowest.quantile(0.7)
    values = values[(values >= low) & (values <= high)]
    widest = (values[1:] / values[:-1]).argmax()
    assert values[widest + 1] / values[widest] > 1.001
    return float((values[widest] * values[widest + 1]).sqrt())


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
@cases
def test_descents_agree_with_the_torch_engine_to_rounding(
    risk_of: Risks, normal: Draws, activation: str, name: str, dtype: str, schedule: str
) -> None:
    risk = risk_of(activation, DTYPES[dtype])
    theta = starts(normal, risk, 40)
    tolerance = parting_tolerance(norms_at_checks(risk, descent_of(name, 0.0, schedule), theta))
    descent = descent_of(name, tolerance, schedule)
    expected, found = (solve(engine, risk, descent, theta) for engine in (TorchEngine(), NativeEngine(2)))
    assert len(expected.steps.unique()) > 2
    assert torch.equal(found.status, expected.status)
    assert torch.equal(found.steps, expected.steps)
    epsilon = torch.finfo(DTYPES[dtype]).eps
    errors = (found.theta - expected.theta).abs().amax(1) / (1 + expected.theta.abs().amax(1))
    # A hundred steps of a few roundings each; but a unit of ReLU may cross its kink a step later, and where Adam's
    # second moment is tiny, or a descent swings, rounding grows.
    assert errors.median() < 30 * epsilon
    assert errors.max() < 1e5 * epsilon
    for column in ("loss", "gradient_norm"):
        torch.testing.assert_close(
            getattr(found, column), getattr(expected, column), rtol=1e5 * epsilon, atol=1e5 * epsilon
        )
        one, other = (getattr(solution.trajectory, column) for solution in (expected, found))
        torch.testing.assert_close(one, other, rtol=1e5 * epsilon, atol=1e5 * epsilon, equal_nan=True)


@pytest.mark.stress
@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("widths", [(2, *(3,) * 99, 1), (10, 4000, 1), (64, 100, 10), (1, *(7, 2) * 8, 1)], ids=str)
def test_deep_and_wide_networks_agree_with_the_torch_engine(normal: Draws, widths: tuple[int, ...], dtype: str) -> None:
    kind = DTYPES[dtype]
    risk = EmpiricalRisk(
        Network(widths, "tanh", "identity"), normal(1, widths[0], 11).to(kind), normal(2, widths[-1], 11).to(kind)
    )
    theta = (normal(3, 5, risk.size) / max(widths) ** 0.5).to(kind)
    descent = Momentum(Budget(1e-3, 20, "constant", 0.0, 3), 0.9)
    (*_, expected), (*_, found) = (descend(risk, descent, engine, theta) for engine in (TorchEngine(), NativeEngine(2)))
    epsilon = torch.finfo(kind).eps
    # 20 steps; sums over up to 4,000 units.
    torch.testing.assert_close(found.theta, expected.theta, rtol=0, atol=1e3 * epsilon)
    v = normal(5, 5, risk.size).to(kind)
    product = NativeEngine().hvp(risk, theta, v)
    exact = risk.hvp(theta, v)
    assert ((product - exact).norm(dim=1) <= 1e4 * epsilon * (1 + exact.norm(dim=1))).all()


def exploding(normal: Draws, risk: EmpiricalRisk, restarts: int) -> tuple[Tensor, list[int]]:
    """Starts of which every third is so far out that its descent explodes, or is not finite from the start."""
    theta = starts(normal, risk, restarts)
    wild = list(range(0, restarts, 3))
    theta[wild] *= torch.logspace(1, 4, len(wild), dtype=theta.dtype)[:, None]
    theta[wild[0]], theta[wild[1]], theta[wild[2]] = math.nan, math.inf, -1e30
    theta[wild[3], 0] = math.nan
    return theta, wild


@cases
def test_what_is_not_finite_is_seen_when_torch_sees_it_and_disturbs_no_neighbour(
    risk_of: Risks, normal: Draws, activation: str, name: str, dtype: str
) -> None:
    risk = risk_of(activation, DTYPES[dtype])
    theta, wild = exploding(normal, risk, 40)
    descent = descent_of(name, schedule="constant")
    expected, found = (solve(engine, risk, descent, theta) for engine in (TorchEngine(), NativeEngine()))
    assert torch.equal(found.status, expected.status)
    assert torch.equal(found.steps, expected.steps)
    assert found.status[[wild[0], wild[1], wild[3]]].tolist() == [Status.DIVERGED] * 3
    assert found.steps[[wild[0], wild[1], wild[3]]].tolist() == [0] * 3
    calm = [r for r in range(40) if r not in wild]
    assert torch.isfinite(found.theta[calm]).all()
    assert_same_bits(found, calm, solve(NativeEngine(), risk, descent, theta[calm]))


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_descents_that_overflow_on_the_way_are_marked_at_the_step_at_which_torch_marks_them(
    normal: Draws, dtype: str
) -> None:
    """Linear networks explode from large weights, sooner or later, and do not from small ones."""
    kind = DTYPES[dtype]
    x, y = normal(1, 2, 5).to(kind), normal(2, 2, 5).to(kind)
    risk = EmpiricalRisk(Network((2, 3, 2), "identity", "identity"), x, y)
    scale = torch.where(torch.arange(40) % 3 == 0, torch.linspace(1.2, 30, 40), 0.3).to(kind)
    theta, descent = normal(3, 40, risk.size).to(kind) * scale[:, None], descent_of("gradient_descent")
    expected, found = (solve(engine, risk, descent, theta) for engine in (TorchEngine(), NativeEngine()))
    exploded = (found.status == Status.DIVERGED).nonzero().squeeze(1).tolist()
    assert len(exploded) > 8
    assert set(exploded) <= set(range(0, 40, 3))
    assert all(0 < steps < STEPS for steps in found.steps[exploded].tolist())
    assert len(found.steps[exploded].unique()) > 1
    assert torch.equal(found.status, expected.status)
    assert torch.equal(found.steps, expected.steps)
    calm = [r for r in range(40) if r not in exploded]
    assert_same_bits(found, calm, solve(NativeEngine(), risk, descent, theta[calm]))


@cases
def test_who_arrives_or_diverges_stays_where_it_is_to_the_bit(
    risk_of: Risks, normal: Draws, activation: str, name: str, dtype: str
) -> None:
    risk = risk_of(activation, DTYPES[dtype])
    theta, _ = exploding(normal, risk, 40)
    free = norms_at_checks(risk, descent_of(name), theta)
    tolerance = float(free[3:-1].nan_to_num(nan=math.inf).amin(0).median())
    descent, engine = descent_of(name, tolerance), NativeEngine()
    before = engine.segment(risk, descent, running(theta, descent), 60)
    gone = (before.status != Status.RUNNING).nonzero().squeeze(1)
    assert {Status.ARRIVED, Status.DIVERGED} <= set(before.status[gone].tolist())
    assert (before.steps[gone] <= 60).all()
    after = engine.segment(risk, descent, before, STEPS)
    for one, other in zip(before.rows(gone).tensors()[:5], after.rows(gone).tensors()[:5], strict=True):
        assert torch.equal(bits(one), bits(other))
    # They are where they were when they were stopped, not where the others were at the end of the segment.
    finite = torch.isfinite(before.theta).all(1) & (before.status == Status.ARRIVED)
    loss, gradient = engine.loss_and_gradient(risk, before.theta)
    assert torch.equal(bits(loss[finite]), bits(before.loss[finite]))
    torch.testing.assert_close(gradient.norm(dim=1)[finite], before.gradient_norm[finite])
    assert (before.gradient_norm[finite] <= tolerance * (1 + 1e-7)).all()


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_float32_is_float32(risk_of: Risks, normal: Draws, dtype: str) -> None:
    risk = risk_of("tanh", DTYPES[dtype])
    name = PAIRS[dtype]["tanh"][0]
    solution = solve(NativeEngine(), risk, descent_of(name), starts(normal, risk, 5))
    assert solution.theta.dtype == solution.loss.dtype == solution.gradient_norm.dtype == DTYPES[dtype]


# --- In other company ----------------------------------------------------------------------------------------------

SAME_KERNEL = {"logistic": (6, 11, 12, 17, 18), "gelu": (8, 16, 24, 31), "relu": (7, 13, 14, 27), "tanh": (5, 9, 10)}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_these_numbers_of_samples_are_worked_on_by_the_same_kernel(risk_of: Risks, activation: str) -> None:
    for count in SAME_KERNEL.get(activation, ()):
        shapes = {library.Shape.of(risk_of(activation, torch.float64, n), torch.float64) for n in (None, count)}
        assert len(shapes) == 1


def assert_restarts_do_not_see_each_other(
    risk: EmpiricalRisk, descent: Descent, theta: Tensor, rows: list[int], threads: int
) -> None:
    whole = solve(NativeEngine(), risk, descent, theta)
    assert_same_bits(whole, rows, solve(NativeEngine(threads), risk, descent, theta[rows]))


@cases
def test_a_restart_is_the_same_to_the_bit_in_any_lane_block_batch_and_number_of_threads(
    risk_of: Risks, normal: Draws, activation: str, name: str, dtype: str
) -> None:
    @settings(max_examples=12)
    @given(
        rows=st.lists(st.integers(0, 39), min_size=1, max_size=70),
        threads=st.integers(1, 5),
        samples=st.sampled_from(SAME_KERNEL.get(activation, (None,))),
        schedule=st.sampled_from(["constant", "cosine", "step"]),
    )
    def holds(rows: list[int], threads: int, samples: int | None, schedule: str) -> None:
        risk = risk_of(activation, DTYPES[dtype], samples)
        theta, _ = exploding(normal, risk, 40)
        assert_restarts_do_not_see_each_other(risk, descent_of(name, 0.05, schedule), theta, rows, threads)

    holds()


@pytest.mark.stress
@settings(max_examples=25)
@given(data=st.data())
def test_restarts_of_any_network_do_not_see_each_other(normal: Draws, data: st.DataObject) -> None:
    widths = tuple(data.draw(st.lists(st.integers(1, 10), min_size=2, max_size=6)))
    risk = any_risk(data, normal, widths)
    theta = starts(normal, risk, 40)
    name = data.draw(st.sampled_from(DESCENTS))
    rows = data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=70))
    assert_restarts_do_not_see_each_other(risk, descent_of(name, 0.05), theta, rows, data.draw(st.integers(1, 4)))
    assert_derivatives_do_not_depend_on_company(risk, normal, rows, 2)


def assert_derivatives_do_not_depend_on_company(
    risk: EmpiricalRisk, normal: Draws, rows: list[int], threads: int
) -> None:
    one, many = NativeEngine(), NativeEngine(threads)
    theta, v = starts(normal, risk, 40), normal(5, 40, risk.size).to(risk.inputs.dtype)
    theta[11], theta[23] = math.nan, math.inf
    expected = [*one.loss_and_gradient(risk, theta), one.hvp(risk, theta, v)]
    found = [*many.loss_and_gradient(risk, theta[rows]), many.hvp(risk, theta[rows], v[rows])]
    if risk.inputs.dtype == torch.float64:
        expected.append(one.hessian(risk, theta))
        found.append(many.hessian(risk, theta[rows]))
    for whole, part in zip(expected, found, strict=True):
        assert torch.equal(bits(part), bits(whole[rows]))


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_a_restart_are_the_same_to_the_bit_in_any_company(
    risk_of: Risks, normal: Draws, activation: str, dtype: str
) -> None:
    @settings(max_examples=12)
    @given(
        rows=st.lists(st.integers(0, 39), min_size=1, max_size=70),
        threads=st.integers(1, 5),
        samples=st.sampled_from(SAME_KERNEL.get(activation, (None,))),
    )
    def holds(rows: list[int], threads: int, samples: int | None) -> None:
        risk = risk_of(activation, DTYPES[dtype], samples)
        assert_derivatives_do_not_depend_on_company(risk, normal, rows, threads)

    holds()


@cases
def test_a_segment_may_be_cut_anywhere_without_a_change(
    risk_of: Risks, normal: Draws, activation: str, name: str, dtype: str
) -> None:
    """Whoever arrives in a segment makes room for another, which is then at other steps than the rest of its block."""
    risk = risk_of(activation, DTYPES[dtype])
    theta = starts(normal, risk, 50)
    engine = NativeEngine(2)
    half = float(norms_at_checks(risk, descent_of(name), theta).amin(0).median())

    @settings(max_examples=15)
    @given(
        cuts=st.sets(st.integers(1, STEPS - 1), max_size=6),
        schedule=st.sampled_from(["constant", "cosine", "step"]),
        tolerance=st.sampled_from([0.0, half, 2 * half]),
    )
    def holds(cuts: set[int], schedule: str, tolerance: float) -> None:
        descent = descent_of(name, tolerance, schedule)
        whole = engine.segment(risk, descent, running(theta, descent), STEPS)
        state = running(theta, descent)
        for until in (*sorted(cuts), STEPS):
            state = engine.segment(risk, descent, state, until)
            assert state.step == until
        same = state.steps % CHECK_EVERY == 0  # the others arrived at a cut, where there is no test without it
        assert same.any()
        if tolerance:
            assert (whole.status == int(Status.ARRIVED)).any()
        for one, other in zip(whole.tensors(), state.tensors(), strict=True):
            assert torch.equal(bits(one)[same], bits(other)[same])

    holds()


@cases
def test_a_retraced_descent_is_the_descent_to_the_bit(
    risk_of: Risks, normal: Draws, activation: str, name: str, dtype: str
) -> None:
    risk = risk_of(activation, DTYPES[dtype])
    theta, descent, engine = starts(normal, risk, 20), descent_of(name), NativeEngine()
    whole = solve(engine, risk, descent, theta)
    *_, last = retrace(risk, descent, engine, theta[13], STEPS)
    assert last.step == STEPS
    assert torch.equal(bits(last.theta), bits(whole.theta[13]))
    assert last.loss == float(whole.loss[13])


def test_a_segment_changes_neither_its_arguments_nor_restarts_that_are_not_running(
    risk_of: Risks, normal: Draws
) -> None:
    risk, descent = risk_of("tanh", torch.float64), descent_of("momentum")
    state = running(starts(normal, risk, 10), descent)
    state.status[3], state.status[7] = int(Status.ARRIVED), int(Status.DIVERGED)
    state.steps[3], state.steps[7] = -5, -6
    copies = [part.clone() for part in state.tensors()]
    after = NativeEngine().segment(risk, descent, state, 20)
    assert all(torch.equal(part, copy) for part, copy in zip(state.tensors(), copies, strict=True))
    for column, before in zip(after.tensors()[:5], copies[:5], strict=True):
        assert torch.equal(column[[3, 7]], before[[3, 7]])
    others = [0, 1, 2, 4, 5, 6, 8, 9]
    assert (after.steps[others] == 20).all()
    assert (after.theta[others] != state.theta[others]).any(1).all()


def test_a_segment_of_no_restarts_is_none(risk_of: Risks, normal: Draws) -> None:
    risk, descent, engine = risk_of("tanh", torch.float64), descent_of("momentum"), NativeEngine(2)
    state = engine.segment(risk, descent, running(starts(normal, risk, 0), descent), 20)
    assert (state.step, state.theta.shape, state.status.shape) == (20, (0, risk.size), (0,))
    assert [part.shape[0] for part in engine.loss_and_gradient(risk, state.theta)] == [0, 0]
    assert engine.hessian(risk, state.theta).shape == (0, risk.size, risk.size)


def test_parameters_may_lie_in_memory_in_any_order(risk_of: Risks, normal: Draws) -> None:
    risk, descent, engine = risk_of("tanh", torch.float64), descent_of("momentum"), NativeEngine()
    theta, v = starts(normal, risk, 9), normal(5, 9, risk.size)
    strange = theta.T.contiguous().T
    assert not strange.is_contiguous()
    assert torch.equal(engine.hessian(risk, strange), engine.hessian(risk, theta))
    assert torch.equal(engine.hvp(risk, strange, v.T.contiguous().T), engine.hvp(risk, theta, v))
    states = [engine.segment(risk, descent, running(t, descent), 30) for t in (theta, strange)]
    for one, other in zip(states[0].tensors(), states[1].tensors(), strict=True):
        assert torch.equal(one, other)


def test_a_segment_that_is_told_to_stop_takes_no_further_block(risk_of: Risks, normal: Draws) -> None:
    """What happens on Ctrl-C: the number of the next block is set beyond all of them while threads are at work."""
    risk, descent = risk_of("tanh", torch.float64), descent_of("momentum")
    state = running(starts(normal, risk, 40), descent)
    theta, memory = state.theta.clone(), state.memory[0].clone()
    rates, constants = torch.full((1, 1), 0.1, dtype=torch.float64), torch.full((1,), 0.9, dtype=torch.float64)
    arrays = (theta, memory, state.status, state.steps, state.loss, state.gradient_norm)
    segment = library.Segment(*(library.pointer(array) for array in arrays), 0, 20, CHECK_EVERY, 0.0)
    segment.rates, segment.constants = rates.data_ptr(), constants.data_ptr()
    inputs, targets = risk.inputs.T.contiguous(), risk.targets.T.contiguous()
    compiled = library.descent_library(library.Shape.of(risk, torch.float64), UPDATES[type(descent)].header, rates=1)
    for first in (library._STOP, library._STOP + 1, library._STOP + 1000, 0):
        taken = ctypes.c_int64(first)
        numbers = risk.samples, risk.l2_weights, risk.l2_biases, 40, ctypes.addressof(taken)
        f = library._Function(inputs.data_ptr(), targets.data_ptr(), *numbers)
        compiled._loaded.descend(ctypes.byref(f), ctypes.byref(segment))
        assert torch.equal(theta, state.theta) == (first != 0)


def test_ctrl_c_is_heard_in_the_middle_of_a_segment_with_one_thread_too(risk_of: Risks, normal: Draws) -> None:
    risk, descent = risk_of("tanh", torch.float64), descent_of("momentum", schedule="constant", steps=10**6)
    state = running(starts(normal, risk, 20_000), descent)  # hours of work; the steps of one block take a second

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            NativeEngine(1).segment(risk, descent, state, 10**6)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # and may be forked
def test_a_forked_process_has_threads_of_its_own(risk_of: Risks, normal: Draws) -> None:
    risk, descent = risk_of("tanh", torch.float64), descent_of("momentum")
    state, engine = running(starts(normal, risk, 40), descent), NativeEngine(2)
    expected = engine.segment(risk, descent, state, 20)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # rather than for ever
        found = engine.segment(risk, descent, state, 20)
        os._exit(0 if torch.equal(found.theta, expected.theta) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- Derivatives ---------------------------------------------------------------------------------------------------


def oracle(risk: EmpiricalRisk, autograd_risk: Any) -> Callable[[Tensor], Tensor]:
    """f of one vector of parameters, as autograd sees it."""
    network = risk.network
    last = "softmax" if risk.loss_name == "cross_entropy" else network.output
    names = [*[network.activation] * (network.depth - 1), last]
    penalties = (risk.l2_weights, risk.l2_biases)
    return lambda theta: autograd_risk(theta, network.widths, names, risk.inputs, risk.targets, network.bias, penalties)


def any_risk(data: st.DataObject, normal: Draws, widths: tuple[int, ...]) -> EmpiricalRisk:
    """Any objective of a network with these widths."""
    activation, output = (data.draw(st.sampled_from(ACTIVATIONS)) for _ in range(2))
    loss = data.draw(st.sampled_from(["squared", "cross_entropy"])) if widths[-1] > 1 else "squared"
    samples = data.draw(st.integers(1, 20))
    x, y = normal(1, widths[0], samples), normal(2, widths[-1], samples)
    y = torch.softmax(y, 0) if loss == "cross_entropy" else y
    network = Network(widths, activation, output, data.draw(st.booleans()))
    penalties = [data.draw(st.sampled_from([0.0, 0.03])) for _ in range(2)]
    return EmpiricalRisk(network, x, y, loss, *penalties)


# torch.func's own import
ignores_torch_func = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def assert_derivatives_are_autograds(risk: EmpiricalRisk, normal: Draws, autograd_risk: Any) -> None:
    f, engine = oracle(risk, autograd_risk), NativeEngine()
    theta, v = starts(normal, risk, 5), normal(5, 5, risk.size)
    loss, gradient = engine.loss_and_gradient(risk, theta)
    product, hessian = engine.hvp(risk, theta, v), engine.hessian(risk, theta)
    assert torch.equal(hessian, hessian.transpose(1, 2))
    for row in range(5):
        expected, slope = torch.func.hessian(f)(theta[row]), torch.func.grad(f)(theta[row])
        norm = float(torch.linalg.matrix_norm(expected, 2)) + 1e-300  # a dead ReLU network has none
        # Sums of up to some hundred products of numbers of size 1, each rounded: 1e-10 is asked for.
        assert torch.linalg.matrix_norm(hessian[row] - expected) <= 1e-12 * norm
        assert (product[row] - expected @ v[row]).norm() <= 1e-12 * norm * v[row].norm()
        assert (gradient[row] - slope).norm() <= 1e-13 * (1 + slope.norm())
        assert float(loss[row]) == pytest.approx(float(f(theta[row])), rel=1e-13)


@ignores_torch_func
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_products_and_hessians_are_those_of_automatic_differentiation(
    risk_of: Risks, normal: Draws, autograd_risk: Any, activation: str
) -> None:
    for samples in SAME_KERNEL.get(activation, (None,)):
        assert_derivatives_are_autograds(risk_of(activation, torch.float64, samples), normal, autograd_risk)


@ignores_torch_func
@pytest.mark.stress
@settings(max_examples=40)
@given(data=st.data())
def test_derivatives_are_those_of_automatic_differentiation_for_any_network(
    normal: Draws, autograd_risk: Any, data: st.DataObject
) -> None:
    widths = tuple(data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=7)))
    assert_derivatives_are_autograds(any_risk(data, normal, widths), normal, autograd_risk)


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "relu"])  # which has kinks
def test_gradients_are_differences_of_the_loss_and_products_differences_of_gradients(
    risk_of: Risks, normal: Draws, activation: str
) -> None:
    risk, engine, h = risk_of(activation, torch.float64), NativeEngine(), 1e-5
    theta, v = starts(normal, risk, 10), normal(5, 10, risk.size)
    v /= v.norm(dim=1, keepdim=True)
    (above, up), (below, down) = (engine.loss_and_gradient(risk, theta + sign * h * v) for sign in (1, -1))
    _, gradient = engine.loss_and_gradient(risk, theta)
    # h²/6 times third derivatives of size up to 30, and rounding 1e-16 / h.
    torch.testing.assert_close((gradient * v).sum(1), (above - below) / (2 * h), rtol=0, atol=1e-9)
    torch.testing.assert_close(engine.hvp(risk, theta, v), (up - down) / (2 * h), rtol=0, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_derivatives_are_those_of_float64_to_rounding(risk_of: Risks, normal: Draws, activation: str) -> None:
    single, engine = risk_of(activation, torch.float32), NativeEngine()
    double = replace(single, inputs=single.inputs.double(), targets=single.targets.double())
    theta, v = starts(normal, single, 10), normal(5, 10, single.size).float()
    found = [*engine.loss_and_gradient(single, theta), engine.hvp(single, theta, v)]
    exact = [*double.loss_and_gradient(theta.double()), double.hvp(theta.double(), v.double())]
    assert all(part.dtype == torch.float32 for part in found)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)
    hessian = engine.hessian(single, theta).double()
    torch.testing.assert_close(hessian, double.hessian(theta.double()), rtol=0, atol=1e-4)


def test_hessians_of_deep_networks_are_torchs(normal: Draws) -> None:
    network = Network((1,) * 15, "tanh", "identity")
    x, y = normal(1, 1, 3), normal(2, 1, 3)
    risk = EmpiricalRisk(network, x, y)
    theta = normal(3, 4, risk.size)
    assert torch.equal(NativeEngine().hessian(risk, theta), risk.hessian(theta))


def test_polishing_ends_at_the_same_bottoms_with_either_engine(risk_of: Risks, normal: Draws) -> None:
    risk = risk_of("tanh", torch.float64)
    *_, last = descend(risk, descent_of("momentum", steps=2000), NativeEngine(), starts(normal, risk, 60))
    theta = last.theta
    wanted = Polishing(steps=100, radius=0.3, dense_max=300, lanczos_steps=60)
    one, other = (polish(risk, theta, wanted, tolerances(), engine) for engine in (TorchEngine(), NativeEngine(2)))
    assert torch.equal(one.outcome, other.outcome)
    converged = one.outcome == Outcome.CONVERGED
    assert converged.sum() > 20
    # Newton squares its error until rounding, 1e-16, is left, which penalties keep from growing more than 1,000-fold.
    torch.testing.assert_close(one.theta[converged], other.theta[converged], rtol=0, atol=1e-12)
    alone = polish(risk, theta[[7, 31]], wanted, tolerances(), NativeEngine())
    assert torch.equal(bits(alone.theta), bits(other.theta[[7, 31]]))


# --- What it refuses -----------------------------------------------------------------------------------------------


class _Bowl:
    """Not the mean loss of a network."""


class _MyDescent(GradientDescent):
    """Not one of the package's."""


def test_what_it_has_no_kernel_for_is_refused_with_the_reason(risk_of: Risks) -> None:
    engine, risk, descent = NativeEngine(), risk_of("tanh", torch.float64), descent_of("momentum")
    assert engine.unsupported_reason(risk, descent) is None
    mine = _MyDescent(descent.budget)
    one = torch.ones(1, 1, dtype=torch.float64)
    wide = EmpiricalRisk(Network((1, 20_000, 1)), one, one)
    deep = EmpiricalRisk(Network((1,) * 102), one, one)
    elsewhere = risk.to(torch.device("meta"), torch.float64)
    reasons = {
        "no kernel for _Bowl": engine.unsupported_reason(_Bowl(), descent),  # type: ignore[arg-type]
        "no kernel for _MyDescent": engine.unsupported_reason(risk, mine),
        "up to 50,000 parameters, not 60,001": engine.unsupported_reason(wide, descent),
        "up to 100 layers, not 101": engine.unsupported_reason(deep, descent),
        "runs on the CPU, not on meta": engine.unsupported_reason(elsewhere, descent),
    }
    for reason, answer in reasons.items():
        assert answer is not None
        assert answer.endswith(reason)


def test_a_tensor_elsewhere_is_not_taken_for_memory() -> None:
    with pytest.raises(ValueError, match="meta"):
        library.pointer(torch.ones(3, device="meta"))
    with pytest.raises(ValueError, match="contiguous"):
        library.pointer(torch.ones(3, 3).T)
