"""The empirical risk over boxes: forwards, backwards, and once more for every direction.

The recursions are those of `basinet.mlp.backprop` and `curvature`, sample by sample and unit by unit, on balls:

    z = W a + b                 δ = g ∘ σ'(z)                          g_below = Wᵀ δ
    Rz = W Ra + V a + c         Rδ = Rg ∘ σ'(z) + g ∘ σ''(z) ∘ Rz      Rg_below = Wᵀ Rδ + Vᵀ δ

with (V, c) the unit vectors of all parameters at once. Source: Pearlmutter (1994), *Fast exact multiplication by the
Hessian*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from flint import arb, arb_mat

from basinet.proofs.activations import JETS, Jet, value
from basinet.proofs.balls import ONE, ZERO, Vector, dot, exact
from basinet.proofs.statement import Risk, balls, probes


class _Layer(NamedTuple):
    """What a forward pass leaves of a layer."""

    inputs: Vector  # a of the layer below
    jets: list[Jet]  # of σ at z, [unit]

    @property
    def outputs(self) -> Vector:
        return [jet.value for jet in self.jets]


class _Slopes(NamedTuple):
    """The loss of one sample with its derivatives with respect to the network's outputs."""

    value: arb
    gradient: Vector
    curvature: list[Vector]


@dataclass(frozen=True)
class RiskOverBoxes:
    """f(θ) = (1/N) Σ_i ℓ(a_L(x_i), y_i) + ½ Σ_j λ_j θ_j²."""

    risk: Risk

    @property
    def size(self) -> int:
        return self.risk.shape.size

    def value(self, theta: Vector) -> arb:
        losses = (self._loss(self._forward(theta, x)[-1].outputs, y).value for x, y in self._samples)
        penalty = dot(self._decay, (parameter * parameter for parameter in theta)) / 2
        return sum(losses, ZERO) / len(self._samples) + penalty

    def gradient(self, theta: Vector) -> Vector:
        total = [ZERO] * self.size
        for x, y in self._samples:
            layers = self._forward(theta, x)
            g = self._loss(layers[-1].outputs, y).gradient
            for number in reversed(range(len(layers))):
                layer = layers[number]
                delta = [one * jet.slope for one, jet in zip(g, layer.jets, strict=True)]
                for index, slope in self._outer(number, delta, layer.inputs):
                    total[index] += slope
                g = self._transposed(theta, number, delta)
        samples = len(self._samples)
        return [entry / samples + l2 * own for entry, l2, own in zip(total, self._decay, theta, strict=True)]

    def hessian(self, theta: Vector) -> arb_mat:
        total = arb_mat(self.size, self.size)
        for x, y in self._samples:
            total += self._hessian_of(theta, x, y)
        total /= len(self._samples)
        for index, l2 in enumerate(self._decay):
            total[index, index] += l2
        return total

    def answers(self, theta: Vector) -> Vector:
        """What the network answers to the samples and some other inputs; beside its first output under a softmax."""
        inputs = [*balls(probes(self.risk.shape.widths[0])), *(x for x, _ in self._samples)]
        answers = [self._answer(theta, x) for x in inputs]
        if self.risk.loss == "cross_entropy":
            answers = [[one - answer[0] for one in answer[1:]] for answer in answers]
        return [one for answer in answers for one in answer]

    def _hessian_of(self, theta: Vector, x: Vector, y: Vector) -> arb_mat:
        """The Hessian of one sample's loss; row by row, the directions are the columns."""
        layers = self._forward(theta, x)
        moved_inputs, moved_z = self._moved(theta, layers)
        loss = self._loss(layers[-1].outputs, y)
        moved_outputs = [_times(row, jet.slope) for row, jet in zip(moved_z[-1], layers[-1].jets, strict=True)]
        g, moved_g = loss.gradient, [_combined(row, moved_outputs, self.size) for row in loss.curvature]
        rows: list[Vector] = [[]] * self.size
        for number in reversed(range(len(layers))):
            layer = layers[number]
            delta = [one * jet.slope for one, jet in zip(g, layer.jets, strict=True)]
            moved = [
                _combined([jet.slope, one * jet.curvature], [row, z], self.size)
                for one, jet, row, z in zip(g, layer.jets, moved_g, moved_z[number], strict=True)
            ]
            for unit, (one, row) in enumerate(zip(delta, moved, strict=True)):
                pairs = zip(self.risk.shape.row(number, unit), layer.inputs, moved_inputs[number], strict=True)
                for index, a, moved_a in pairs:
                    rows[index] = _combined([a, one], [row, moved_a], self.size)
                if self.risk.shape.bias:
                    rows[self.risk.shape.offset(number, unit)] = row
            g, moved_g = self._below(theta, number, delta, moved)
        return arb_mat(rows)

    def _moved(self, theta: Vector, layers: Sequence[_Layer]) -> tuple[list[list[Vector]], list[list[Vector]]]:
        """Ra of the layer below and Rz of every layer, `[layer][unit][parameter]`."""
        shape = self.risk.shape
        inputs: list[list[Vector]] = [[[ZERO] * self.size for _ in layers[0].inputs]]
        moved: list[list[Vector]] = []
        for number, layer in enumerate(layers):
            moved.append([])
            for unit in range(len(layer.jets)):
                row = _combined([theta[index] for index in shape.row(number, unit)], inputs[-1], self.size)
                for index, a in zip(shape.row(number, unit), layer.inputs, strict=True):
                    row[index] += a
                if shape.bias:
                    row[shape.offset(number, unit)] += ONE
                moved[-1].append(row)
            inputs.append([_times(row, jet.slope) for row, jet in zip(moved[-1], layer.jets, strict=True)])
        return inputs, moved

    def _below(self, theta: Vector, number: int, delta: Vector, moved: list[Vector]) -> tuple[Vector, list[Vector]]:
        """g and Rg of the layer below; of the inputs nobody asks."""
        if number == 0:
            return [], []
        shape, result = self.risk.shape, []
        for source in range(shape.widths[number]):
            indices = [shape.row(number, unit)[source] for unit in range(len(delta))]
            row = _combined([theta[index] for index in indices], moved, self.size)
            for index, one in zip(indices, delta, strict=True):
                row[index] += one
            result.append(row)
        return self._transposed(theta, number, delta), result

    def _answer(self, theta: Vector, a: Vector) -> Vector:
        for number, activation in enumerate(self._activations):
            a = [value(activation, z) for z in self._affine(theta, number, a)]
        return a

    def _forward(self, theta: Vector, x: Vector) -> list[_Layer]:
        layers, a = [], x
        for number, activation in enumerate(self._activations):
            layers.append(_Layer(a, [JETS[activation](z) for z in self._affine(theta, number, a)]))
            a = layers[-1].outputs
        return layers

    def _affine(self, theta: Vector, number: int, a: Vector) -> Iterator[arb]:
        """z = W a + b."""
        shape = self.risk.shape
        for unit in range(shape.widths[number + 1]):
            z = dot((theta[index] for index in shape.row(number, unit)), a)
            yield z + theta[shape.offset(number, unit)] if shape.bias else z

    def _transposed(self, theta: Vector, number: int, delta: Vector) -> Vector:
        shape = self.risk.shape
        rows = [shape.row(number, unit) for unit in range(len(delta))]
        return [dot((theta[row[source]] for row in rows), delta) for source in range(shape.widths[number])]

    def _outer(self, number: int, delta: Vector, a: Vector) -> Iterator[tuple[int, arb]]:
        """δ aᵀ and δ, by where they belong in θ."""
        for unit, one in enumerate(delta):
            for index, source in zip(self.risk.shape.row(number, unit), a, strict=True):
                yield index, one * source
            if self.risk.shape.bias:
                yield self.risk.shape.offset(number, unit), one

    def _loss(self, outputs: Vector, y: Vector) -> _Slopes:
        return (_cross_entropy if self.risk.loss == "cross_entropy" else _squared)(outputs, y)

    @cached_property
    def _activations(self) -> list[str]:
        """Of every layer."""
        return [self.risk.activation] * (self.risk.shape.depth - 1) + [self.risk.output]

    @cached_property
    def _samples(self) -> list[tuple[Vector, Vector]]:
        return list(zip(balls(self.risk.inputs), balls(self.risk.targets), strict=True))

    @cached_property
    def _decay(self) -> Vector:
        """The penalty's coefficient of every parameter."""
        biases = self.risk.shape.offsets()
        weights, offsets = exact(self.risk.l2_weights), exact(self.risk.l2_biases)
        return [offsets if index in biases else weights for index in range(self.size)]


