"""What becomes of Hessians in lanes: spectra, Newton steps and the march, against LAPACK and the torch engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from basinet.engines import NativeEngine, TorchEngine
from basinet.engines.native.library import Shape, has_algebra
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Marched
from basinet.stages.derivatives import Derivatives
from basinet.stages.march import march
from basinet.study.defaults import tolerances
from slowness import slow_but

Risks = Callable[..., EmpiricalRisk]
Draws = Callable[..., Tensor]

EPSILON = 2.0**-52
ACTIVATIONS = slow_but(["softplus"], ("logistic", "tanh", "relu", "softplus", "gelu", "identity"))
LANES, TORCH = NativeEngine(2), TorchEngine()


def starts(normal: Draws, risk: EmpiricalRisk, count: int = 21) -> Tensor:
    """Enough for full blocks of lanes and a rest."""
    return normal(3, count, risk.size)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_spectra_are_lapacks_of_the_same_hessians(risk_of: Risks, normal: Draws, activation: str) -> None:
    risk = risk_of(activation, torch.float64)
    theta = starts(normal, risk)
    hessian = LANES.hessian(risk, theta)
    exact = torch.linalg.eigvalsh(hessian)
    rounding = (risk.size + 10) * EPSILON * exact.abs().amax(1, keepdim=True)  # as in test_linear_algebra.py
    values, vectors = LANES.eigenvectors(risk, theta)
    assert ((LANES.eigenvalues(risk, theta) - exact).abs() <= rounding).all()
    assert ((values - exact).abs() <= rounding).all()
    assert ((hessian @ vectors - vectors * values.unsqueeze(1)).abs() <= rounding.unsqueeze(2)).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_signatures_are_those_of_the_objective_to_rounding(risk_of: Risks, normal: Draws, activation: str) -> None:
    """Projections of answers of size one: sums of 64 products or fewer, in another order."""
    risk = risk_of(activation, torch.float64)
    theta = starts(normal, risk)
    torch.testing.assert_close(LANES.signature(risk, theta), risk.signature(theta), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("region", [1e-3, 0.3, 1e3])
def test_newton_steps_are_the_lowest_points_of_the_model_in_their_region(
    risk_of: Risks, normal: Draws, activation: str, region: float
) -> None:
    """p solves (H + μ) p = -∇f with H + μ positive definite, and either ‖p‖ = Δ or μ is as small as can be."""
    risk = risk_of(activation, torch.float64)
    theta = starts(normal, risk)
    _, gradient = LANES.loss_and_gradient(risk, theta)
    made = LANES.newton_step(risk, theta, gradient, torch.full((len(theta),), region, dtype=torch.float64))
    hessian = risk.hessian(theta)
    torch.testing.assert_close(made.curvature, torch.linalg.matrix_norm(hessian), rtol=1e-12, atol=0)
    product = (hessian * made.step.unsqueeze(1)).sum(2)
    size, square = torch.linalg.matrix_norm(hessian, 2), (made.step**2).sum(1)
    shift = -((product + gradient) * made.step).sum(1) / square
    lowest = torch.linalg.eigvalsh(hessian)[:, 0]
    # Backward errors of some N ε ‖H‖, in the equation and so in the shift.
    rounding = 1e-13 * (size + shift.abs())
    residual = torch.linalg.vector_norm(product + shift.unsqueeze(1) * made.step + gradient, dim=1)
    assert (residual <= rounding * square.sqrt() + 1e-14 * torch.linalg.vector_norm(gradient, dim=1)).all()
    assert (lowest + shift >= 0.9e-10 * size - rounding).all()
    assert (square.sqrt() <= region * (1 + 1e-12)).all()
    inside = square.sqrt() < region * (1 - 1e-9)
    assert (shift <= torch.maximum(1e-10 * size, 1e-10 * size - lowest) + rounding)[inside].all()
    model = (gradient * made.step).sum(1) + (product * made.step).sum(1) / 2
    torch.testing.assert_close(made.foretold, -model, rtol=1e-9, atol=1e-14)


def xor(penalty: float) -> EmpiricalRisk:
    inputs = torch.tensor([[0.0, 0, 1, 1], [0, 1, 0, 1]], dtype=torch.float64)
    targets = torch.tensor([[0.0, 1, 1, 0]], dtype=torch.float64)
    return EmpiricalRisk(Network((2, 2, 1)), inputs, targets, l2_weights=penalty, l2_biases=penalty)


def ways(risk: EmpiricalRisk, theta: Tensor, engine: TorchEngine | NativeEngine) -> Marched:
    return march(Derivatives(risk, engine), theta, tolerances(), torch.full_like(theta[:, 0], math.inf), steps=150)


@pytest.mark.parametrize(
    ("penalty", "scale", "count"), [(1e-3, 3.0, 40), pytest.param(0.0, 3.0, 200, marks=pytest.mark.slow)]
)
def test_the_march_leads_where_it_leads_by_torch(normal: Draws, penalty: float, scale: float, count: int) -> None:
    risk = xor(penalty)
    theta = scale * starts(normal, risk, count)
    one, other = ways(risk, theta, TORCH), ways(risk, theta, LANES)
    assert torch.equal(one.rests, other.rests)
    assert torch.equal(one.faded, other.faded)
    assert (one.rests if penalty else one.faded).sum() > 0.9 * count
    # At rest a gradient of 1e-12 relative leaves θ uncertain by that over the smallest curvature, the penalty.
    torch.testing.assert_close(other.theta[one.rests], one.theta[one.rests], rtol=0, atol=1e-7)
    torch.testing.assert_close(other.loss, one.loss, rtol=1e-6, atol=1e-9)
    loss, gradient = risk.loss_and_gradient(other.theta)
    torch.testing.assert_close(other.loss, loss, rtol=1e-13, atol=0)
    torch.testing.assert_close(other.gradient, gradient, rtol=1e-12, atol=1e-15)


def answers(engine: NativeEngine, risk: EmpiricalRisk, theta: Tensor) -> dict[str, Tensor]:
    """Signatures, and everything that is made of Hessians in lanes, as bit patterns; the sign of NaN is nobody's."""
    _, gradient = engine.loss_and_gradient(risk, theta)
    vectors = engine.eigenvectors(risk, theta)
    step = engine.newton_step(risk, theta, gradient, torch.full_like(theta[:, 0], 0.1))
    marched = ways(risk, theta, engine)
    found = {"eigenvalues": engine.eigenvalues(risk, theta), "values": vectors[0], "vectors": vectors[1]}
    found["signature"] = engine.signature(risk, theta)
    found |= {**step._asdict(), **{field.name: getattr(marched, field.name) for field in fields(marched)}}
    return {name: bits(column) for name, column in found.items()}


