"""Down both sides of saddles: against scipy's integrator."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.integrate
import torch
from torch import Tensor

from basinet import Study
from basinet.engines import TorchEngine
from basinet.foundation.outcomes import Status
from basinet.stages.derivatives import Derivatives
from basinet.stages.seek import Found, seek
from basinet.stages.trace import beside_saddles, bottoms_beside, trace
from basinet.study.defaults import tolerances
from camel import CAMEL, critical_points_of_the_camel

PENALTIES = {"l2_weights": 1e-3, "l2_biases": 1e-3}


def integrated(f: Derivatives, start: Tensor) -> Tensor:
    """Where LSODA says that θ' = -∇f(θ) leads."""

    def slope(_: float, theta: np.ndarray) -> np.ndarray:
        return -f.loss_and_gradient(torch.from_numpy(theta.copy())[None])[1][0].numpy()

    def jacobian(_: float, theta: np.ndarray) -> np.ndarray:
        return -f.hessian(torch.from_numpy(theta.copy())[None])[0].numpy()

    way = scipy.integrate.solve_ivp(slope, (0, 1e5), start.numpy(), "LSODA", rtol=1e-8, atol=1e-10, jac=jacobian)
    return torch.from_numpy(way.y[:, -1].copy())


@pytest.mark.slow
def test_the_saddles_of_a_network_join_the_minima_that_lsoda_says() -> None:
    settings = {"problem": "xor", "network": {"width": 1, "activation": "logistic"}, "objective": PENALTIES}
    f = Derivatives(Study.from_config(settings).exact_objective, TorchEngine())
    starts = 2 * torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = seek(f, starts, torch.ones(200, dtype=torch.int64), starts.norm(dim=1) + 100, 60, tolerances())
    theta, loss = found.theta[found.outcome == Found.CONVERGED], found.loss[found.outcome == Found.CONVERGED]
    _, first = np.unique(loss.numpy().round(9), return_index=True)
    saddles = theta[torch.from_numpy(first)]
    assert len(saddles) >= 4
    for start, side in zip(beside_saddles(f, saddles), bottoms_beside(f, saddles, tolerances()), strict=True):
        assert bool(side.found.all())
        for begin, bottom in zip(start, side.theta, strict=True):
            # LSODA stops where what is left of the way is e^(-1e-3 · 1e5): nothing; its own error is what remains
            assert float((integrated(f, begin) - bottom).norm()) < 1e-5


def test_f_falls_along_the_flow_as_the_square_of_its_slope() -> None:
    """df/dt = -‖∇f‖²; between two states, by the trapezoidal rule in the way: Δf ≈ -½ (|∇f| + |∇f'|) |Δθ|."""
    points = critical_points_of_the_camel()
    saddles = torch.from_numpy(points[points[:, 2] == 1][:, :2].copy())
    states = list(trace(CAMEL, beside_saddles(CAMEL, saddles)[0], tolerances(), every=1))
    for before, after in itertools.pairwise(states):
        assert bool((after.loss <= before.loss + 1e-13).all())
        way = (after.theta - before.theta).norm(dim=1)
        mean = (before.gradient_norm + after.gradient_norm) / 2
        torch.testing.assert_close(before.loss - after.loss, mean * way, rtol=0.05, atol=1e-3)


def test_a_flow_that_runs_into_a_saddle_goes_on_beside_it() -> None:
    points = critical_points_of_the_camel()
    minima, saddles = (points[points[:, 2] == index][:, :2] for index in (0, 1))
    *_, last = trace(CAMEL, torch.from_numpy(saddles.copy()), tolerances())
    assert bool((last.status == Status.ARRIVED).all())
    nearest = np.abs(last.theta.numpy()[:, None] - minima[None]).max(2).min(1)
    assert float(nearest.max()) < 1e-3  # Newton's method sharpens what has arrived
