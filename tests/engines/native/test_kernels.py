"""The elementary functions of the kernels against 60 digits, over the whole range of numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
import torch

from basinet.engines.native.library import Library, Shape, curvature_library
from basinet.objectives.empirical_risk import EmpiricalRisk

Array = npt.NDArray[np.floating]
Risks = Callable[..., EmpiricalRisk]

DTYPES = {"float64": torch.float64, "float32": torch.float32}
ULPS = {"float64": 2, "float32": 4}  # of e^x, as promised
dtypes = pytest.mark.parametrize("dtype", list(DTYPES))


def kernel(risk_of: Risks, activation: str, dtype: str) -> Library:
    risk = risk_of(activation, DTYPES[dtype])
    return curvature_library(Shape.of(risk, DTYPES[dtype]))


def called(library: Library, name: str, x: Array, *order: int) -> Array:
    """A function of the library at every entry of x."""
    x = np.ascontiguousarray(x)
    y = np.full_like(x, 12345)
    getattr(library._loaded, name)(*order, x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p), len(x))
    return y


# --- e^x -----------------------------------------------------------------------------------------------------------


def every_exponent(dtype: str) -> Array:
    """± numbers of every exponent there is, subnormal ones too: the power of two, its neighbours, and some between."""
    kind = np.finfo(dtype)
    powers = np.exp2(np.arange(kind.minexp - kind.nmant, kind.maxexp, dtype=np.float64)).astype(dtype)
    random = np.random.default_rng(0).uniform(1, 2, (4, len(powers))).astype(dtype)
    positive = np.concatenate(
        [powers, np.nextafter(powers, dtype(0)), np.nextafter(powers, dtype(np.inf)), (random * powers).ravel()]
    )
    return np.concatenate([positive, -positive])


def range_of(dtype: str) -> tuple[float, float]:
    """A little more than where e^x is neither 0 nor inf."""
    return (-746.0, 710.0) if dtype == "float64" else (-105.0, 89.5)


def edges(dtype: str) -> Array:
    """Where results become subnormal, 0 and infinite, and where the exponent of the result changes; with neighbours."""
    kind = np.finfo(dtype)
    exponents = np.arange(kind.minexp - kind.nmant - 2, kind.maxexp + 2)
    halves = np.concatenate([exponents, exponents + 0.5]) * np.log(2)
    limits = np.log([float(kind.max), float(kind.tiny)])
    points = np.concatenate([halves, limits, [np.log(float(kind.tiny)) - kind.nmant * np.log(2), 0]]).astype(dtype)
    near = [points]
    for side in (dtype(np.inf), dtype(-np.inf)):
        step = points
        for _ in range(3):
            step = np.nextafter(step, side)
            near.append(step)
    return np.concatenate(near)


def distance(found: Array, exact: Array) -> npt.NDArray[np.int64]:
    """How many floating-point numbers two positive ones are apart; inf is the one after the largest."""
    integer = {np.dtype(np.float64): np.int64, np.dtype(np.float32): np.int32}[found.dtype]
    return np.abs(found.view(integer).astype(np.int64) - exact.view(integer).astype(np.int64))


def rounded_exponential(x: Array) -> Array:
    """e^x, correctly rounded from 60 digits."""
    with mpmath.workdps(60), np.errstate(over="ignore"):
        exact = np.array([float(mpmath.exp(mpmath.mpf(float(value)))) for value in x])
        return exact.astype(x.dtype)  # to float32 from float64: twice rounded, which is one in 2^29 the neighbour


@dtypes
def test_exponentials_are_right_to_their_last_places_over_the_whole_range(risk_of: Risks, dtype: str) -> None:
    random = np.random.default_rng(1)
    low, high = range_of(dtype)
    kind = np.dtype(dtype).type
    x = np.concatenate(
        [every_exponent(kind), edges(kind), random.uniform(low, high, 8000), random.uniform(-2, 2, 4000)]
    ).astype(dtype)
    found, exact = called(kernel(risk_of, "logistic", dtype), "exponentials", x), rounded_exponential(x)
    assert distance(found, exact).max() <= ULPS[dtype]
    subnormal = (exact > 0) & (exact < np.finfo(dtype).tiny)
    assert subnormal.sum() > 100
    assert {0.0, np.inf} <= set(exact.tolist())


@dtypes
def test_exponentials_at_the_ends_and_of_what_is_no_number(risk_of: Risks, dtype: str) -> None:
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).max, np.finfo(dtype).min], dtype=dtype)
    found = called(kernel(risk_of, "logistic", dtype), "exponentials", x)
    np.testing.assert_array_equal(found, np.array([1, 1, np.inf, 0, np.nan, np.inf, 0], dtype=dtype))
    assert not np.signbit(found[[3, 6]]).any()


@pytest.mark.stress
@dtypes
def test_ten_million_exponentials_are_right_to_their_last_places(risk_of: Risks, dtype: str) -> None:
    """The oracle is the C library's exponential with 11 digits more (float64: long double) or in double (float32)."""
    wide = np.longdouble if dtype == "float64" else np.float64
    if np.finfo(wide).nmant < np.finfo(dtype).nmant + 11:
        pytest.skip("no wider numbers here")
    library, random = kernel(risk_of, "logistic", dtype), np.random.default_rng(2)
    low, high = range_of(dtype)
    worst, largest = 0, 0.0
    for _ in range(10):
        x = np.concatenate([random.uniform(low, high, 700_000), random.normal(0, 2, 300_000)]).astype(dtype)
        with np.errstate(over="ignore"):
            exact = np.exp(x.astype(wide))
            rounded = exact.astype(dtype)
        found = called(library, "exponentials", x)
        worst = max(worst, int(distance(found, rounded).max()))
        finite = np.isfinite(rounded)
        errors = np.abs(found[finite].astype(wide) - exact[finite]) / np.spacing(rounded[finite])
        largest = max(largest, float(errors.max()))
    print(f"\n{dtype}: {largest:.3f} units in the last place, {worst} from the correctly rounded number")
    assert worst <= ULPS[dtype]


