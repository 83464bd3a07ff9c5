from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from basinet.descents import Lbfgs, StepLimits
from basinet.engines import TorchEngine
from basinet.foundation.outcomes import Status
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.objectives.plain import Plain
from basinet.protocols import Objective
from basinet.stages.descend import descend, retrace
from basinet.stages.solution import Solution, fold

Array = npt.NDArray[np.float64]
Function = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Given(Plain):
    """A function of which only value and gradient are asked for."""

    function: Function = lambda theta: (theta.sum(1), torch.ones_like(theta))

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.function(theta)

    def hessian(self, theta: Tensor) -> Tensor:
        raise NotImplementedError


def rosenbrock(theta: Tensor) -> tuple[Tensor, Tensor]:
    x, y = theta.unbind(1)
    valley = y - x * x
    return (1 - x) ** 2 + 100 * valley**2, torch.stack([-2 * (1 - x) - 400 * x * valley, 200 * valley], 1)


def lbfgs(steps: int = 1000, tolerance: float = 1e-10, memory: int = 10, records: int = 6) -> Lbfgs:
    return Lbfgs(StepLimits(steps, tolerance, records), memory)


def solved(f: Objective, descent: Lbfgs, theta: Tensor) -> Solution:
    return fold(descend(f, descent, TorchEngine(), theta), descent, f.samples)