def bits(column: Tensor) -> Tensor:
    if column.dtype == torch.bool:
        return column
    return column.contiguous().masked_fill(column.isnan(), math.nan).view(torch.int64)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_restart_has_the_same_answers_to_the_bit_in_any_company(
    risk_of: Risks, normal: Draws, activation: str
) -> None:
    risk = risk_of(activation, torch.float64)
    theta = starts(normal, risk)
    theta[3], theta[11, 0] = math.nan, math.inf
    order = torch.randperm(len(theta), generator=torch.Generator().manual_seed(0))
    whole, mixed = answers(NativeEngine(1), risk, theta), answers(NativeEngine(3), risk, theta[order])
    alone = answers(NativeEngine(1), risk, theta[7:8])
    for name, column in whole.items():
        assert torch.equal(column[order], mixed[name]), name
        assert torch.equal(column[7:8], alone[name]), name
    assert torch.isnan(LANES.eigenvalues(risk, theta)[3]).all()


@pytest.mark.slow
def test_larger_networks_go_through_lapack(normal: Draws) -> None:
    x, y = normal(1, 3, 4), normal(2, 1, 4)
    risk = EmpiricalRisk(Network((3, 26, 1)), x, y)
    assert risk.size == 131
    assert not has_algebra(Shape.of(risk, torch.float64))
    theta = starts(normal, risk, 2)
    torch.testing.assert_close(
        LANES.eigenvalues(risk, theta), torch.linalg.eigvalsh(risk.hessian(theta)), rtol=0, atol=1e-12
    )
    assert LANES.march(risk, theta, torch.ones(2), None) is None  # type: ignore[arg-type]


def test_no_restarts_have_no_spectra_and_no_ways() -> None:
    risk, none = xor(0.0), torch.empty(0, 9, dtype=torch.float64)
    assert LANES.eigenvalues(risk, none).shape == (0, 9)
    assert ways(risk, none, LANES).theta.shape == (0, 9)
