"""Linear algebra in lanes against LAPACK and 40 digits: spectra of every kind, in any company, on any processor."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
import torch

from basinet.engines.native.compiler import SOURCES, build
from slowness import slow_but

Array = npt.NDArray[np.float64]

EPSILON = 2.0**-52
SIZES = slow_but([7], (1, 2, 3, 7, 16, 40, 128))
PROCESSORS: Mapping[str, tuple[str, ...]] = {
    "AVX2": ("-mno-avx512f",),
    "SSE2": ("-mno-avx512f", "-mno-avx2", "-mno-avx", "-mno-fma"),
}
sizes = pytest.mark.parametrize("size", SIZES)


class Lanes:
    """linear_algebra.h compiled for matrices of one size."""

    def __init__(self, size: int, *flags: str) -> None:
        source = Path(__file__).with_name("linear_algebra.cpp")
        path = build(str(source), {"REAL": "double", "SIZE": size}, ("-I", str(SOURCES), *flags))
        self._loaded = ctypes.CDLL(str(path))
        self.count: int = self._loaded.lanes()

    def eigenvalues(self, matrices: Array) -> Array:
        values = np.full(matrices.shape[:2], 12345.0)
        self._call("eigenvalues", matrices, values)
        return values

    def eigenvectors(self, matrices: Array) -> tuple[Array, Array]:
        """Values `[matrix, eigenvalue]` and vectors `[matrix, row, eigenvalue]`."""
        values, vectors = np.full(matrices.shape[:2], 12345.0), np.full(matrices.shape, 12345.0)
        self._call("eigenvectors", matrices, values, vectors)
        return values, vectors.transpose(0, 2, 1)

    def solve(self, matrices: Array, right: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        x, positive = right.copy(), np.zeros(len(matrices), dtype=bool)
        self._call("solve_positive", matrices, x, positive)
        return x, positive

    def _call(self, name: str, matrices: Array, *results: npt.NDArray[np.generic]) -> None:
        matrices = np.ascontiguousarray(matrices)
        pointers = [ctypes.c_void_p(result.ctypes.data) for result in results]
        getattr(self._loaded, name)(ctypes.c_void_p(matrices.ctypes.data), ctypes.c_int64(len(matrices)), *pointers)


@cache
def lanes(size: int, processor: str = "") -> Lanes:
    return Lanes(size, *PROCESSORS.get(processor, ()))


def rotated(rng: np.random.Generator, spectrum: Array) -> Array:
    """A symmetric matrix that has this spectrum, to rounding."""
    q, _ = np.linalg.qr(rng.normal(size=(len(spectrum), len(spectrum))))
    return lower((q * spectrum) @ q.T)


def lower(matrix: Array) -> Array:
    """Symmetric to the bit."""
    return np.tril(matrix) + np.tril(matrix, -1).T


def matrices_of(size: int) -> dict[str, Array]:
    rng = np.random.default_rng(size)
    ones, numbers = np.ones(size), np.arange(size)
    squares = rng.normal(size=(size, size))
    grades = 10.0 ** (-16.0 * numbers / max(1, size - 1))
    wilkinson = np.diag(np.abs(numbers - (size - 1) / 2)) + np.eye(size, k=1) + np.eye(size, k=-1)
    random = {f"random {k}": lower(rng.normal(size=(size, size))) for k in range(20)}
    return {
        **random,
        "clustered": rotated(rng, ones + 1e-12 * rng.normal(size=size)),
        "in two clusters": rotated(rng, np.where(numbers % 2, 1.0, -1e-6) + 1e-14 * rng.normal(size=size)),
        "graded by its spectrum": rotated(rng, grades),
        "graded by its entries": lower(squares * np.sqrt(grades[:, None] * grades)),
        "graded upwards": lower(squares * np.sqrt(grades[:, None] * grades)[::-1, ::-1]),
        "of rank one": np.outer(squares[0], squares[0]),
        "singular, with noise": rotated(rng, np.where(numbers < 2, 1.0, 1e-17)),
        "zero": np.zeros((size, size)),
        "the identity": np.eye(size),
        "diagonal": np.diag(rng.normal(size=size)),
        "tridiagonal, with close pairs": wilkinson,
        "all the same": np.ones((size, size)),
        "nearly subnormal entries": lower(squares * 1e-300),
        "subnormal entries": lower(squares * 1e-310),
        "very large entries": lower(squares * 1e300),
        "one large entry": lower(squares * 1e-170 + np.outer(numbers == 0, numbers == 0)),
    }


def norms(matrices: Array) -> Array:
    """Largest |λ|, with what rounding leaves of subnormal numbers."""
    return np.abs(np.linalg.eigvalsh(matrices)).max(1) + 1e-307


# Reflections and rotations round some N times; .6 of this is the most that was found.
def allowed(size: int) -> float:
    return (size + 10) * EPSILON


@sizes
def test_eigenvalues_are_lapacks_to_rounding(size: int) -> None:
    named = matrices_of(size)
    found, scale = lanes(size).eigenvalues(stack := np.stack(list(named.values()))), norms(stack)
    errors = np.abs(found - np.linalg.eigvalsh(stack)).max(1) / scale
    assert dict(zip(named, errors <= allowed(size), strict=True)) == dict.fromkeys(named, True), errors
    assert (np.diff(found) >= 0).all()


@sizes
def test_eigenvectors_are_orthonormal_and_what_they_say(size: int) -> None:
    named = matrices_of(size)
    stack = np.stack(list(named.values()))
    values, vectors = lanes(size).eigenvectors(stack)
    scale = norms(stack)[:, None, None]
    relative = stack / scale
    residual = np.abs(relative @ vectors - vectors * (values[:, None, :] / scale)).max((1, 2))
    inclined = np.abs(vectors.transpose(0, 2, 1) @ vectors - np.eye(size)).max((1, 2))
    assert dict(zip(named, residual <= allowed(size), strict=True)) == dict.fromkeys(named, True), residual
    assert dict(zip(named, inclined <= allowed(size), strict=True)) == dict.fromkeys(named, True), inclined
    assert (np.diff(values) >= 0).all()


def test_eigenvalues_are_right_by_forty_digits() -> None:
    size = 7
    named = {name: matrix for name, matrix in matrices_of(size).items() if "random" not in name or name[-1] == "0"}
    stack = np.stack(list(named.values()))
    found, scale = lanes(size).eigenvalues(stack), norms(stack)
    with mpmath.workdps(40):
        for row, matrix, norm in zip(found, stack, scale, strict=True):
            exact = sorted(mpmath.eigsy(mpmath.matrix(matrix.tolist()), eigvals_only=True))
            assert max(abs(mpmath.mpf(x) - y) for x, y in zip(row, exact, strict=True)) <= allowed(size) * norm


@sizes
def test_solutions_have_backward_errors_of_rounding(size: int) -> None:
    rng = np.random.default_rng(1)
    spectra = [10.0 ** rng.uniform(-k, 0, size) for k in range(13)]
    stack, right = np.stack([rotated(rng, spectrum) for spectrum in spectra]), rng.normal(size=(13, size))
    x, positive = lanes(size).solve(stack, right)
    assert positive.all()
    residual = np.abs(np.einsum("mij,mj->mi", stack, x) - right).max(1)
    # Higham (2002), Theorem 10.4: a small multiple of N ε ‖A‖ ‖x‖, and ‖b‖ for the residual itself.
    sizes_ = norms(stack) * np.linalg.norm(x, axis=1) + np.linalg.norm(right, axis=1)
    assert (residual <= (size + 2) * EPSILON * sizes_).all(), residual / sizes_


@sizes
def test_whether_a_matrix_is_positive_definite_is_seen(size: int) -> None:
    rng = np.random.default_rng(2)
    spectra = [np.ones(size)] + [np.where(np.arange(size) == k, -1e-8, 1.0) for k in range(size)]
    stack = np.stack([*(rotated(rng, spectrum) for spectrum in spectra), np.zeros((size, size))])
    _, positive = lanes(size).solve(stack, np.ones((len(stack), size)))
    assert positive.tolist() == [True] + [False] * (size + 1)


def broken(size: int) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Matrices some of which hold what is no number, and which."""
    stack = np.stack(list(matrices_of(size).values()))
    rng = np.random.default_rng(3)
    bad = rng.random(len(stack)) < 0.3
    for matrix, value in zip(stack[bad], rng.choice([np.nan, np.inf, -np.inf], bad.sum()), strict=True):
        i, k = rng.integers(size, size=2)
        matrix[i, k] = matrix[k, i] = value
    for index in np.flatnonzero(bad):
        i = rng.integers(size)
        stack[index, i, i] = rng.choice([np.nan, np.inf, -np.inf])
    return stack, bad


