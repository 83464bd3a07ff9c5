from __future__ import annotations

import dataclasses
import math
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinet.descents import Adam, Budget, GradientDescent, Momentum, Nesterov, Sgd
from basinet.descents.budget import record_steps
from basinet.engines import TorchEngine
from basinet.foundation.outcomes import Status
from basinet.mlp import layouts
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Descent, State
from basinet.stages.descend import descend
from basinet.stages.solution import Solution, fold
from slowness import slow_but

STEPS, RECORDS = 60, 6
WIDTHS = {"lanes": (2, 3, 2), "products": (3, 7, 2)}
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def risk_of(widths: tuple[int, ...], samples: int, name: str, dtype: torch.dtype) -> EmpiricalRisk:
    """Penalised cross-entropy for two of the activations, the squared loss for the others."""
    network = Network(widths, name, name)
    x, y = normal(1, widths[0], samples).to(dtype), normal(2, widths[-1], samples)
    if name in ("softplus", "gelu"):
        return EmpiricalRisk(network, x, torch.softmax(y, 0).to(dtype), "cross_entropy", 1e-2, 1e-3)
    return EmpiricalRisk(network, x, y.to(dtype))


def descent_of(name: str, tolerance: float, steps: int = STEPS) -> Descent:
    budget = Budget(0.02 if name == "adam" else 0.1, steps, "cosine", tolerance, RECORDS)
    return {
        "gradient_descent": GradientDescent(budget),
        "momentum": Momentum(budget, 0.9),
        "nesterov": Nesterov(budget, 0.9),
        "adam": Adam(budget, 0.9, 0.999, 1e-8),
        "sgd": Sgd(replace(budget, seed=4), batch_size=2),
    }[name]


def solve(risk: EmpiricalRisk, descent: Descent, theta: Tensor, threads: int = 1) -> Solution:
    return fold(descend(risk, descent, TorchEngine(threads), theta), descent, risk.samples)


@contextmanager
def chunks(patch: pytest.MonkeyPatch, elements: int) -> Iterator[None]:
    """Chunks as small as a cache of so many numbers makes them, handed to threads in both layouts."""
    with patch.context() as context:
        context.setattr(layouts, "_BYTES", {"lanes": 8 * elements, "products": 8 * elements})
        context.setattr(layouts.Lanes, "parallel", True)
        yield


def parts(solution: Solution) -> dict[str, Tensor]:
    """Everything a solution says, one row per restart, as bit patterns: NaN is equal to NaN, 0 is not -0."""
    columns = {
        "theta": solution.theta,
        "loss": solution.loss,
        "gradient_norm": solution.gradient_norm,
        "steps": solution.steps,
        "status": solution.status,
        "losses": solution.trajectory.loss.T,
        "norms": solution.trajectory.gradient_norm.T,
    }
    integers = {torch.float64: torch.int64, torch.float32: torch.int32}
    return {
        key: value.contiguous().view(integers[value.dtype]) if value.is_floating_point() else value
        for key, value in columns.items()
    }


def assert_same_bits(whole: Solution, rows: list[int], part: Solution) -> None:
    expected = parts(whole)
    for key, value in parts(part).items():
        assert torch.equal(value, expected[key][rows]), key


def assert_restarts_do_not_see_each_other(
    monkeypatch: pytest.MonkeyPatch, risk: EmpiricalRisk, name: str, theta: Tensor, steps: int = STEPS
) -> None:
    """One descent of all restarts, against the same restarts in every other company."""
    restarts = theta.shape[0]
    free = solve(risk, descent_of(name, 0.0, steps), theta)
    # Half of the restarts have arrived before the last segment, so that segments get shorter on the way.
    norms = free.trajectory.gradient_norm[:-1]
    tolerance = float(norms.nan_to_num(nan=math.inf).amin(0).median())
    descent = descent_of(name, tolerance, steps)
    whole = solve(risk, descent, theta)
    early = (whole.status == Status.ARRIVED) & (whole.steps < steps)
    assert int(early.sum()) >= restarts // 2 - 1
    assert len(whole.steps.unique()) > 2

    everyone = list(range(restarts))
    with chunks(monkeypatch, 1):  # as small as chunks get
        assert_same_bits(whole, everyone[-15:], solve(risk, descent, theta[-15:]))
    with chunks(monkeypatch, 29 * max(risk.network.widths) * risk.samples):
        assert_same_bits(whole, everyone, solve(risk, descent, theta, threads=2))
        assert_same_bits(whole, everyone[9:], solve(risk, descent, theta[9:], threads=3))
    alone = [0, int(early.nonzero()[0]), restarts - 1]
    companies = [*([r] for r in alone), everyone[::-1], everyone[5:-3:3]]
    for rows in companies:
        assert_same_bits(whole, rows, solve(risk, descent, theta[rows]))

    # Restarts that are not finite, or soon won't be, sit down between the others.
    guests = theta[:4].clone()
    guests[0], guests[1], guests[2], guests[3] = math.nan, math.inf, -1e30, 1e18
    middle = restarts // 2
    crowd = solve(risk, descent, torch.cat([guests[:1], theta[:middle], guests[1:], theta[middle:]]))
    seats = [*range(1, middle + 1), *range(middle + 4, restarts + 4)]
    mine = {key: value[seats] for key, value in parts(crowd).items()}
    assert all(torch.equal(mine[key], value) for key, value in parts(whole).items())
    assert crowd.status[0] == Status.DIVERGED
    assert crowd.steps[0] == 0


