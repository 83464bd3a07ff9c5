"""Continuous symmetries: which parameters are held fast, so that a critical point is isolated among the others.

A critical point on an orbit is never isolated. On a slice that the orbit crosses transversally it can be, and one of f
on the slice is one of f: along the orbit f does not change, and both together span everything. The slice is that of the
points that agree in some parameters:

* the scale of a ReLU unit, (w, b, v) → (c w, c b, v / c), by its largest incoming parameter, which is not zero;
* what a softmax does not see, (W_L, b_L) → (W_L + 1 uᵀ, b_L + β 1), by what comes into the first output.

Each symmetry moves what is held fast for it, nothing that is held for others of its layer or of earlier ones, and
perhaps what is held for later ones: the matrix of these rates is triangular, with no zero on its diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from basinet.proofs.statement import Population, Risk


class Continuous(NamedTuple):
    """The continuous symmetries of an objective, at points where no incoming parameter of a unit is special."""

    scales: bool  # of hidden ReLU units
    weights_shift: bool  # of the last layer, under a softmax
    biases_shift: bool  # … its biases


def continuous(of: Risk | Population) -> Continuous:
    """Those that can be held; `unfixable` names the others."""
    free_weights = of.l2_weights == 0
    if isinstance(of, Population):
        return Continuous(of.activation == "relu" and free_weights and of.shape.depth == 2, False, False)
    free_biases = of.shape.bias and of.l2_biases == 0
    softmax = of.loss == "cross_entropy"
    scales = of.activation == "relu" and free_weights and (free_biases or not of.shape.bias)
    return Continuous(scales, softmax and free_weights, softmax and free_biases)


def unfixable(of: Risk | Population) -> str | None:
    """Why nothing can be proved of an objective; None if it can."""
    if of.activation != "identity" or of.shape.depth == 1:
        return None
    assert isinstance(of, Risk)
    turned = any(units > 1 for units in of.shape.widths[1:-1])
    if turned or of.l2_weights == 0 or (of.shape.bias and of.l2_biases == 0):
        return "linear hidden units can be mixed continuously, and no gauge is fixed for that"
    return None


def held(of: Risk | Population, theta: Sequence[float]) -> list[int]:
    """The parameters that are held fast at a point, ascending."""
    symmetries, shape, result = continuous(of), of.shape, set[int]()
    if symmetries.scales:
        for layer in range(shape.depth - 1):
            for unit in range(shape.widths[layer + 1]):
                result.add(max(shape.incoming(layer, unit), key=lambda index: abs(theta[index])))
    if symmetries.weights_shift:
        result.update(shape.row(shape.depth - 1, 0))
    if symmetries.biases_shift:
        result.add(shape.offset(shape.depth - 1, 0))
    return sorted(result)