def test_what_is_no_number_gives_none_and_disturbs_no_neighbour() -> None:
    size = 7
    stack, bad = broken(size)
    whole = np.stack(list(matrices_of(size).values()))
    values, (again, vectors) = lanes(size).eigenvalues(stack), lanes(size).eigenvectors(stack)
    assert 3 < bad.sum() < len(bad) - 3
    assert np.isnan(values[bad]).all()
    assert np.isnan(again[bad]).all()
    same(values[~bad], lanes(size).eigenvalues(whole)[~bad])
    for mine, theirs in zip((again, vectors), lanes(size).eigenvectors(whole), strict=True):
        same(mine[~bad], theirs[~bad])
    _, positive = lanes(size).solve(stack, np.ones(stack.shape[:2]))
    assert not positive[bad & np.isnan(stack).any((1, 2))].any()


def same(found: Array, expected: Array) -> None:
    """To the bit, but for what no number is made of."""
    one, other = (np.where(np.isnan(values), np.nan, values).view(np.uint64) for values in (found, expected))
    np.testing.assert_array_equal(one, other)


def everything(lanes_: Lanes, stack: Array) -> list[Array]:
    x, positive = lanes_.solve(stack, np.ones(stack.shape[:2]))
    return [lanes_.eigenvalues(stack), *map(np.ascontiguousarray, lanes_.eigenvectors(stack)), x[positive]]


def test_a_matrix_has_the_same_results_to_the_bit_in_any_company() -> None:
    stack, _ = broken(7)
    order = np.random.default_rng(4).permutation(len(stack))
    found = lanes(7).eigenvectors(stack)
    for shuffled, mine in zip(lanes(7).eigenvectors(stack[order]), found, strict=True):
        same(np.ascontiguousarray(shuffled), np.ascontiguousarray(mine[order]))
    for index in range(0, len(stack), 5):
        for alone, mine in zip(lanes(7).eigenvectors(stack[index : index + 1]), found, strict=True):
            same(np.ascontiguousarray(alone[0]), np.ascontiguousarray(mine[index]))


@pytest.mark.slow
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="there is nothing to leave out")
@pytest.mark.parametrize("size", [16])
@pytest.mark.parametrize("processor", list(PROCESSORS))
def test_every_processor_has_the_same_results_to_the_bit(processor: str, size: int) -> None:
    stack, _ = broken(size)
    assert lanes(size, processor).count == {"AVX2": 4, "SSE2": 2}[processor]
    for mine, theirs in zip(everything(lanes(size), stack), everything(lanes(size, processor), stack), strict=True):
        same(mine, theirs)
