"""The symmetries of a network, by hand: one restart, one unit after the other, without a line of the package's own.

θ holds, layer by layer, the weight matrix row by row and then the biases. A hidden unit has an incoming row w with its
bias b, and an outgoing column v in the next layer, whose biases are b'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
Layers = list[tuple[Array, Array]]
"""W `[out, in]` and b `[out]` of every layer, to be changed in place; without biases b is empty."""


class Shape(Protocol):
    """What has to be known of a network."""

    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> str: ...
    @property
    def bias(self) -> bool: ...


class Setting(Protocol):
    """What has to be known of an objective's group: not what it says of itself."""

    @property
    def network(self) -> Shape: ...
    @property
    def l2_weights(self) -> float: ...
    @property
    def l2_biases(self) -> float: ...
    @property
    def softmax(self) -> bool: ...


def split(shape: Shape, row: Array) -> Layers:
    """The layers of one restart, as views of its parameters."""
    layers, begin = [], 0
    for fan_in, fan_out in zip(shape.widths, shape.widths[1:], strict=False):
        middle = begin + fan_out * fan_in
        end = middle + fan_out * shape.bias
        layers.append((row[begin:middle].reshape(fan_out, fan_in), row[middle:end]))
        begin = end
    assert begin == len(row)
    return layers


# One unit, one restart


def exchange(layers: Layers, hidden: int, order: Iterable[int]) -> None:
    """Unit `order[i]` becomes unit i."""
    (weight, bias), (following, _) = layers[hidden], layers[hidden + 1]
    before = weight.copy(), bias.copy(), following.copy()
    for new, old in enumerate(order):
        weight[new] = before[0][old]
        following[:, new] = before[2][:, old]
        if len(bias):
            bias[new] = before[1][old]


def negate(layers: Layers, hidden: int, unit: int, logistic: bool) -> None:
    """(w, b, v) → (-w, -b, -v), and for a logistic unit b' → b' + v, as σ(-z) = 1 - σ(z), where there is a b'."""
    (weight, bias), (following, next_bias) = layers[hidden], layers[hidden + 1]
    if logistic and len(next_bias):
        next_bias += following[:, unit]
    weight[unit] *= -1
    following[:, unit] *= -1
    if len(bias):
        bias[unit] *= -1


def scale(layers: Layers, hidden: int, unit: int, factor: float) -> None:
    """(w, b, v) → (c w, c b, v / c)."""
    (weight, bias), (following, _) = layers[hidden], layers[hidden + 1]
    weight[unit] *= factor
    following[:, unit] /= factor
    if len(bias):
        bias[unit] *= factor


def mingle(layers: Layers, hidden: int, matrix: Array) -> None:
    """(W, b, V) → (A W, A b, V A⁻¹)."""
    (weight, bias), (following, _) = layers[hidden], layers[hidden + 1]
    weight[:] = matrix @ weight
    following[:] = following @ np.linalg.inv(matrix)
    if len(bias):
        bias[:] = matrix @ bias


def carry(layers: Layers, hidden: int, offsets: Array) -> None:
    """(b, b') → (b + t, b' - V t)."""
    (_, bias), (following, next_bias) = layers[hidden], layers[hidden + 1]
    bias += offsets
    next_bias -= following @ offsets


# The same change of one hidden layer in all restarts


def flip(shape: Shape, theta: Tensor, hidden: int, units: Iterable[int]) -> Tensor:
    """Change the sign of some units of a hidden layer."""
    units = list(units)

    def change(layers: Layers) -> None:
        for unit in units:
            negate(layers, hidden, unit, shape.activation == "logistic")

    return changed(shape, theta, change)


def rescale(shape: Shape, theta: Tensor, hidden: int, factors: Iterable[float]) -> Tensor:
    """Scale the units of a hidden layer."""
    factors = list(factors)

    def change(layers: Layers) -> None:
        for unit, factor in enumerate(factors):
            scale(layers, hidden, unit, factor)

    return changed(shape, theta, change)


def mix(shape: Shape, theta: Tensor, hidden: int, matrix: Tensor) -> Tensor:
    """Mix the units of a hidden layer."""
    return changed(shape, theta, lambda layers: mingle(layers, hidden, matrix.numpy()))


def shift(shape: Shape, theta: Tensor, hidden: int, offsets: Tensor) -> Tensor:
    """Move a part of a hidden layer's biases into the next layer's."""
    return changed(shape, theta, lambda layers: carry(layers, hidden, offsets.numpy()))


def changed(shape: Shape, theta: Tensor, change: Callable[[Layers], None]) -> Tensor:
    """θ `[restart, parameter]` with every restart changed."""
    rows = theta.detach().numpy().copy()
    for row in rows:
        change(split(shape, row))
    return torch.from_numpy(rows)


# All of them


def random_copies(group: Setting, theta: Tensor, seed: int) -> Tensor:
    """A random equivalent of every restart `[restart, parameter]`, by all symmetries that hold there.

    Scales are between 1/8 and 8.
    """
    random = np.random.default_rng(seed)
    return changed(group.network, theta, lambda layers: _change(group, layers, random))


def _change(group: Setting, layers: Layers, random: np.random.Generator) -> None:
    name, bias = group.network.activation, group.network.bias
    free_biases = bias and group.l2_biases == 0
    for hidden in range(len(layers) - 1):
        weight, biases = layers[hidden]
        units = len(weight)
        exchange(layers, hidden, random.permutation(units))
        if name in ("tanh", "erf", "identity") or (name == "logistic" and free_biases):
            for unit in np.flatnonzero(random.random(units) < 0.5):
                negate(layers, hidden, int(unit), name == "logistic")
        # A penalty on the biases does not see those that are 0.
        unseen = np.ones(units, dtype=bool) if free_biases or not bias else biases == 0
        if name == "relu" and group.l2_weights == 0:
            for unit in np.flatnonzero(unseen):
                scale(layers, hidden, int(unit), 2 ** random.uniform(-3, 3))
        if name == "identity":
            matrix, _ = np.linalg.qr(random.normal(size=(units, units)))
            if group.l2_weights == 0 and unseen.all():
                matrix = matrix * 2 ** random.uniform(-3, 3, units)
            mingle(layers, hidden, matrix)
            if free_biases:
                carry(layers, hidden, random.normal(size=units))
    weight, biases = layers[-1]
    if group.softmax and group.l2_weights == 0:
        weight += random.normal(size=weight.shape[1])  # the same for every output
    if group.softmax and free_biases:
        biases += random.normal()