def double(rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


STARTS = [[-1.2, 1.0], [0.0, 0.0], [3.0, -4.0], [-30.0, 20.0]]


@pytest.mark.parametrize("memory", [2, 10])
def test_rosenbrocks_valley_is_followed_to_its_end(memory: int) -> None:
    found = solved(Given(2, function=rosenbrock), lbfgs(memory=memory), double(STARTS))
    assert found.status.tolist() == [Status.ARRIVED] * 4
    torch.testing.assert_close(found.theta, torch.ones(4, 2).double(), rtol=0, atol=1e-9)
    assert (found.gradient_norm <= 1e-10).all()
    assert found.steps.max() < 120
    assert (found.gradients > found.steps).all()  # a step takes an evaluation at least, and so does the start


def test_evaluations_are_counted_where_they_are_made() -> None:
    calls = 0

    def counted(theta: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        return rosenbrock(theta)

    found = solved(Given(2, function=counted), lbfgs(), double(STARTS[:1]))
    # Once more, before the first step: the start is looked at when it is recorded, and when its descent begins.
    assert found.gradients.tolist() == [calls - 1]


def test_a_parabola_takes_about_as_many_steps_as_it_has_parameters() -> None:
    curvature = torch.linspace(1, 10, 8).double()
    f = Given(8, function=lambda theta: ((curvature * theta**2).sum(1) / 2, curvature * theta))
    found = solved(f, lbfgs(), torch.ones(1, 8).double())
    assert found.status.tolist() == [Status.ARRIVED]
    assert float(found.steps) <= 25  # searches are not exact


def test_it_takes_no_more_gradients_than_scipys() -> None:
    """Means of 30 starts of a tanh network, to the same norm of the gradient."""
    risk = tanh_risk()
    theta = normal(3, 30, risk.size)
    mine = solved(risk, lbfgs(tolerance=1e-6), theta)
    assert (mine.status == Status.ARRIVED).all()
    function = in_numpy(risk)
    loss, gradient = risk.loss_and_gradient(theta[:1])
    assert function(theta[0].numpy())[0] == pytest.approx(float(loss), rel=1e-12)
    np.testing.assert_allclose(function(theta[0].numpy())[1], gradient[0], rtol=0, atol=1e-12)
    assert float(mine.gradients.mean()) <= 1.2 * np.mean([_scipys(function, row.numpy(), 1e-6) for row in theta])


Scalar = Callable[[Array], tuple[float, Array]]


def in_numpy(risk: EmpiricalRisk) -> Scalar:
    """The loss of `tanh_risk` and its gradient for one network, as somebody writes it for scipy."""
    x, y = risk.inputs.numpy(), risk.targets.numpy()
    h, n = risk.network.widths[1], x.shape[1]

    def call(theta: Array) -> tuple[float, Array]:
        w, b, v, c = theta[: 2 * h].reshape(h, 2), theta[2 * h : 3 * h], theta[3 * h : 4 * h], theta[4 * h]
        a = np.tanh(w @ x + b[:, None])
        error = (v @ a + c - y[0]) / n
        back = np.outer(v, error) * (1 - a * a)
        gradient = np.concatenate([(back @ x.T).ravel(), back.sum(1), a @ error, [error.sum()]])
        return float(n * error @ error / 2 + 5e-3 * theta @ theta), gradient + 1e-2 * theta

    return call


class _Arrived(Exception):
    pass


def _scipys(function: Scalar, start: Array, tolerance: float) -> int:
    calls = 0

    def call(x: Array) -> tuple[float, Array]:
        nonlocal calls
        calls += 1
        loss, gradient = function(x)
        if np.linalg.norm(gradient) <= tolerance:
            raise _Arrived
        return loss, gradient

    options = {"maxcor": 10, "ftol": 0, "gtol": 0, "maxiter": 10_000, "maxfun": 10**6}
    with pytest.raises(_Arrived):
        minimize(call, start.copy(), jac=True, method="L-BFGS-B", options=options)
    return calls


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tanh_risk(widths: tuple[int, ...] = (2, 3, 1), dtype: torch.dtype = torch.float64) -> EmpiricalRisk:
    x, y = normal(1, widths[0], 6).to(dtype), normal(2, widths[-1], 6).to(dtype)
    return EmpiricalRisk(Network(widths, "tanh", "identity"), x, y, "squared", 1e-2, 1e-2)


WIDTHS = {"lanes": (2, 3, 1), "products": (3, 7, 2)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("layout", list(WIDTHS))
def test_a_restart_is_the_same_to_the_bit_in_any_company_and_any_segments(layout: str, dtype: torch.dtype) -> None:
    risk, descent = tanh_risk(WIDTHS[layout], dtype), lbfgs(40, 1e-2, memory=4)
    theta = normal(3, 70, risk.size).to(dtype)
    theta[5], theta[9], theta[11] = math.nan, math.inf, 1e20
    whole = solved(risk, descent, theta)
    assert {Status.ARRIVED, Status.DIVERGED} <= set(whole.status.tolist())
    assert whole.status[[5, 9]].tolist() == [Status.DIVERGED] * 2
    other = replace(descent, budget=replace(descent.budget, records=40))
    for rows, among in (([0], descent), ([68, 69, 3], descent), (list(range(30, 70)), other)):
        part = solved(risk, among, theta[rows])
        for name in ("theta", "loss", "gradient_norm", "steps", "status", "gradients"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[rows]), name


def test_a_retraced_descent_is_the_descent_to_the_bit() -> None:
    risk, descent = tanh_risk(), lbfgs(30, 0.0)
    theta = normal(3, 8, risk.size)
    whole = solved(risk, descent, theta)
    path = list(retrace(risk, descent, TorchEngine(), theta[5], 30))
    assert [step.step for step in path] == list(range(31))
    assert torch.equal(path[-1].theta, whole.theta[5])
    assert all(later.loss < earlier.loss for earlier, later in itertools.pairwise(path[:16]))


@pytest.mark.slow
def test_it_arrives_where_f_is_nothing_but_rounding() -> None:
    """f - f* is some ‖∇f‖² there, 1e-22, of values of 1/10."""
    risk = tanh_risk()
    found = solved(risk, lbfgs(2000, 1e-11), normal(3, 10, risk.size))
    assert found.status.tolist() == [Status.ARRIVED] * 10


def test_a_gradient_that_leads_uphill_stalls() -> None:
    lying = Given(3, function=lambda theta: ((theta**2).sum(1), -theta))
    found = solved(lying, lbfgs(500, 1e-12), double([[1.0, 2.0, 3.0], [0.01, 0.02, -0.01]]))
    assert found.status.tolist() == [Status.STALLED] * 2
    assert found.steps.tolist() == [0, 0]
    assert (found.gradients <= 1 + 20).all()


def test_a_flat_start_has_arrived_and_one_that_is_not_finite_has_diverged() -> None:
    flat = Given(2, function=lambda theta: (theta.sum(1) * 0 + 3, theta * 0))
    found = solved(flat, lbfgs(), double([[1.0, 2.0], [math.nan, 0.0], [math.inf, 0.0], [0.0, 0.0]]))
    assert found.status.tolist() == [Status.ARRIVED, Status.DIVERGED, Status.DIVERGED, Status.ARRIVED]
    assert found.steps.tolist() == [0] * 4
    assert found.gradients.tolist() == [1] * 4


def test_a_cliff_of_what_is_not_finite_is_not_stepped_over() -> None:
    def cliff(theta: Tensor) -> tuple[Tensor, Tensor]:
        x = theta.squeeze(1)
        return torch.where(x < 1, x - 2 * (1 - x).log(), torch.nan), (1 + 2 / (1 - x)).unsqueeze(1)

    def mirrored(theta: Tensor) -> tuple[Tensor, Tensor]:
        loss, slope = cliff(-theta)
        bowl = loss + 20 * (theta.squeeze(1) + 1) ** 2
        return bowl, -slope + 40 * (theta + 1)

    found = solved(Given(1, function=mirrored), lbfgs(tolerance=1e-8), double([[5.0], [0.0], [-0.99]]))
    assert found.status.tolist() == [Status.ARRIVED] * 3
    assert torch.isfinite(found.loss).all()
    torch.testing.assert_close(found.theta, found.theta[:1].expand(3, 1), rtol=0, atol=1e-8)


def test_a_loss_without_a_lower_bound_ends_with_the_budget() -> None:
    found = solved(Given(2), lbfgs(7, 1e-8), double([[0.0, 1.0]]))
    assert found.status.tolist() == [Status.BUDGET]
    assert found.steps.tolist() == [7]
    assert torch.isfinite(found.loss).all()


def test_a_restart_that_is_not_running_is_left_alone_and_marks_are_noted_on_the_way() -> None:
    risk, descent = tanh_risk(), lbfgs(50, 0.0, records=50)
    state = next(iter(descend(risk, descent, TorchEngine(), normal(3, 6, risk.size))))
    state.status[:] = torch.tensor([0, 1, 3, 0, 4, 0])
    copies = [tensor.clone() for tensor in state.tensors()]
    after = TorchEngine().follow(risk, descent, state, 5)
    for tensor, copy in zip(state.tensors(), copies, strict=True):
        torch.testing.assert_close(tensor, copy, rtol=0, atol=0, equal_nan=True)
    assert after.steps.tolist() == [5, 0, 0, 5, 0, 5]
    assert torch.equal(after.theta[[1, 2, 4]], state.theta[[1, 2, 4]])
    assert after.records is not None
    seen = after.records[0, :, 2]
    assert seen[seen.isfinite()].tolist() == [mark for mark in descent.budget.marks if mark <= 5]
    assert after.records[0, :, 0].nan_to_num().gather(0, torch.tensor([0])).item() == float(state.loss[0])
    assert after.records[1, 1:].isnan().all()


def test_a_budget_of_no_steps_leaves_the_starts() -> None:
    risk = tanh_risk()
    theta = normal(3, 4, risk.size)
    found = solved(risk, lbfgs(0), theta)
    assert torch.equal(found.theta, theta)
    assert found.status.tolist() == [Status.BUDGET] * 4
    assert found.steps.tolist() == [0] * 4
