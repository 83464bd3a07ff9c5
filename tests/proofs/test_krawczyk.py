"""A critical point is proved where there is exactly one, with its index, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("flint")

from flint import arb, arb_mat

from basinet.proofs.balls import around, exact
from basinet.proofs.krawczyk import Unproved, _index, _maps_into_itself, prove

Vector = list[arb]


@dataclass(frozen=True)
class Polynomial:
    """Σ_i p_i(x_i), given the coefficients of the derivatives p_i', the lowest first."""

    slopes: list[list[float]]

    @property
    def size(self) -> int:
        return len(self.slopes)

    def value(self, theta: Vector) -> arb:
        raise NotImplementedError

    def gradient(self, theta: Vector) -> Vector:
        return [_horner(slope, x) for slope, x in zip(self.slopes, theta, strict=True)]

    def hessian(self, theta: Vector) -> arb_mat:
        result = arb_mat(self.size, self.size)
        for i, (slope, x) in enumerate(zip(self.slopes, theta, strict=True)):
            result[i, i] = _horner([k * c for k, c in enumerate(slope)][1:], x)
        return result

    def answers(self, theta: Vector) -> Vector:
        raise NotImplementedError


def _horner(coefficients: list[float], x: arb) -> arb:
    total = arb(0)
    for coefficient in reversed(coefficients):
        total = total * x + arb(coefficient)
    return total


def cubic(a: float, b: float) -> list[float]:
    """x (x - a) (x + b): the derivative of a double well."""
    return [0.0, -a * b, b - a, 1.0]


@pytest.mark.parametrize(("theta", "index"), [([1.0, 1.0], 0), ([0.0, 1.0], 1), ([0.0, 0.0], 2), ([-1.0, 0.0], 1)])
def test_the_critical_points_of_a_double_well_are_proved_with_their_index(theta: list[float], index: int) -> None:
    proof = prove(Polynomial([cubic(1, 1), cubic(1, 1)]), [x + 1e-6 for x in theta])
    assert proof.index == index
    assert [float(x) for x in proof.centre] == pytest.approx(theta, abs=1e-15)
    assert float(proof.radius) <= 1e-8


def test_a_root_that_is_no_float_lies_within_its_box() -> None:
    proof = prove(Polynomial([[-2.0, 0.0, 1.0]]), [1.4142])
    assert proof.box[0].contains(arb(2).sqrt())


@pytest.mark.parametrize("power", [3, 5])
def test_a_minimum_at_which_the_hessian_vanishes_is_not_proved(power: int) -> None:
    with pytest.raises(Unproved):
        prove(Polynomial([[0.0] * power + [1.0]]), [0.0])


@pytest.mark.parametrize("offset", [1e-17, 0.0, -1e-17])
def test_two_critical_points_that_floats_do_not_tell_apart_are_not_proved(offset: float) -> None:
    """The derivative x² - offset: two roots 6e-9 apart, a double one, or none; the index is not the same at both."""
    with pytest.raises(Unproved):
        prove(Polynomial([[-offset, 0.0, 1.0]]), [0.0])


def test_where_there_is_no_critical_point_none_is_proved() -> None:
    with pytest.raises(Unproved, match="no critical point so near"):
        prove(Polynomial([[1.0, 1.0]]), [0.0])


def test_a_flat_direction_is_not_proved_unless_it_is_held() -> None:
    flat = Polynomial([cubic(1, 1), [0.0]])
    with pytest.raises(Unproved, match="singular"):
        prove(flat, [1.0, 0.5])
    assert prove(flat, [1.0, 0.5], held=[1]).held == (1,)


@settings(max_examples=50)
@given(
    a=st.floats(0.01, 3),
    b=st.floats(0.01, 3),
    centre=st.floats(-3, 3),
    radius=st.floats(0, 6),
    steepness=st.floats(-9, 9),
)
def test_no_box_passes_that_holds_two_critical_points_or_none(
    a: float, b: float, centre: float, radius: float, steepness: float
) -> None:
    """Whatever stands in for the inverse of the Hessian: of the roots 0, a and -b exactly one may lie inside."""
    f, r = Polynomial([cubic(a, b)]), arb(radius)
    box = around([exact(centre)], r, [0])
    inverse = arb_mat([[steepness]])
    newton = [abs((inverse * arb_mat([[f.gradient([exact(centre)])[0]]]))[0, 0])]
    inside = sum(abs(root - centre) <= radius for root in (0.0, a, -b))
    if _maps_into_itself(inverse * f.hessian(box), newton, r):
        assert inside == 1


@settings(max_examples=30)
@given(
    eigenvalues=st.lists(st.floats(0.01, 100) | st.floats(-100, -0.01), min_size=1, max_size=6),
    seed=st.integers(0, 2**20),
    exponent=st.sampled_from([0, -60, 60]),
)
def test_the_index_is_the_number_of_negative_eigenvalues_at_any_scale(
    eigenvalues: list[float], seed: int, exponent: int
) -> None:
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))
    matrix = (basis * eigenvalues) @ basis.T * 2.0**exponent
    assert _index(arb_mat(matrix.tolist())) == sum(entry < 0 for entry in eigenvalues)


def test_the_index_of_a_matrix_with_eigenvalues_of_very_different_size_is_found() -> None:
    """A diagonal matrix, turned by exact rotations: eigenvalues 1, 1e-12 and -1e-13."""
    turn = arb_mat([[3, -4, 0], [4, 3, 0], [0, 0, 5]]) / 5 * (arb_mat([[5, 0, 0], [0, 3, -4], [0, 4, 3]]) / 5)
    values: Any = arb_mat([[1, 0, 0], [0, 1e-12, 0], [0, 0, -1e-13]])
    assert _index(turn * values * turn.transpose()) == 1


def test_an_interval_matrix_that_holds_a_singular_one_has_no_index() -> None:
    with pytest.raises(Unproved):
        _index(arb_mat([[arb(1, 1e-9), 1], [1, arb(1, 1e-9)]]))