# --- Activations ---------------------------------------------------------------------------------------------------

mp = mpmath


def _logistic(z: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-z))


def _density(z: mp.mpf) -> mp.mpf:
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def _distribution(z: mp.mpf) -> mp.mpf:
    return mp.erfc(-z / mp.sqrt(2)) / 2


Functions = list[Callable[[mp.mpf], mp.mpf]]
DEFINITIONS: dict[str, Functions] = {  # σ, σ', σ''
    "logistic": [
        _logistic,
        lambda z: _logistic(z) * _logistic(-z),
        lambda z: _logistic(z) * _logistic(-z) * (_logistic(-z) - _logistic(z)),
    ],
    "tanh": [mp.tanh, lambda z: mp.sech(z) ** 2, lambda z: -2 * mp.tanh(z) * mp.sech(z) ** 2],
    "relu": [lambda z: max(z, mp.mpf(0)), lambda z: mp.mpf(z > 0), lambda z: mp.mpf(0)],
    "softplus": [lambda z: mp.log1p(mp.exp(z)), _logistic, lambda z: _logistic(z) * _logistic(-z)],
    "gelu": [
        lambda z: z * _distribution(z),
        lambda z: _distribution(z) + z * _density(z),
        lambda z: _density(z) * (2 - z * z),
    ],
    "identity": [lambda z: z, lambda z: mp.mpf(1), lambda z: mp.mpf(0)],
}
each = pytest.mark.parametrize(("activation", "order"), [(a, n) for a in DEFINITIONS for n in range(3)])


def arguments(activation: str, dtype: str) -> Array:
    """Numbers of all sizes, to where the last tail ends."""
    random = np.random.default_rng(3)
    far = {"float64": 745.0, "float32": 103.0}[dtype]
    if activation == "gelu":
        far = {"float64": 38.5, "float32": 14.4}[dtype]
    spans = [random.uniform(-s, s, 400) for s in (1.5, 6.0, 20.0, 40.0) if s <= far]
    small = random.choice([-1, 1], 300) * np.exp2(random.uniform(-200 if dtype == "float64" else -100, 0, 300))
    return np.concatenate([*spans, random.uniform(-far, far, 400), np.linspace(-far, far, 101), small]).astype(dtype)


@cache
def compared(risk_of: Risks, activation: str, order: int, dtype: str) -> tuple[Array, Array, Array, Array]:
    """z, the exact values, the errors, and the unit of the exact values' last place, all but z in float64."""
    z = arguments(activation, dtype)
    found = called(kernel(risk_of, activation, dtype), "activations", z, order)
    with mp.workdps(60):
        exact = [DEFINITIONS[activation][order](mp.mpf(float(value))) for value in z]
        errors = np.array([float(abs(mp.mpf(float(y)) - e)) for y, e in zip(found, exact, strict=True)])
        values = np.array([float(e) for e in exact])
    unit = np.spacing(np.maximum(np.abs(values), np.finfo(dtype).tiny).astype(dtype)).astype(np.float64)
    return z.astype(np.float64), values, errors, unit


@dtypes
@each
def test_values_slopes_and_curvatures_are_right_to_some_roundings_of_numbers_of_size_one(
    risk_of: Risks, activation: str, order: int, dtype: str
) -> None:
    _, values, errors, _ = compared(risk_of, activation, order, dtype)
    # 4.6 is found: tanh'' = -2 a (1 - a²) takes an error of 1.2 in a with a factor of up to 4.
    assert (errors <= 6 * np.finfo(dtype).eps * np.maximum(1, np.abs(values))).all()


