"""How many points a parameter vector stands for: the images that the discrete symmetries make of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.mlp.network import Network

Array = npt.NDArray[np.float64]

_EQUAL = 1e-6  # relative to 1 + ‖θ‖: units that differ by less are equal
_TRIES = 100_000  # partial orders of units that are looked at; of more, the stabiliser is not counted


def orbit_sizes(network: Network, flips: bool, theta: Tensor) -> Tensor:
    """The numbers of images |G| / |stabiliser| of parameter vectors, `[restart]` float64.

    G permutes the units of every hidden layer and, with `flips`, changes their signs: Π n! (2ⁿ) elements. An element is
    in the stabiliser if it leaves θ as it is: equal units may be exchanged, units without weights may be flipped, and
    what it does to one layer it has to make up for in the next. Equal units are set aside first, a factor k! for k of
    them; the others are tried one after the other, layer by layer.

    Args:
        network: with logistic units that are flipped, one with biases.
        flips: whether hidden units may change their signs.
        theta: `[restart, parameter]`.

    Returns:
        The numbers; NaN where too many orders would have to be tried, or θ is not finite.

    >>> two_units = Network((1, 2, 1), "softplus", "identity", bias=False)
    >>> equal, unequal = [1.0, 1.0, 3.0, 3.0], [1.0, 2.0, 3.0, 3.0]
    >>> orbit_sizes(two_units, False, torch.tensor([equal, unequal], dtype=torch.float64)).tolist()
    [1.0, 2.0]
    """
    hidden = network.widths[1:-1]
    order = math.prod(math.factorial(n) * (2**n if flips else 1) for n in hidden)
    stabilisers = [_stabiliser(network, flips, row) for row in theta.double().cpu()]
    sizes = [math.nan if size is None else float(order // size) for size in stabilisers]
    return torch.tensor(sizes, dtype=torch.float64, device=theta.device)


def exchanged(one: Tensor, other: Tensor, units: int) -> Tensor:
    """The order of units in which `one [restart]` and `other [restart]` have changed places, `[restart, unit]`.

    >>> exchanged(torch.tensor([0, 1]), torch.tensor([2, 1]), 3).tolist()
    [[2, 1, 0], [0, 1, 2]]
    """
    order = torch.arange(units, device=one.device).repeat(len(one), 1)
    order.scatter_(1, one.unsqueeze(1), other.unsqueeze(1))
    return order.scatter_(1, other.unsqueeze(1), one.unsqueeze(1))


class _Units(NamedTuple):
    """A hidden layer, one row for each class of equal units."""

    rows: Array  # [unit, in]: what comes from the classes of the layer before, or from the inputs
    biases: Array  # [unit, 0 or 1]
    columns: Array  # [unit, out], into all units of the next layer
    copies: list[int]  # how many units are in the class


def _stabiliser(network: Network, flips: bool, theta: Tensor) -> int | None:
    """How many elements of the group leave θ `[parameter]` as it is; None if they are not counted."""
    if not bool(torch.isfinite(theta).all()):
        return None
    tolerance = _EQUAL * (1 + float(torch.linalg.vector_norm(theta)))
    layers, twins = _classes(_odd(network, flips, theta), flips, tolerance)
    counter = _Counter(layers, flips, tolerance)
    try:
        return twins * counter.count(0, np.arange(layers[0].rows.shape[1]), None) if layers else 1
    except _TooManyError:
        return None


def _odd(network: Network, flips: bool, theta: Tensor) -> list[tuple[Array, Array]]:
    """Weights `[out, in]` and biases `[out, 0 or 1]` of every layer; where units are flipped, of odd ones.

    σ(z) = ½ + ½ tanh(z/2): half of what leaves a logistic unit belongs into the next bias, and what is left is odd.
    """
    layers = []
    logistic = flips and network.activation == "logistic"
    for number, layer in enumerate(network.layers(theta.unsqueeze(0))):
        weight = layer.weight[0].numpy().copy()
        bias = np.zeros((len(weight), 0)) if layer.bias is None else layer.bias[0].numpy()[:, None].copy()
        if logistic and number > 0:
            bias += weight.sum(1, keepdims=True) / 2
        layers.append((weight, bias))
    return layers


def _classes(layers: list[tuple[Array, Array]], flips: bool, tolerance: float) -> tuple[list[_Units], int]:
    """The hidden layers with one unit for each class of equal ones, and how many exchanges that sets aside."""
    reduced, twins, kept = [], 1, np.arange(layers[0][0].shape[1])
    for (weight, bias), (following, _) in itertools.pairwise(layers):
        whole = np.column_stack([weight, bias, following.T])
        first: list[int] = []
        copies: list[int] = []
        for unit, values in enumerate(whole):
            known = next((k for k, one in enumerate(first) if _same(values, whole[one], flips, tolerance)), None)
            if known is None:
                first.append(unit)
                copies.append(1)
            else:
                copies[known] += 1
        for unit, count in zip(first, copies, strict=True):
            still = flips and float(np.abs(whole[unit]).max()) <= tolerance
            twins *= math.factorial(count) * (2**count if still else 1)
        reduced.append(_Units(weight[first][:, kept], bias[first], following.T[first], copies))
        kept = np.array(first)
    return reduced, twins


def _same(values: Array, other: Array, flips: bool, tolerance: float) -> bool:
    """Whether two units are equal, up to their sign where that may change."""
    signs = (1, -1) if flips else (1,)
    return any(float(np.abs(values - sign * other).max()) <= tolerance for sign in signs)


class _TooManyError(Exception):
    """More orders than can be tried."""


class _Counter:
    """Counts the orders and signs of classes of units that leave all layers as they are."""

    def __init__(self, layers: list[_Units], flips: bool, tolerance: float) -> None:
        self._layers = layers
        self._signs = (1, -1) if flips else (1,)
        self._tolerance = tolerance
        self._tries = 0

    def count(self, number: int, order: npt.NDArray[np.int64], signs: Array | None) -> int:
        """The number of ways on from layer `number`, whose inputs come in this order, with these signs."""
        if number == len(self._layers):
            return 1
        layer = self._layers[number]
        rows = layer.rows[:, order] * (1.0 if signs is None else signs)
        return sum(self.count(number + 1, *way) for way in self._ways(number, np.column_stack([rows, layer.biases])))

    def _ways(self, number: int, moved: Array) -> Iterator[tuple[npt.NDArray[np.int64], Array]]:
        """Orders and signs with which the units of a layer, their inputs `moved`, are what they were."""
        layer, is_last = self._layers[number], number == len(self._layers) - 1
        wanted = np.column_stack([layer.rows, layer.biases])
        options = [
            [
                (unit, sign)
                for unit, sign in itertools.product(range(len(wanted)), self._signs)
                if self._fits(layer, is_last, place, unit, sign, moved, wanted)
            ]
            for place in range(len(wanted))
        ]
        for chosen in self._choices(options, ()):
            yield np.array([unit for unit, _ in chosen], dtype=np.int64), np.array([float(sign) for _, sign in chosen])

    def _fits(
        self, layer: _Units, is_last: bool, place: int, unit: int, sign: int, moved: Array, wanted: Array
    ) -> bool:
        """Whether a unit can take a place, as far as this layer can tell."""
        if layer.copies[unit] != layer.copies[place]:
            return False
        whole = np.concatenate([wanted[place], layer.columns[place]])
        if sign < 0 and unit == place and float(np.abs(whole).max()) <= self._tolerance:
            return False  # a unit without weights: its flip has been set aside
        column, other = layer.columns[place], sign * layer.columns[unit]
        if not is_last:  # the next layer will see; what it cannot change is what there is, whatever the order and signs
            column, other = np.sort(np.abs(column)), np.sort(np.abs(other))
        near = np.abs(wanted[place] - sign * moved[unit]).max(initial=0.0) <= self._tolerance
        return bool(near and np.abs(column - other).max(initial=0.0) <= self._tolerance)

    def _choices(
        self, options: list[list[tuple[int, int]]], chosen: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[tuple[int, int], ...]]:
        """One option for each place, no unit twice."""
        self._tries += 1
        if self._tries > _TRIES:
            raise _TooManyError
        if len(chosen) == len(options):
            yield chosen
            return
        taken = {unit for unit, _ in chosen}
        for unit, sign in options[len(chosen)]:
            if unit not in taken:
                yield from self._choices(options, (*chosen, (unit, sign)))