GRID = [(name, "gradient_descent") for name in ACTIVATIONS]
GRID += [(name, "adam") for name in ("logistic", "relu", "gelu")]
GRID += [("tanh", name) for name in ("momentum", "nesterov", "sgd")]
FULL = [(a, d) for a in ACTIVATIONS for d in ("gradient_descent", "momentum", "nesterov", "adam", "sgd")]


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("layout", list(WIDTHS))
@pytest.mark.parametrize(("activation", "descent"), slow_but([GRID[0], GRID[2], *GRID[-4:]], GRID))
def test_a_restart_is_the_same_to_the_bit_in_any_company(
    monkeypatch: pytest.MonkeyPatch, activation: str, descent: str, layout: str, dtype: str
) -> None:
    risk = risk_of(WIDTHS[layout], 5, activation, DTYPES[dtype])
    theta = normal(3, 150, risk.size).to(DTYPES[dtype])
    assert_restarts_do_not_see_each_other(monkeypatch, risk, descent, theta)


@pytest.mark.stress
@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("layout", list(WIDTHS))
@pytest.mark.parametrize(("activation", "descent"), [case for case in FULL if case not in GRID])
def test_a_restart_is_the_same_to_the_bit_in_any_company_in_every_other_case(
    monkeypatch: pytest.MonkeyPatch, activation: str, descent: str, layout: str, dtype: str
) -> None:
    risk = risk_of(WIDTHS[layout], 5, activation, DTYPES[dtype])
    theta = normal(3, 500, risk.size).to(DTYPES[dtype])
    assert_restarts_do_not_see_each_other(monkeypatch, risk, descent, theta)


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize(
    ("activation", "descent"), [("logistic", "gradient_descent"), ("gelu", "adam"), ("tanh", "sgd")]
)
def test_a_restart_of_a_wide_network_is_the_same_to_the_bit_in_any_company(
    monkeypatch: pytest.MonkeyPatch, activation: str, descent: str, dtype: str
) -> None:
    risk = risk_of((64, 25, 10), 50, activation, DTYPES[dtype])
    theta = (normal(3, 20, risk.size) / 4).to(DTYPES[dtype])
    assert_restarts_do_not_see_each_other(monkeypatch, risk, descent, theta, steps=20)


@pytest.mark.parametrize("widths", [(1, 1), (4, 4, 4, 1), (5, 1), (9, 5, 6, 3), (16, 32, 1), (100, 3)], ids=str)
@settings(max_examples=12)
@given(
    rows=st.lists(st.integers(0, 39), min_size=1, max_size=60),
    elements=st.integers(1, 20_000),
    threads=st.integers(1, 3),
    samples=st.integers(1, 20),
)
def test_any_selection_of_restarts_ends_as_the_same_rows_of_the_whole(
    widths: tuple[int, ...], rows: list[int], elements: int, threads: int, samples: int
) -> None:
    risk = risk_of(widths, samples, "logistic", torch.float64)
    theta = normal(3, 40, risk.size)
    descent = descent_of("momentum", 1e-2, steps=20)
    whole = solve(risk, descent, theta)
    with pytest.MonkeyPatch.context() as patch, chunks(patch, elements):
        assert_same_bits(whole, rows, solve(risk, descent, theta[rows], threads))


def test_the_number_of_threads_torch_had_changes_nothing_and_is_restored() -> None:
    risk = risk_of((64, 25, 10), 50, "tanh", torch.float32)
    theta = (normal(3, 30, risk.size) / 4).float()
    descent = descent_of("gradient_descent", 0.0, steps=10)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = solve(risk, descent, theta)
        for count in (2, 3):
            torch.set_num_threads(count)
            assert_same_bits(whole, list(range(30)), solve(risk, descent, theta))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


def running(theta: Tensor, descent: Descent) -> State:
    restarts = theta.shape[0]
    status = torch.full((restarts,), int(Status.RUNNING), dtype=torch.int8)
    zeros = theta.new_zeros(restarts)
    return State(theta, descent.init(theta), 0, status, torch.zeros(restarts, dtype=torch.int64), zeros, zeros)


