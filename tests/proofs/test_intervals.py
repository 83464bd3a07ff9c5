"""What is computed over a box holds what is there at every point of it, in 200 bits and by other formulas.

The oracle is f as it is defined, in mpmath, and its derivatives by central differences: with steps of 2^-44 in 200 bits
they are exact to some 1e-25.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("flint")

from flint import arb, arb_mat

from basinet.proofs.balls import around, exact
from basinet.proofs.check import Jet
from basinet.proofs.check import population as checked_population
from basinet.proofs.check import risk as checked_risk
from basinet.proofs.statement import hexadecimals, read
from basinet.proofs.theorem import smooth

mp = mpmath.mp.clone()
mp.prec = 200
STEP, EXACT = mp.mpf(2) ** -44, mp.mpf(10) ** -22


def erf(x: Any) -> Any:
    """The error function; mpmath's own drops the cubic term near 0, which second differences see."""
    return 2 * x / mp.sqrt(mp.pi) * mp.hyp1f1(mp.mpf(1) / 2, mp.mpf(3) / 2, -x * x)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "logistic": lambda z: 1 / (1 + mp.exp(-z)),
    "tanh": mp.tanh,
    "relu": lambda z: max(z, mp.mpf(0)),
    "softplus": lambda z: mp.log(1 + mp.exp(z)),
    "gelu": lambda z: z * (1 + erf(z / mp.sqrt(2))) / 2,
    "erf": lambda z: erf(z / mp.sqrt(2)),
    "identity": lambda z: z,
}
numbers = st.floats(-2, 2)


def value(statement: dict[str, Any], theta: list[Any]) -> Any:
    """f, from its definition."""
    return (committee if statement["loss"] == "population" else risk)(statement, theta)


def risk(statement: dict[str, Any], theta: list[Any]) -> Any:
    total, rest, network = mp.mpf(0), list(theta), []
    for i, o in itertools.pairwise(statement["widths"]):
        W, rest = [rest[k * i : (k + 1) * i] for k in range(o)], rest[o * i :]
        b, rest = (rest[:o], rest[o:]) if statement["bias"] else ([mp.mpf(0)] * o, rest)
        network.append((W, b))
        total += mp.mpf(statement["l2_weights"]) / 2 * sum(w * w for row in W for w in row)
        total += mp.mpf(statement["l2_biases"]) / 2 * sum(c * c for c in b)
    for x, y in zip(statement["inputs"], statement["targets"], strict=True):
        a = [mp.mpf(entry) for entry in x]
        for W, b in network:
            last = W is network[-1][0]
            z = [sum(w * s for w, s in zip(row, a, strict=True)) + c for row, c in zip(W, b, strict=True)]
            a = [ACTIVATIONS[statement["output" if last else "activation"]](entry) for entry in z]
        if statement["loss"] == "squared":
            loss = sum((s - mp.mpf(t)) ** 2 for s, t in zip(a, y, strict=True)) / 2
        else:
            loss = sum(mp.mpf(t) * (mp.log(sum(map(mp.exp, a))) - s) for s, t in zip(a, y, strict=True))
        total += loss / len(statement["inputs"])
    return total


def committee(statement: dict[str, Any], theta: list[Any]) -> Any:
    d, n = statement["widths"][:2]
    units = [theta[k * d : (k + 1) * d] for k in range(n)] + [[mp.mpf(x) for x in row] for row in statement["teacher"]]
    outputs = theta[n * d :] or [mp.mpf(1)] * n
    c = [*outputs, *[mp.mpf(-1)] * len(statement["teacher"])]
    total = mp.mpf(statement["l2_weights"]) / 2 * sum(x * x for x in theta)
    for i, j in itertools.product(range(len(units)), repeat=2):
        u, v = units[i], units[j]
        uu, vv, uv = (sum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((u, u), (v, v), (u, v)))
        if statement["activation"] == "erf":
            k = 2 / mp.pi * mp.asin(uv / mp.sqrt((1 + uu) * (1 + vv)))
        else:
            t = mp.acos(min(max(uv / mp.sqrt(uu * vv), mp.mpf(-1)), mp.mpf(1)))
            k = mp.sqrt(uu * vv) / (2 * mp.pi) * (mp.sin(t) + (mp.pi - t) * mp.cos(t))
        total += c[i] * c[j] * k / 2
    return total


def shifted(theta: list[Any], *moves: tuple[int, int]) -> list[Any]:
    result = list(theta)
    for index, sign in moves:
        result[index] += sign * STEP
    return result


def slope(statement: dict[str, Any], theta: list[Any], i: int) -> Any:
    up, down = (value(statement, shifted(theta, (i, sign))) for sign in (1, -1))
    return (up - down) / (2 * STEP)


def curvature(statement: dict[str, Any], theta: list[Any], i: int, j: int) -> Any:
    signs = itertools.product((1, -1), repeat=2)
    return sum(s * t * value(statement, shifted(theta, (i, s), (j, t))) for s, t in signs) / (4 * STEP**2)


def holds(ball: arb, number: Any) -> bool:
    low, high = (
        mp.mpf(end.man_exp()[0].__int__()) * mp.mpf(2) ** int(end.man_exp()[1]) for end in (ball.lower(), ball.upper())
    )
    return bool(low - EXACT <= number <= high + EXACT)