def _squared(a: Vector, y: Vector) -> _Slopes:
    errors = [one - target for one, target in zip(a, y, strict=True)]
    identity = [[ONE if i == j else ZERO for j in range(len(a))] for i in range(len(a))]
    return _Slopes(dot(errors, errors) / 2, errors, identity)


def _cross_entropy(z: Vector, y: Vector) -> _Slopes:
    """Σ_k y_k (log Σ_j e^z_j - z_k); that the y_k sum to 1 up to rounding is not used."""
    shift = max((one.mid() for one in z), key=float)
    powers = [(one - shift).exp() for one in z]
    whole = sum(powers, ZERO)
    p = [power / whole for power in powers]
    total = sum(y, ZERO)
    value = dot(y, (whole.log() + shift - one for one in z))
    gradient = [total * share - target for share, target in zip(p, y, strict=True)]
    curvature = [
        [total * (p[i] * (1 - p[i]) if i == j else -p[i] * p[j]) for j in range(len(z))] for i in range(len(z))
    ]
    return _Slopes(value, gradient, curvature)


def _times(row: Vector, factor: arb) -> Vector:
    return _combined([factor], [row], len(row))


def _combined(factors: Sequence[arb], rows: Sequence[Vector], size: int) -> Vector:
    """Σ factor · row; zeros, of which there are many where inputs are zero, take no time."""
    total = [ZERO] * size
    for factor, row in zip(factors, rows, strict=True):
        if not factor.is_zero():
            total = [
                sofar if entry.is_zero() else sofar + factor * entry for sofar, entry in zip(total, row, strict=True)
            ]
    return total