@pytest.mark.parametrize("layout", list(WIDTHS))
@pytest.mark.parametrize("name", ["momentum", "adam", "sgd"])
def test_a_segment_may_be_cut_anywhere_without_a_change(name: str, layout: str) -> None:
    risk = risk_of(WIDTHS[layout], 5, "tanh", torch.float64)
    descent, engine = descent_of(name, 0.0), TorchEngine()
    theta = normal(3, 10, risk.size)
    whole = engine.segment(risk, descent, running(theta, descent), 60)
    state = running(theta, descent)
    for until in (1, 2, 17, 40, 60):
        state = engine.segment(risk, descent, state, until)
        assert state.step == until
    for one, other in zip(whole.tensors(), state.tensors(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("layout", list(WIDTHS))
def test_a_segment_does_not_touch_restarts_that_are_not_running_nor_its_arguments(layout: str) -> None:
    risk = risk_of(WIDTHS[layout], 5, "tanh", torch.float64)
    descent = descent_of("momentum", 0.0)
    state = running(normal(3, 10, risk.size), descent)
    state.status[3], state.status[7] = int(Status.ARRIVED), int(Status.DIVERGED)
    state.steps[3], state.steps[7] = -5, -6
    copies = [part.clone() for part in state.tensors()]
    after = TorchEngine().segment(risk, descent, state, 20)
    assert all(torch.equal(part, copy) for part, copy in zip(state.tensors(), copies, strict=True))
    for column, before in zip(after.tensors()[:5], copies[:5], strict=True):
        assert torch.equal(column[[3, 7]], before[[3, 7]])
    others = [0, 1, 2, 4, 5, 6, 8, 9]
    assert (after.steps[others] == 20).all()
    assert (after.theta[others] != state.theta[others]).any(1).all()


def test_a_restart_that_overflows_is_marked_and_its_neighbours_go_on() -> None:
    """Deep linear networks with large weights explode, small ones do not: both in one chunk."""
    risk = risk_of((2, 3, 2), 5, "identity", torch.float64)
    small = normal(3, 30, risk.size) / 3
    scale = torch.where(torch.arange(30) % 3 == 0, 1e3, 1.0).double()
    solution = solve(risk, descent_of("gradient_descent", 0.0), small * scale[:, None])
    exploded = (torch.arange(30) % 3 == 0).tolist()
    assert (solution.status == Status.DIVERGED).tolist() == exploded
    assert all(0 < steps < STEPS for steps in solution.steps[exploded].tolist())
    assert set(solution.steps.tolist()) <= {*record_steps(STEPS, RECORDS), *range(0, STEPS + 1, 10)}
    calm = [r for r in range(30) if r % 3]
    assert_same_bits(solution, calm, solve(risk, descent_of("gradient_descent", 0.0), small[calm]))
    last = solution.trajectory.loss[-1]
    assert last.isnan().tolist() == exploded


@pytest.mark.parametrize("layout", list(WIDTHS))
def test_float32_follows_float64_to_rounding_over_few_steps(layout: str) -> None:
    double = risk_of(WIDTHS[layout], 5, "tanh", torch.float64)
    single = dataclasses.replace(double, inputs=double.inputs.float(), targets=double.targets.float())
    theta = normal(3, 20, double.size)
    one, other = (
        solve(risk, descent_of("gradient_descent", 0.0, 10), start)
        for risk, start in ((double, theta), (single, theta.float()))
    )
    assert other.theta.dtype == torch.float32
    # 10 steps, each adding some roundings of 6e-8 times values of size 1 to 5.
    torch.testing.assert_close(other.theta.double(), one.theta, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["gradient_descent", "adam", "sgd"])
def test_the_torch_engine_takes_everything(name: str) -> None:
    risk = risk_of((2, 3, 2), 5, "tanh", torch.float64)
    assert TorchEngine().unsupported_reason(risk, descent_of(name, 0.0)) is None


_SEGMENTS = """
import resource
import torch
from basinet.descents.budget import Budget
from basinet.stages.descend import descend
from basinet.descents import GradientDescent
from basinet.engines import TorchEngine
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk

x = torch.linspace(-1, 1, 128, dtype=torch.float64).unsqueeze(0)
risk = EmpiricalRisk(Network((1, 8, 8, 8, 1)), x, x)
theta = torch.zeros(512, risk.size, dtype=torch.float64)
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    list(descend(risk, GradientDescent(Budget(0.1, 50, "constant", 0.0, 2)), TorchEngine(), theta))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
def test_activations_come_and_go_without_asking_the_system_for_memory() -> None:
    """A page of memory that the system hands over is a fault; the activations of a step have thousands of them."""
    answer = subprocess.run([sys.executable, "-c", _SEGMENTS], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 50 * 100
