"""E[φ(u·x) φ(v·x)] and its derivatives, against integrals and against the published formula with many digits."""

from __future__ import annotations

import math

import mpmath
import pytest
import scipy.integrate
import torch
from torch import Tensor

from basinet.mlp.gaussian import KERNELS, LANES, Kernel, Pairs

NAMES = list(KERNELS)
# From parallel to opposite, with angles far below the square root of rounding.
ANGLES = [0.0, 1e-12, 1e-9, 1e-5, 0.3, math.pi / 2, 2.0, 3.0, math.pi - 1e-5, math.pi - 1e-9, math.pi]
LENGTHS = [(1.0, 1.0), (0.3, 2.0), (7.0, 1e-4), (30.0, 40.0)]


def vectors(*rows: list[float]) -> Tensor:
    """`[unit, feature, restart]`, alike in all lanes."""
    return torch.tensor(rows, dtype=torch.float64).unsqueeze(2).repeat(1, 1, LANES)


def value(kernel: Kernel, u: list[float], v: list[float]) -> float:
    return float(kernel.first_order(Pairs(vectors(u), vectors(v))).value[0, 0, 0])


def gradient(kernel: Kernel, u: list[float], v: list[float]) -> Tensor:
    """∂k/∂u, `[feature]`."""
    _, along_u, along_v = kernel.first_order(Pairs(vectors(u), vectors(v)))
    return along_u[0, 0, 0] * vectors(u)[0, :, 0] + along_v[0, 0, 0] * vectors(v)[0, :, 0]


def exact(name: str, u: list[float], v: list[float]) -> mpmath.mpf:
    """The published formula, as it is printed."""
    u, v = mpmath.matrix(u), mpmath.matrix(v)
    product = mpmath.fdot(u, v)
    if name == "erf":
        return 2 / mpmath.pi * mpmath.asin(product / mpmath.sqrt((1 + mpmath.fdot(u, u)) * (1 + mpmath.fdot(v, v))))
    lengths = mpmath.norm(u) * mpmath.norm(v)
    t = mpmath.acos(max(mpmath.mpf(-1), min(mpmath.mpf(1), product / lengths)))
    return lengths * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / (2 * mpmath.pi)


@pytest.mark.parametrize("t", [0.3, 2.0])
@pytest.mark.parametrize("name", NAMES)
def test_k_is_the_mean_of_the_product_over_gaussian_inputs(name: str, t: float) -> None:
    def phi(z: float) -> float:
        return max(z, 0.0) if name == "relu" else math.erf(z / math.sqrt(2))

    def integrand(y: float, x: float) -> float:
        density = math.exp(-(x * x + y * y) / 2) / (2 * math.pi)
        return phi(0.8 * x) * phi(1.5 * (math.cos(t) * x + math.sin(t) * y)) * density

    mean, error = scipy.integrate.dblquad(integrand, -8, 8, -8, 8, epsabs=1e-8, epsrel=1e-8)
    found = value(KERNELS[name], [0.8, 0.0], [1.5 * math.cos(t), 1.5 * math.sin(t)])
    assert abs(found - mean) <= max(error, 1e-7)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("t", ANGLES)
@pytest.mark.parametrize("name", NAMES)
def test_k_and_its_gradient_have_all_their_digits_at_every_angle(
    name: str, t: float, lengths: tuple[float, float]
) -> None:
    """Also where vectors are parallel or opposite, to which the formula's inverse cosine is blind."""
    u, v = [lengths[0], 0.0], [lengths[1] * math.cos(t), lengths[1] * math.sin(t)]
    with mpmath.workdps(200):  # of which the inverse cosine loses half, and differences of it a third of the rest
        size = abs(float(exact(name, [lengths[0], 0], [lengths[1], 0])))  # k of parallel vectors, its largest
        assert abs(value(KERNELS[name], u, v) - float(exact(name, u, v))) <= 8 * 2.2e-16 * size
        if 0 < t < 3.14159265:  # elsewhere the formula has no derivative that differences could find
            slope = [float(mpmath.diff(lambda a: exact(name, [a, 0], v), u[0])),
                     float(mpmath.diff(lambda b: exact(name, [u[0], b], v), 0))]  # fmt: skip
            largest = max(lengths[1], size / lengths[0])
            assert gradient(KERNELS[name], u, v).tolist() == pytest.approx(slope, abs=16 * 2.2e-16 * largest)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_are_those_of_the_formula(name: str) -> None:
    u, v = [0.7, -0.2, 0.4], [-0.3, 1.1, 0.5]
    same, mixed = KERNELS[name].second_order(Pairs(vectors(u), vectors(v)))
    with mpmath.workdps(50):

        def k(*point: mpmath.mpf) -> mpmath.mpf:
            return exact(name, list(point[:3]), list(point[3:]))

        for a in range(3):
            for b in range(3):
                first = tuple((i == a) + (i == b) for i in range(6))
                second = tuple(int(i in (a, 3 + b)) for i in range(6))
                assert float(same[0, 0, a, b, 0]) == pytest.approx(float(mpmath.diff(k, (*u, *v), first)), abs=4e-15)
                assert float(mixed[0, 0, a, b, 0]) == pytest.approx(float(mpmath.diff(k, (*u, *v), second)), abs=4e-15)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sign", [1, -1])
def test_second_derivatives_are_continuous_where_vectors_become_parallel_or_opposite(name: str, sign: int) -> None:
    u = [0.6, 0.8, 0.0]
    there = KERNELS[name].second_order(Pairs(vectors(u), vectors([sign * 1.2, sign * 1.6, 0.0])))
    # A vector beside, at angles of 1e-7: the second derivatives of ReLU are Lipschitz, with constants of size 1.
    near = KERNELS[name].second_order(Pairs(vectors(u), vectors([sign * 1.2, sign * 1.6, 2e-7])))
    for one, other in zip(there, near, strict=True):
        assert torch.isfinite(one).all()
        assert float((one - other).abs().max()) < 1e-6
    if name == "relu":  # ∂²k/∂u∂v is half the identity for parallel vectors, whose units answer together, else 0
        assert torch.allclose(there.mixed[0, 0, :, :, 0], torch.eye(3).double() * (sign == 1) / 2, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_of_zero_vectors_everything_is_finite_and_of_relu_zero(name: str) -> None:
    zero, one = [0.0, 0.0], [0.6, -0.3]
    for u, v in ((zero, zero), (zero, one), (one, zero)):
        assert value(KERNELS[name], u, v) == 0
        second = KERNELS[name].second_order(Pairs(vectors(u), vectors(v)))
        assert all(bool(torch.isfinite(block).all()) for block in second)
        if name == "relu":
            assert gradient(KERNELS[name], u, v).tolist() == zero
            assert all(not bool(block.any()) for block in second)


def test_erf_near_the_zero_vector_is_its_linear_function() -> None:
    """φ(z) = √(2/π) z + O(z³), so k(u, v) = (2/π) u·v and ∂²k/∂u∂v = (2/π) I at 0."""
    kernel, zero = KERNELS["erf"], [0.0, 0.0]
    assert value(kernel, [1e-6, 0.0], [2e-6, 1e-6]) == pytest.approx(2 / math.pi * 2e-12, rel=1e-11)
    same, mixed = kernel.second_order(Pairs(vectors(zero), vectors(zero)))
    assert not same.any()
    assert torch.allclose(mixed[0, 0, :, :, 0], 2 / math.pi * torch.eye(2).double(), rtol=1e-15)
