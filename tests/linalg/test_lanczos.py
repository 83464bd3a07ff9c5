from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from basinet.foundation.errors import ConfigError
from basinet.linalg import lanczos
from basinet.linalg.lanczos import ExtremeEigenvalues, HessianProduct, extreme_eigenvalues
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def symmetric(eigenvalues: Tensor, seed: int = 0) -> Tensor:
    """Matrices `[restart, size, size]` with the given eigenvalues `[restart, size]` in random directions."""
    rotation, _ = torch.linalg.qr(draw(seed, *eigenvalues.shape, eigenvalues.shape[1]))
    return rotation @ torch.diag_embed(eigenvalues) @ rotation.mT


def product_with(matrices: Tensor) -> HessianProduct:
    """H v, where θ[r, 0] is the number of the matrix, so that a chunk of restarts finds its own."""
    return lambda theta, v: torch.stack([matrices[int(t[0])] @ w for t, w in zip(theta, v, strict=True)])


def numbered(matrices: Tensor) -> Tensor:
    theta = torch.zeros(matrices.shape[:2], dtype=torch.float64)
    theta[:, 0] = torch.arange(len(matrices))
    return theta


@given(seed=st.integers(0, 1000), size=st.integers(1, 12), integers=st.booleans())
def test_as_many_iterations_as_parameters_give_the_exact_ends_whatever_the_multiplicities(
    seed: int, size: int, integers: bool
) -> None:
    eigenvalues = 3 * draw(seed, 4, size)
    eigenvalues = eigenvalues.round() if integers else eigenvalues  # many of them equal, some of them all zero
    eigenvalues[0] = 0
    eigenvalues[1] = 2
    matrices = symmetric(eigenvalues, seed)
    found = extreme_eigenvalues(product_with(matrices), numbered(matrices), size + 3)
    expected = torch.linalg.eigvalsh(matrices)
    # 12 products with matrices of norm 10: some hundred roundings.
    torch.testing.assert_close(found.lowest, expected[:, 0], rtol=0, atol=1e-12)
    torch.testing.assert_close(found.highest, expected[:, -1], rtol=0, atol=1e-12)


@given(seed=st.integers(0, 1000), iterations=st.integers(1, 30))
def test_fewer_iterations_stay_inside_the_spectrum(seed: int, iterations: int) -> None:
    matrices = symmetric(draw(seed, 3, 40), seed)
    found = extreme_eigenvalues(product_with(matrices), numbered(matrices), iterations, seed)
    exact = torch.linalg.eigvalsh(matrices)
    assert bool((found.lowest >= exact[:, 0] - 1e-12).all())
    assert bool((found.highest <= exact[:, -1] + 1e-12).all())


def test_ends_that_stand_apart_are_found_long_before_the_rest() -> None:
    bulk = torch.linspace(-0.1, 0.1, 300, dtype=torch.float64)
    eigenvalues = torch.cat([torch.tensor([-1.0], dtype=torch.float64), bulk, torch.tensor([5.0]).double()])[None]
    matrices = symmetric(eigenvalues)
    found = extreme_eigenvalues(product_with(matrices), numbered(matrices), 25)
    assert float(found.lowest + 1) == pytest.approx(0, abs=1e-12)
    assert float(found.highest - 5) == pytest.approx(0, abs=1e-12)


def test_the_ends_of_a_networks_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network((4, 9, 9, 3), "tanh", "identity")
    risk = EmpiricalRisk(network, draw(0, 4, 30), draw(1, 3, 30), l2_weights=0.01)
    theta = draw(2, 6, risk.size) / 2
    exact = torch.linalg.eigvalsh(risk.hessian(theta))
    found = extreme_eigenvalues(risk.hvp, theta, 120)
    # They have converged to rounding times the norm, of about 10.
    torch.testing.assert_close(found.lowest, exact[:, 0], rtol=0, atol=1e-10)
    torch.testing.assert_close(found.highest, exact[:, -1], rtol=0, atol=1e-10)
    monkeypatch.setattr(lanczos, "_ELEMENTS", 2 * 120 * risk.size)  # two restarts at a time
    for whole, chunked in zip(columns(found), columns(extreme_eigenvalues(risk.hvp, theta, 120)), strict=True):
        assert torch.equal(whole, chunked)
    for r in range(6):
        alone = extreme_eigenvalues(risk.hvp, theta[r : r + 1].clone(), 120)
        assert all(torch.equal(a, b[r : r + 1]) for a, b in zip(columns(alone), columns(found), strict=True))


def columns(found: ExtremeEigenvalues) -> list[Tensor]:
    return [getattr(found, field.name) for field in dataclasses.fields(found)]


def test_a_restart_that_is_not_finite_is_nan_and_the_others_do_not_notice() -> None:
    risk = EmpiricalRisk(Network((2, 3, 1)), draw(0, 2, 5), draw(1, 1, 5))
    theta = draw(2, 3, risk.size)
    expected = extreme_eigenvalues(risk.hvp, theta, 5)
    theta[1, 0] = torch.nan
    found = extreme_eigenvalues(risk.hvp, theta, 5)
    for before, after in zip(columns(expected), columns(found), strict=True):
        assert torch.equal(after[[0, 2]], before[[0, 2]])
        assert bool(after[1].isnan())


def test_at_least_one_iteration_is_needed() -> None:
    with pytest.raises(ConfigError, match="iterations=0: must be at least 1"):
        extreme_eigenvalues(lambda theta, v: v, torch.zeros(1, 2), 0)


@pytest.mark.parametrize("iterations", [5, 9, 13, 17, 33])
def test_a_restart_has_the_same_ends_to_the_bit_in_any_place(iterations: int) -> None:
    """An odd number of iterations puts every other small matrix on an odd multiple of 8 bytes."""
    risk = EmpiricalRisk(Network((4, 9, 3)), draw(0, 4, 30), draw(1, 3, 30))
    theta = draw(2, 40, risk.size)
    found = extreme_eigenvalues(risk.hvp, theta, iterations)
    for rows in (list(range(1, 40)), list(range(40))[::-1], *([r] for r in range(40))):
        part = extreme_eigenvalues(risk.hvp, theta[rows], iterations)
        assert all(torch.equal(a, b[rows]) for a, b in zip(columns(part), columns(found), strict=True))
