"""Symmetries of a problem, by hand: one exchange, one reflection after the other, on the lists of W and b."""

from __future__ import annotations

from naive_symmetries import Layers


def exchange_inputs(layers: Layers, i: int, j: int) -> None:
    """x_i and x_j change places."""
    weight = layers[0][0]
    weight[:, [i, j]] = weight[:, [j, i]]


def reflect_input(layers: Layers, i: int, centre: float) -> None:
    """x_i → 2 c - x_i: w (2 c - x) + b = -w x + (b + 2 c w)."""
    weight, bias = layers[0]
    if len(bias):
        bias += 2 * centre * weight[:, i]
    weight[:, i] *= -1


def exchange_outputs(layers: Layers, i: int, j: int) -> None:
    """y_i and y_j change places."""
    weight, bias = layers[-1]
    weight[[i, j]] = weight[[j, i]]
    if len(bias):
        bias[[i, j]] = bias[[j, i]]


def reflect_output(layers: Layers, i: int, added: float) -> None:
    """z → added - z before the output's activation."""
    weight, bias = layers[-1]
    weight[i] *= -1
    if len(bias):
        bias[i] = added - bias[i]
