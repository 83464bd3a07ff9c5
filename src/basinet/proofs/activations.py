"""σ, σ' and σ'' of a ball."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flint import arb

from basinet.proofs.balls import ONE, ZERO


class Kinked(ArithmeticError):
    """A ReLU unit may be on at one point of a box, and off at another."""


class Jet(NamedTuple):
    """A function with its first two derivatives, each over the whole of the ball that it was asked for."""

    value: arb
    slope: arb
    curvature: arb


def _logistic(z: arb) -> Jet:
    a, rest = 1 / (1 + (-z).exp()), 1 / (1 + z.exp())
    return Jet(a, a * rest, a * rest * (rest - a))


def _tanh(z: arb) -> Jet:
    a = z.tanh()
    slope = 1 / (z.cosh() * z.cosh())
    return Jet(a, slope, -2 * a * slope)


def _relu(z: arb) -> Jet:
    if z > 0:
        return Jet(z, ONE, ZERO)
    if z < 0 or z.is_zero():  # exactly zero is the input of a unit to which nothing comes, everywhere in the box
        return Jet(ZERO, ZERO, ZERO)
    raise Kinked("a ReLU unit's input may change its sign within the box")


def _softplus(z: arb) -> Jet:
    a, rest = 1 / (1 + (-z).exp()), 1 / (1 + z.exp())
    return Jet((-z).exp().log1p() + z, a, a * rest)


def _density(z: arb) -> arb:
    return (-(z * z) / 2).exp() / (2 * arb.pi()).sqrt()


def _gelu(z: arb) -> Jet:
    below, density = (-z / arb(2).sqrt()).erfc() / 2, _density(z)
    return Jet(z * below, below + z * density, density * (2 - z * z))


def _erf(z: arb) -> Jet:
    density = _density(z)
    return Jet((z / arb(2).sqrt()).erf(), 2 * density, -2 * z * density)


def _identity(z: arb) -> Jet:
    return Jet(z, ONE, ZERO)


JETS: dict[str, Callable[[arb], Jet]] = {
    "logistic": _logistic,
    "tanh": _tanh,
    "relu": _relu,
    "softplus": _softplus,
    "gelu": _gelu,
    "erf": _erf,
    "identity": _identity,
}
"""By the names of `basinet.mlp.activations`."""


def value(name: str, z: arb) -> arb:
    """σ(z) alone, which also a ReLU unit has everywhere."""
    return z.max(ZERO) if name == "relu" else JETS[name](z).value
