"""The population loss of a committee over boxes: sums over pairs of units, as in `basinet.mlp.committee`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from flint import arb, arb_mat

from basinet.proofs.activations import value
from basinet.proofs.balls import ONE, ZERO, Vector, dot, exact
from basinet.proofs.gaussian import PAIRS, Pair
from basinet.proofs.statement import Population, balls, probes


@dataclass(frozen=True)
class CommitteeOverBoxes:
    """F(w, a) = ½ E[(Σ_i a_i φ(w_i·x) - Σ_j φ(v_j·x))²] + ½ λ ‖θ‖²; without trained output weights all a_i are 1.

    With z = (w_1 …, v_1 …), c = (a_1 …, -1 …), S_i = Σ_j c_j k(w_i, z_j) and G_i = Σ_j c_j k'(w_i, z_j):

        ∂F/∂a_i      = S_i                 ∂F/∂w_i      = a_i G_i
        ∂²F/∂a_i∂a_j = k(w_i, w_j)         ∂²F/∂a_j∂w_i = a_i k'(w_i, w_j) + δ_ij G_i
        ∂²F/∂w_i∂w_j = a_i a_j ∂²k/∂u∂v (w_i, w_j) + δ_ij a_i Σ_l c_l ∂²k/∂u∂u (w_i, z_l)
    """

    population: Population

    @property
    def size(self) -> int:
        return self.population.shape.size

    @property
    def units(self) -> int:
        """Of the student."""
        return self.population.shape.widths[1]

    @property
    def features(self) -> int:
        """Of an input."""
        return self.population.shape.widths[0]

    def value(self, theta: Vector) -> arb:
        vectors, factors = self._vectors(theta)
        pairs = itertools.product(zip(vectors, factors, strict=True), repeat=2)
        both = sum((c * d * self._pair(u, v).value for (u, c), (v, d) in pairs), ZERO)
        return both / 2 + self._l2 * dot(theta, theta) / 2

    def gradient(self, theta: Vector) -> Vector:
        total = [self._l2 * own for own in theta]
        for unit, pairs, factors in self._rows(theta):
            for feature, index in enumerate(self.population.shape.row(0, unit)):
                total[index] += factors[unit] * dot(factors, (pair.slope[feature] for pair in pairs))
            if self._trained:
                total[self._output(unit)] += dot(factors, (pair.value for pair in pairs))
        return total

    def hessian(self, theta: Vector) -> arb_mat:
        total = arb_mat(self.size, self.size)
        for index in range(self.size):
            total[index, index] = self._l2
        for unit, pairs, factors in self._rows(theta):
            for i, j in itertools.product(range(self.features), repeat=2):
                row = self.population.shape.row(0, unit)
                for other in range(self.units):
                    column = self.population.shape.row(0, other)[j]
                    total[row[i], column] += factors[unit] * factors[other] * pairs[other].mixed[i][j]
                total[row[i], row[j]] += factors[unit] * dot(factors, (pair.same[i][j] for pair in pairs))
            if self._trained:
                self._add_outputs(total, unit, pairs, factors)
        return total

    def answers(self, theta: Vector) -> Vector:
        """What the committee answers to some inputs."""
        vectors, factors = self._vectors(theta)
        student = list(zip(vectors, factors, strict=True))[: self.units]
        inputs = balls(probes(self.features))
        return [sum((c * value(self.population.activation, dot(u, x)) for u, c in student), ZERO) for x in inputs]

    def _add_outputs(self, total: arb_mat, unit: int, pairs: list[Pair], factors: Vector) -> None:
        for other in range(self.units):
            total[self._output(unit), self._output(other)] += pairs[other].value
        for feature, index in enumerate(self.population.shape.row(0, unit)):
            entries = [factors[unit] * pair.slope[feature] for pair in pairs[: self.units]]
            entries[unit] += dot(factors, (pair.slope[feature] for pair in pairs))
            for other, entry in enumerate(entries):
                total[index, self._output(other)] += entry
                total[self._output(other), index] += entry

    def _rows(self, theta: Vector) -> Iterator[tuple[int, list[Pair], Vector]]:
        """Every unit of the student with all units, and the factors c of these."""
        vectors, factors = self._vectors(theta)
        for unit in range(self.units):
            yield unit, [self._pair(vectors[unit], other) for other in vectors], factors

    def _vectors(self, theta: Vector) -> tuple[list[Vector], Vector]:
        shape = self.population.shape
        student = [[theta[index] for index in shape.row(0, unit)] for unit in range(self.units)]
        outputs = [theta[self._output(unit)] if self._trained else ONE for unit in range(self.units)]
        return [*student, *self._teacher], [*outputs, *[-ONE] * len(self._teacher)]

    def _pair(self, u: Vector, v: Vector) -> Pair:
        return PAIRS[self.population.activation](u, v)

    def _output(self, unit: int) -> int:
        return self.population.shape.row(1, 0)[unit]

    @property
    def _trained(self) -> bool:
        return self.population.shape.depth == 2

    @cached_property
    def _teacher(self) -> list[Vector]:
        return balls(self.population.teacher)

    @cached_property
    def _l2(self) -> arb:
        return exact(self.population.l2_weights)
