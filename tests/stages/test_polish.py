from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from basinet import Study
from basinet.engines import TorchEngine
from basinet.foundation.errors import ConfigError
from basinet.linalg.eigen import eigenvectors
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.stages.descend import descend
from basinet.stages.newton import Outcome, newton_seconds
from basinet.stages.polish import Polished, Polishing, polish
from basinet.study.defaults import tolerances

EPSILON = 2.0**-52
ENGINE = TorchEngine()


def settings(**changes: Any) -> Polishing:
    return Polishing(**{"steps": 100, "radius": 0.1, "dense_max": 300, "lanczos_steps": 60, **changes})


def linear_risk(seed: int, features: int = 5, samples: int = 20) -> tuple[EmpiricalRisk, Tensor]:
    """Least squares, f = 1/(2N) ‖θ X̃ - y‖², and its only critical point by LAPACK's least squares."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(features, samples, generator=generator, dtype=torch.float64)
    y = torch.randn(1, samples, generator=generator, dtype=torch.float64)
    risk = EmpiricalRisk(Network((features, 1), "tanh", "identity"), x, y)
    extended = np.vstack([x.numpy(), np.ones(samples)])
    best, *_ = np.linalg.lstsq(extended.T, y.numpy()[0], rcond=None)
    return risk, torch.from_numpy(best)


@dataclass(frozen=True)
class Descended:
    risk: EmpiricalRisk
    theta: Tensor
    polished: Polished


def descended(config: dict[str, Any], **changes: Any) -> Descended:
    study = Study.from_config(config)
    *_, last = descend(study.objective, study.descent, ENGINE, study.starts(range(study.restarts)))
    return Descended(
        study.objective, last.theta, polish(study.objective, last.theta, settings(**changes), tolerances(), ENGINE)
    )


STUDIES: dict[str, dict[str, Any]] = {
    "penalised xor": {
        "problem": "xor",
        "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
        "descent": {"learning_rate": 4.0, "steps": 1000},
        "restarts": 200,
    },
    "xor": {"problem": "xor", "descent": {"learning_rate": 4.0, "steps": 2000}, "restarts": 200},
    "sine": {
        "problem": "sine",
        "network": {"depth": 3, "width": 3, "activation": "tanh"},
        "descent": {"learning_rate": 0.1, "steps": 500},
        "restarts": 100,
    },
    "relu": {
        "problem": "teacher",
        "network": {"activation": "relu"},
        "descent": {"learning_rate": 0.1, "steps": 500},
        "restarts": 100,
    },
}
studies = pytest.mark.parametrize("name", STUDIES)


@pytest.mark.parametrize("seed", range(5))
def test_least_squares_are_solved_to_rounding_by_newton_in_a_few_steps(seed: int) -> None:
    risk, best = linear_risk(seed)
    generator = torch.Generator().manual_seed(seed + 100)
    away = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    # The first region is a tenth of the limit, and doubles: ten steps from a tenth of the radius.
    polished = polish(
        risk, best + 0.05 * away / away.norm(dim=1, keepdim=True), settings(steps=10), tolerances(), ENGINE
    )
    assert set(polished.outcome.tolist()) == {Outcome.CONVERGED}
    # Both solve a system of condition < 100 to rounding; θ is of size 1.
    np.testing.assert_allclose(polished.theta, best.expand(50, -1), rtol=0, atol=1e3 * EPSILON)
    np.testing.assert_allclose(polished.distance, 0.05, rtol=1e-9)
    assert (polished.gradient_norm <= 1e-14).all()


def test_polishing_finds_the_minimum_that_scipys_trust_region_finds() -> None:
    found = descended(STUDIES["penalised xor"])
    risk = found.risk
    converged = (found.polished.outcome == Outcome.CONVERGED).nonzero().squeeze(1)
    assert len(converged) > 100

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = risk.loss_and_gradient(torch.from_numpy(theta)[None])
        return float(value), gradient[0].numpy()

    def hessian(theta: np.ndarray) -> np.ndarray:
        return risk.hessian(torch.from_numpy(theta)[None])[0].numpy()

    for index in converged[:20].tolist():
        start = found.theta[index].numpy()
        # Small regions keep scipy, too, in the basin.
        options = {"gtol": 1e-13, "initial_trust_radius": 0.01, "max_trust_radius": 0.1}
        result = scipy.optimize.minimize(loss, start, jac=True, hess=hessian, method="trust-exact", options=options)
        # Scipy sees differences of f only: √(1e-17 / 6e-4) for eigenvalues of 6e-4 at least.
        np.testing.assert_allclose(found.polished.theta[index], result.x, rtol=0, atol=3e-7)


@studies
def test_polishing_never_raises_the_loss(name: str) -> None:
    found = descended(STUDIES[name])
    before, _ = found.risk.loss_and_gradient(found.theta)
    after, gradient = found.risk.loss_and_gradient(found.polished.theta)
    assert (after <= before * (1 + 1e-12)).all()  # a sum of some dozen terms is rounded
    assert torch.equal(found.polished.loss, after)
    np.testing.assert_allclose(found.polished.gradient_norm, gradient.norm(dim=1), rtol=1e-9, atol=1e-18)
    assert torch.isin(found.polished.outcome, torch.tensor([0, 1, 2])).all()


@studies
def test_converged_means_a_gradient_at_rounding_level_and_any_other_outcome_keeps_the_descended_point(
    name: str,
) -> None:
    found = descended(STUDIES[name])
    polished = found.polished
    converged = polished.outcome == Outcome.CONVERGED
    assert torch.equal(polished.theta[~converged], found.theta[~converged])
    theta = polished.theta[converged]
    scale = torch.linalg.matrix_norm(found.risk.hessian(theta)) * (1 + theta.norm(dim=1))
    assert (polished.gradient_norm[converged] <= 1e-12 * scale).all()
    moved = (theta - found.theta[converged]).norm(dim=1)
    limit = 0.1 * (1 + found.theta[converged].norm(dim=1))
    assert (moved <= limit * (1 + 1e-12)).all()
    np.testing.assert_allclose(moved, polished.distance[converged], rtol=1e-12, atol=1e-15)


def test_some_restarts_of_these_studies_converge_and_some_do_not() -> None:
    outcomes = [descended(STUDIES[name]).polished.outcome for name in ("penalised xor", "xor")]
    assert int((outcomes[0] == Outcome.CONVERGED).sum()) > 100
    assert int((outcomes[1] == Outcome.LEFT_RADIUS).sum()) > 100


def test_a_bottom_beyond_the_radius_is_refused_and_the_descended_point_kept() -> None:
    risk, best = linear_risk(0)
    direction = torch.eye(6, dtype=torch.float64)[:1]
    for factor, outcome in ((0.5, Outcome.CONVERGED), (2.0, Outcome.LEFT_RADIUS)):
        # At a distance of factor · radius (1 + ‖θ‖): the fixed point of a contraction.
        theta = best[None]
        for _ in range(100):
            theta = best + factor * 0.1 * (1 + theta.norm()) * direction
        polished = polish(risk, theta, settings(), tolerances(), ENGINE)
        assert polished.outcome.tolist() == [outcome]
        limit = 0.1 * (1 + theta.norm().item())
        assert (polished.distance.item() <= limit) == (outcome == Outcome.CONVERGED)
        if outcome == Outcome.LEFT_RADIUS:
            assert torch.equal(polished.theta, theta)
            assert torch.equal(polished.loss, risk.loss(theta))
        assert polish(risk, theta, settings(radius=0.3), tolerances(), ENGINE).outcome.tolist() == [Outcome.CONVERGED]


def test_rows_that_are_not_finite_are_skipped_and_disturb_no_other() -> None:
    risk, best = linear_risk(2)
    near = 1.01 * best
    theta = torch.stack([near, torch.full_like(best, torch.nan), near, torch.full_like(best, torch.inf), 1e200 * best])
    polished = polish(risk, theta, settings(), tolerances(), ENGINE)
    converged, skipped = Outcome.CONVERGED, Outcome.SKIPPED
    assert polished.outcome.tolist() == [converged, skipped, converged, skipped, skipped]
    for row in (0, 2):
        np.testing.assert_allclose(polished.theta[row], best, rtol=0, atol=1e3 * EPSILON)
    assert torch.equal(polished.theta[[1, 3, 4]].nan_to_num(), theta[[1, 3, 4]].nan_to_num())


@pytest.mark.parametrize("changes", [{"steps": 0}, {"dense_max": 5}])
def test_without_steps_or_with_too_many_parameters_nothing_is_polished(changes: dict[str, int]) -> None:
    risk, best = linear_risk(3)
    theta = torch.stack([best, 1.01 * best])
    polished = polish(risk, theta, settings(**changes), tolerances(), ENGINE)
    assert polished.outcome.tolist() == [Outcome.SKIPPED] * 2
    assert torch.equal(polished.theta, theta)
    assert polished.distance.tolist() == [0, 0]
    assert torch.equal(polished.loss, risk.loss(theta))


def test_a_restart_that_runs_out_of_steps_is_stalled() -> None:
    risk, best = linear_risk(4)
    polished = polish(risk, 1.03 * best[None], settings(steps=1), tolerances(), ENGINE)
    assert polished.outcome.tolist() == [Outcome.STALLED]
    assert torch.equal(polished.theta, 1.03 * best[None])


@pytest.mark.parametrize("name", ["penalised xor", "sine"])
def test_a_restart_is_polished_to_the_bit_alike_alone_and_among_others(name: str) -> None:
    found = descended(STUDIES[name])
    for rows in ([7], list(range(3, 40, 4))):
        alone = polish(found.risk, found.theta[rows], settings(), tolerances(), ENGINE)
        for field in ("theta", "loss", "gradient_norm", "outcome", "distance", "recedes", "remaining", "grows"):
            assert torch.equal(getattr(alone, field), getattr(found.polished, field)[rows]), field


def test_a_saddle_at_rest_is_kept_and_a_point_beside_it_leaves() -> None:
    # f = ½ (1 - w₁ w₂)² has a strict saddle at 0, where the gradient is exactly 0.
    one = torch.ones(1, 1, dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, 1, 1), "identity", "identity", bias=False), one, one)
    polished = polish(
        risk, torch.tensor([[0.0, 0.0], [1e-3, 1e-3]], dtype=torch.float64), settings(), tolerances(), ENGINE
    )
    assert polished.outcome.tolist() == [Outcome.CONVERGED, Outcome.LEFT_RADIUS]
    assert polished.distance[0] == 0


def test_flat_directions_are_not_wandered_along() -> None:
    # f = ½ (1 - w₁ w₂)², from below, where its Hessian is positive (1/3 < w₁ w₂ < 1): Newton's step solves
    # w₂ p₁ + w₁ p₂ = r + O(r²) for r = 1 - w₁ w₂ and, along the minima, w₁ p₁ - w₂ p₂ = O(r). All of that is small.
    one = torch.ones(1, 1, dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, 1, 1), "identity", "identity", bias=False), one, one)
    theta = torch.tensor([[2.0, 0.495], [1.0, 0.99], [0.25, 3.98]], dtype=torch.float64)
    polished = polish(risk, theta, settings(), tolerances(), ENGINE)
    assert polished.outcome.tolist() == [Outcome.CONVERGED] * 3
    np.testing.assert_allclose(polished.theta.prod(1), 1, rtol=1e-14)
    assert (polished.distance <= (1 - theta.prod(1)) * (1 + theta.norm(dim=1))).all()  # r, in units of θ


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": -1}, "polish.steps=-1: must be 0 or more"),
        ({"dense_max": -1}, "polish.dense_max=-1: must be 0 or more"),
        ({"lanczos_steps": -1}, "polish.lanczos_steps=-1: must be 0 or more"),
        ({"radius": 0.0}, "polish.radius=0: must be positive"),
        ({"radius": float("inf")}, "polish.radius=inf: must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        settings(**changes)


@pytest.mark.parametrize(("width", "measured", "times"), [(100, 301, 1.0), (400, 512, (1201 / 512) ** 3)])
def test_the_time_of_a_newton_step_is_that_of_the_eigenvectors_of_which_a_part_is_measured_where_they_are_dear(
    width: int, measured: int, times: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, clock = [], [0.0]

    def slow(matrices: Tensor, threads: int) -> tuple[Tensor, Tensor]:
        seen.append(tuple(matrices.shape))
        clock[0] += 0.5
        return eigenvectors(matrices, threads)

    for place in ("stages.newton", "linalg.trust_region"):
        monkeypatch.setattr(f"basinet.{place}.eigenvectors", slow)
    monkeypatch.setattr("basinet.stages.newton.time.perf_counter", lambda: clock[0])
    one = torch.ones(1, 4, dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, width, 1), "tanh", "identity"), one, one)
    seconds = newton_seconds(risk, torch.zeros(2, risk.size, dtype=torch.float64), ENGINE)
    assert seen == [(2, measured, measured)]
    assert seconds == 0.25 * times  # the Hessians take no time by this clock