def assert_holds(
    statement: dict[str, Any], centre: list[float], radius: float, shares: list[float], entry: int
) -> None:
    """f, its gradient, and a row of its Hessian, by the prover and by the checker."""
    f, size = smooth(read(statement)), len(centre)
    box = around([exact(x) for x in centre], arb(radius), range(size))
    theta = [mp.mpf(x) + mp.mpf(radius) * mp.mpf(share) for x, share in zip(centre, shares, strict=True)]
    units = arb_mat(size, size, 1).tolist()
    jets = [Jet(x, arb_mat([e]), arb_mat(size, size)) for x, e in zip(box, units, strict=True)]
    checked = (checked_population if statement["loss"] == "population" else checked_risk)(hexadecimals(statement), jets)
    gradient, hessian = f.gradient(box), f.hessian(box)
    assert holds(f.value(box), value(statement, theta))
    assert holds(checked.value, value(statement, theta))
    for i in range(size):
        number = slope(statement, theta, i)
        assert holds(gradient[i], number)
        assert holds(checked.gradient[0, i], number)
        number = curvature(statement, theta, entry, i)
        assert holds(hessian[entry, i], number)
        assert holds(checked.hessian[entry, i], number)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "activation",
    ["logistic", *(pytest.param(name, marks=SLOW) for name in ("gelu", "tanh", "softplus", "erf", "identity"))],
)
@pytest.mark.parametrize(("loss", "widths"), [("squared", [1, 2, 1]), ("cross_entropy", [1, 1, 2])])
@settings(max_examples=2)
@given(data=st.data())
def test_the_risk_over_a_box_holds_the_risk_at_each_of_its_points(
    activation: str, loss: str, widths: list[int], data: st.DataObject
) -> None:
    size = 7 if loss == "squared" else 6
    targets = [[0.3] if loss == "squared" else [0.25, 0.75], [-1.0] if loss == "squared" else [0.5, 0.5]]
    statement = {
        "loss": loss,
        "widths": widths,
        "bias": True,
        "activation": activation,
        "output": "logistic" if loss == "squared" else "identity",
        "l2_weights": 0.01,
        "l2_biases": 0.003,
        "inputs": data.draw(st.lists(st.tuples(numbers).map(list), min_size=2, max_size=2)),
        "targets": targets,
    }
    centre = data.draw(st.lists(numbers, min_size=size, max_size=size))
    shares = data.draw(st.lists(st.floats(-1, 1), min_size=size, max_size=size))
    radius = data.draw(st.sampled_from([2.0**-8, 2.0**-30]))
    assert_holds(statement, centre, radius, shares, data.draw(st.integers(0, size - 1)))


@settings(max_examples=4)
@given(
    shares=st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    bias=st.sampled_from([-0.5, 0.5]),
    weight=st.sampled_from([-1.25, 1.5]),
)
def test_so_it_is_with_relu_units_that_keep_their_sign(shares: list[float], bias: float, weight: float) -> None:
    statement = {"loss": "squared", "widths": [1, 1, 1], "bias": True, "activation": "relu", "output": "identity"}
    statement |= {
        "l2_weights": 0.0,
        "l2_biases": 0.1,
        "inputs": [[1.0], [-1.0], [0.25]],
        "targets": [[1.0], [0.0], [2.0]],
    }
    for entry in (0, 2):
        assert_holds(statement, [weight, bias, 0.75, 0.1], 2.0**-6, shares, entry)


@pytest.mark.parametrize("activation", ["relu", pytest.param("erf", marks=SLOW)])
@pytest.mark.parametrize("trained", [True, pytest.param(False, marks=SLOW)])
@settings(max_examples=2)
@given(data=st.data())
def test_so_it_is_with_the_population_loss(activation: str, trained: bool, data: st.DataObject) -> None:
    size = 6 if trained else 4
    widths = [2, 2, 1] if trained else [2, 2]
    statement = {"loss": "population", "widths": widths, "bias": False, "activation": activation}
    statement |= {
        "output": "identity" if trained else activation,
        "l2_weights": 0.01,
        "teacher": [[1.0, 0.0], [0.0, 1.0]],
    }
    away = st.floats(0.5, 2) | st.floats(-2, -0.5)  # a ReLU unit is not 0
    centre = data.draw(st.lists(away, min_size=size, max_size=size))
    shares = data.draw(st.lists(st.floats(-1, 1), min_size=size, max_size=size))
    assert_holds(statement, centre, 2.0**-10, shares, data.draw(st.integers(0, size - 1)))


@pytest.mark.parametrize("shares", [[0.1, 0.9, -0.7, 0.3]])
@pytest.mark.parametrize("sign", [1.0, pytest.param(-1.0, marks=SLOW)])
def test_so_it_is_where_relu_units_are_nearly_parallel(shares: list[float], sign: float) -> None:
    """The box holds the teacher itself, or its opposite."""
    statement = {"loss": "population", "widths": [2, 2], "bias": False, "activation": "relu", "output": "relu"}
    statement |= {"l2_weights": 0.0, "teacher": [[1.0, 0.0], [0.0, 1.0]]}
    for entry in (0, 1):
        assert_holds(statement, [sign, 0.0, 0.0, 1.0], 2.0**-12, shares, entry)
