"""Functions of data, made of + - · / alone.

About those, every processor and every library agrees to the bit. About e^x they do not: whoever has wider
vectors, or multiplies and adds in one step, has another implementation. Data must be the same numbers everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from basinet.foundation.random_streams import Array

# ln 2 in two parts: whole multiples of the first, up to 2^10, are exact (fdlibm's e_exp.c).
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LARGEST = 708.0  # of an exponent, in size: e^-708 is still a normal number


def exp(x: Array) -> Array:
    """e^x = 2^k e^r with |r| ≤ ½ ln 2, to 2 units in the last place; of |x| > 708, e^±708."""
    x = np.clip(x, -_LARGEST, _LARGEST)
    k = np.rint(x / math.log(2))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    result: Array = np.ldexp(_nested([r / n for n in range(1, 15)]), k.astype(np.int32))
    return result


def logistic(z: Array) -> Array:
    result: Array = 1 / (1 + exp(-z))
    return result


def tanh(z: Array) -> Array:
    """To an absolute error of 3e-16; of small z the relative one is larger."""
    e = exp(-2 * np.abs(z))
    return np.copysign((1 - e) / (1 + e), z)


def softplus(z: Array) -> Array:
    """max(z, 0) + log(1 + e^-|z|), where log(1 + e) = 2 artanh(e / (2 + e))."""
    e = exp(-np.abs(z))
    s = e / (2 + e)  # at most 1/3
    total = np.zeros_like(s)  # Σ s^2n / (2n + 1)
    for n in range(17, -1, -1):
        total = 1 / (2 * n + 1) + s * s * total
    return np.maximum(z, 0.0) + 2 * s * total


def gelu(z: Array) -> Array:
    """z Φ(z), where Φ is the normal distribution function, to an absolute error of 3e-14."""
    return z * np.clip(0.5 + _beyond_half(z), 0.0, 1.0)


def erf(z: Array) -> Array:
    """erf(z / √2) = 2 Φ(z) - 1, the scale of committee machines, to an absolute error of 3e-15."""
    result: Array = np.clip(2 * _beyond_half(z), -1.0, 1.0)
    return result


def _beyond_half(z: Array) -> Array:
    """Φ(z) - ½ = φ(z) (z + z³/3 + z⁵/(3·5) + …).

    Source: Marsaglia (2004), *Evaluating the normal distribution*.
    """
    x = np.clip(z, -9.0, 9.0)  # beyond, Φ is 0 or 1 to rounding
    density = exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return density * (x * _nested([x * x / (2 * n + 1) for n in range(1, 200)]))


def _nested(factors: list[Array]) -> Array:
    """1 + f_1 (1 + f_2 (1 + …))."""
    result = np.ones_like(factors[0])
    for factor in reversed(factors):
        result = 1 + factor * result
    return result


VALUES: dict[str, Callable[[Array], Array]] = {
    "logistic": logistic,
    "tanh": tanh,
    "relu": lambda z: np.maximum(z, 0.0),
    "softplus": softplus,
    "gelu": gelu,
    "erf": erf,
    "identity": lambda z: z,
}
"""σ by the names of `basinet.mlp.activations`."""