# Where errors are small relative to the value itself, however small that is: units in the last place, and on which
# side of 0. Elsewhere it is not so: 1 - a of a logistic near 1 has lost the digits of the tail, as in the torch engine.
TAILS = [
    # e^z to 1.1, then a sum and a quotient
    *(("logistic", order, "left", 4) for order in (0, 1)),
    # u = e^(-2|z|) - 1 to 2, then -u / (2 + u)
    *(("tanh", 0, side, 4) for side in ("left", "right")),
    # e^z to 1.1, then a quotient and a polynomial; its slope 1 - e^-a and curvature from a
    *(("softplus", order, "left", 5) for order in (0, 1, 2)),
    *(("softplus", order, "right", 4) for order in (0, 1)),
    # e^(-z²/2) with the rounding of z² made good, a polynomial, a quotient, four products
    *(("gelu", 0, side, 7) for side in ("left", "right")),
    *(("gelu", 2, side, 7) for side in ("left", "right")),
    ("gelu", 1, "right", 6),
]


@dtypes
@pytest.mark.parametrize(("activation", "order", "side", "ulps"), TAILS)
def test_tails_are_right_to_some_units_of_their_own_last_place(
    risk_of: Risks, activation: str, order: int, side: str, ulps: int, dtype: str
) -> None:
    z, values, errors, unit = compared(risk_of, activation, order, dtype)
    # What is subnormal on the way (densities below tiny that z² makes normal again) has lost digits already.
    tiny = float(np.finfo(dtype).tiny) * (3000 if activation == "gelu" else 1)
    tail = (z < 0 if side == "left" else z >= 0) & (np.abs(values) > tiny)
    assert tail.sum() > 500
    assert (errors[tail] <= ulps * unit[tail]).all(), (errors[tail] / unit[tail]).max()


@dtypes
def test_the_slope_of_gelu_is_right_in_the_left_tail(risk_of: Risks, dtype: str) -> None:
    z, values, errors, unit = compared(risk_of, "gelu", 1, dtype)
    tail = (z < -2) & (np.abs(values) > 3000 * float(np.finfo(dtype).tiny))  # it is 0 at -.75
    assert tail.sum() > 300
    # Φ + z φ: two tails to 5 units each, of which the difference leaves no less than half.
    assert (errors[tail] <= 12 * unit[tail]).all()


@dtypes
def test_the_curvature_of_softplus_is_right_in_the_right_tail(risk_of: Risks, dtype: str) -> None:
    z, values, errors, unit = compared(risk_of, "softplus", 2, dtype)
    tail = (z > 2) & (values > float(np.finfo(dtype).tiny))
    assert tail.sum() > 300
    # e^-a with a rounded to a unit of z: a relative error of z times that of a.
    assert (errors[tail] <= (4 + z[tail]) * unit[tail]).all()


@dtypes
@pytest.mark.parametrize("activation", ["logistic", "softplus"])
def test_tails_beyond_the_normal_numbers_are_as_good_as_zero(risk_of: Risks, activation: str, dtype: str) -> None:
    z, values, errors, _ = compared(risk_of, activation, 0, dtype)
    tail = (z < 0) & (values < np.finfo(dtype).tiny)
    assert tail.any()
    assert (errors[tail] < np.finfo(dtype).tiny).all()


SPECIAL = {  # at -inf, -1e15, 0, 0, 1e15, inf; σ, σ', σ'' each
    "logistic": ([0, 0, 0.5, 0.5, 1, 1], [0, 0, 0.25, 0.25, 0, 0], [0, 0, 0, 0, 0, 0]),
    "tanh": ([-1, -1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]),
    "relu": ([0, 0, 0, 0, 1e15, np.inf], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]),
    "softplus": (
        [0, 0, np.log(2), np.log(2), 1e15, np.inf],
        [0, 0, 0.5, 0.5, 1, 1],
        [0, 0, 0.25, 0.25, 0, 0],
    ),
    # At the infinities 0 · ∞ is no number, as in the torch engine: a network has diverged by then.
    "gelu": ([np.nan, 0, 0, 0, 1e15, np.inf], [np.nan, 0, 0.5, 0.5, 1, np.nan], [np.nan, 0, 0.8, 0.8, 0, np.nan]),
    "identity": ([-np.inf, -1e15, 0, 0, 1e15, np.inf], [1] * 6, [0] * 6),
}


@dtypes
@each
def test_activations_at_the_ends_and_of_what_is_no_number(
    risk_of: Risks, activation: str, order: int, dtype: str
) -> None:
    z = np.array([-np.inf, -1e15, -0.0, 0.0, 1e15, np.inf, np.nan], dtype=dtype)  # the hook makes 0 of -0
    found = called(kernel(risk_of, activation, dtype), "activations", z, order)
    expected = np.array(SPECIAL[activation][order], dtype=dtype)
    if (activation, order) == ("gelu", 2):
        expected[2:4] = 2 / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found[:6], expected, rtol=2 * np.finfo(dtype).eps, atol=0)
    constant = (activation, order) in {("relu", 1), ("relu", 2), ("identity", 1), ("identity", 2)}
    assert np.isnan(found[6]) != constant
    if (activation, order) == ("tanh", 0):
        assert not np.signbit(found[3])
