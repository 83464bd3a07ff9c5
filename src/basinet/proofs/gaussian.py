"""k(u, v) = E[φ(u·x) φ(v·x)] over inputs x ~ N(0, I), for two boxes of vectors, with its derivatives.

The formulas are those of `basinet.mlp.gaussian`. Where boxes may hold parallel vectors, a direction of which nothing is
known but that it is no longer than 1 takes the place of p or q: it is multiplied by sin t, which is small there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flint import arb

from basinet.proofs.activations import Kinked
from basinet.proofs.balls import ONE, ZERO, Vector, dot, root

Block = list[Vector]


class Pair(NamedTuple):
    """k of u and v with ∂k/∂u, ∂²k/∂u∂u and ∂²k/∂u∂v."""

    value: arb
    slope: Vector
    same: Block
    mixed: Block


def relu(u: Vector, v: Vector) -> Pair:
    """φ(z) = max(z, 0).

    Raises:
        Kinked: if one of the vectors may be zero.
    """
    if u is v:
        half = ONE / 2
        return Pair(half * dot(u, u), [half * x for x in u], _block(u, lambda i, j: ZERO), _times_identity(u, half))
    u_norm, v_norm = _length(u), _length(v)
    u_unit, v_unit = [x / u_norm for x in u], [x / v_norm for x in v]
    p, total = _direction([b + a for a, b in zip(u_unit, v_unit, strict=True)])  # total = 2 cos(t/2)
    q, difference = _direction([b - a for a, b in zip(u_unit, v_unit, strict=True)])  # difference = 2 sin(t/2)
    sine, cosine = difference * total / 2, (total - difference) * (total + difference) / 4
    supplement = 2 * arb.atan2(total, difference)  # π - t
    n = [(difference * a + total * b) / 2 for a, b in zip(p, q, strict=True)]
    around = 2 * arb.pi()
    pull, spread = v_norm * sine / u_norm / around, supplement / around
    return Pair(
        value=u_norm * v_norm * (sine + supplement * cosine) / around,
        slope=[pull * a + spread * b for a, b in zip(u, v, strict=True)],
        same=_block(u, lambda i, j: pull * (_delta(i, j) - u_unit[i] * u_unit[j] + n[i] * n[j])),
        mixed=_block(u, lambda i, j: spread * _delta(i, j) + sine / around * (p[i] * p[j] - q[i] * q[j])),
    )


def erf(u: Vector, v: Vector) -> Pair:
    """φ(z) = erf(z / √2)."""
    a, b, c = 1 + dot(u, u), 1 + dot(v, v), dot(u, v)
    square = a * b - c * c
    m = [y - c / a * x for x, y in zip(u, v, strict=True)]
    factor = 2 / arb.pi() / square.sqrt()

    def same(i: int, j: int) -> arb:
        across = (u[i] * m[j] + m[i] * u[j]) / a
        return factor * (c / a * (u[i] * u[j] / a - _delta(i, j)) - across + c / square * m[i] * m[j])

    def mixed(i: int, j: int) -> arb:
        return factor * (_delta(i, j) - u[i] * u[j] / a - a / square * m[i] * m[j])

    value = 2 / arb.pi() * arb.atan2(c, square.sqrt())
    return Pair(value, [factor * x for x in m], _block(u, same), _block(u, mixed))


PAIRS: dict[str, Callable[[Vector, Vector], Pair]] = {"relu": relu, "erf": erf}


def _length(vector: Vector) -> arb:
    length = root(dot(vector, vector))
    if not length > 0:
        raise Kinked("the weights of a ReLU unit may all be zero within the box")
    return length


def _direction(vector: Vector) -> tuple[Vector, arb]:
    """A vector over its length, or anything no longer than 1 where that may be zero; and its length."""
    length = root(dot(vector, vector))
    if length > 0:
        return [x / length for x in vector], length
    return [arb(0, 1)] * len(vector), length


def _delta(i: int, j: int) -> arb:
    return ONE if i == j else ZERO


def _block(u: Vector, entry: Callable[[int, int], arb]) -> Block:
    return [[entry(i, j) for j in range(len(u))] for i in range(len(u))]


def _times_identity(u: Vector, factor: arb) -> Block:
    return _block(u, lambda i, j: factor * _delta(i, j))
