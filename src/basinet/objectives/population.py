"""The population loss of a committee: the mean over all inputs that there could be, in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.errors import ConfigError, require, unknown
from basinet.foundation.random_streams import Purpose, normal
from basinet.foundation.threads import single_threaded_operations
from basinet.mlp.committee import CommitteeLoss
from basinet.mlp.exchange import Exchange
from basinet.mlp.gaussian import KERNELS, LANES, Kernel
from basinet.mlp.layouts import Lanes
from basinet.mlp.network import Network
from basinet.mlp.problem_symmetry import CarriedSymmetry
from basinet.mlp.relabelling import Relabelling
from basinet.mlp.symmetry import SymmetryGroup
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.objectives.plain import Plain
from basinet.permutations.automorphisms import Table, automorphisms
from basinet.permutations.words import Rows
from basinet.protocols import Committee, Problem, ProblemSymmetry, Symmetry

_NUMBERS = 1 << 15  # of one value for each pair of units of a chunk: 256 kB (measured, and so is …)
_MOST = 512  # … restarts of a chunk of small committees
_ROUNDING = 16 * 2.2e-16  # of f near 0, relative to its scale (measured: 3e-16)
_PROBES = 64  # inputs at which functions are compared

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PopulationSettings:
    """`objective=population`: whether output weights are trained, and the penalty."""

    output_weights: Literal["ones", "trained"]
    l2_weights: float

    def __post_init__(self) -> None:
        require(0 <= self.l2_weights < math.inf, f"objective.l2_weights={self.l2_weights:g}: must be 0 or more")

    def trained(self, problem: Problem, network: Network) -> Network:
        """Its first layer alone, where the output weights are fixed at 1."""
        _check(problem, network)
        if self.output_weights == "trained":
            return network
        return Network(network.widths[:2], network.activation, network.activation, bias=False)

    def on(self, problem: Problem, network: Network) -> Population:
        if problem.teacher is None:
            raise ValueError("a population loss needs a teacher: `trained` says so to the user")
        return Population(network.size, network=network, teacher=problem.teacher, l2_weights=self.l2_weights)

    def on_holdout(self, problem: Problem, network: Network) -> None:
        return None


def _check(problem: Problem, network: Network) -> None:
    """Raise `ConfigError` unless the problem has a teacher, and the network is a committee of its kind."""
    mine = "objective=population"
    if problem.teacher is None:
        raise ConfigError(
            f"{mine}: this problem has samples, but no law that they are from; use problem=gaussian_teacher"
        )
    taught = problem.teacher.activation
    if network.activation not in KERNELS:
        raise unknown(f"activation of {mine}, network.activation", network.activation, KERNELS)
    require(
        network.activation == taught,
        f"problem.activation={taught}: {mine} needs that of the student, network.activation={network.activation}",
    )
    require(network.depth == 2, f"network.depth={network.depth}: {mine} needs a hidden layer, network.depth=2")
    require(not network.bias, f"network.bias=true: {mine} has no biases, network.bias=false")
    require(network.output == "identity", f"network.output={network.output}: {mine} needs network.output=identity")
    held_out = problem.holdout_inputs.shape[1]
    require(held_out == 0, f"problem.holdout: {mine} has no samples of which some could be held out, problem.holdout=0")


@dataclass(frozen=True, kw_only=True)
class Population(Plain):
    """f(θ) = ½ E[(Σ_i a_i φ(w_i·x) - Σ_j φ(v_j·x))²] + ½ l2_weights ‖θ‖² over inputs x ~ N(0, I).

    θ is w_1 … w_n, then the output weights a_1 … a_n, unless these are fixed at 1: then `network` has one layer only.
    A ReLU unit with w = 0 is a kink. Value, gradient and Hessian are those of `basinet.mlp.committee`.

    Results for one restart do not depend, to the bit, on which others are asked for in the same call.

    Sources: Saad & Solla (1995) for erf, Safran & Shamir (2018) for ReLU.
    """

    network: Network
    teacher: Committee
    l2_weights: float = 0.0

    lowest: ClassVar[float] = 0.0  # neither a square nor a penalty is negative

    @property
    def features(self) -> int:
        """Of an input."""
        return self.network.widths[0]

    @property
    def units(self) -> int:
        """Of the student."""
        return self.network.widths[1]

    @property
    def trains_outputs(self) -> bool:
        """Whether output weights are parameters."""
        return self.network.depth == 2

    @property
    def kernel(self) -> Kernel:
        """E[φ φ]."""
        return KERNELS[self.teacher.activation]

    @property
    def chunk_size(self) -> int:
        """Number of restarts whose pairs of units fit the cache."""
        pairs = self.units * (self.units + len(self.teacher.units))
        return min(_MOST, max(1, _NUMBERS // (pairs * LANES)) * LANES)

    @cached_property
    def committee(self) -> CommitteeLoss:
        """f without its penalty, of parameters laid out in lanes."""
        return CommitteeLoss(self.kernel, self.teacher.units.to(self.device, self.dtype))

    @cached_property
    def scale(self) -> float:
        """What counts as a large value of f: the loss of an answer that is zero everywhere."""
        return float(CommitteeLoss(self.kernel, self.teacher.units).at_nothing())

    @property
    def rounding(self) -> float:
        """What is left where the pairs of units cancel."""
        return _ROUNDING * self.scale

    @property
    def coercive(self) -> bool:
        """Under a penalty; and of ReLU units with output weights of 1, whose answers cannot make up for each other."""
        return self.l2_weights > 0 or not (self.kernel.bounded or self.trains_outputs)

    @cached_property
    def symmetry(self) -> Symmetry:
        """What may be done to the student's units; see `problem_symmetry` for the teacher's."""
        return SymmetryGroup(self.network, self.l2_weights) if self.trains_outputs else Exchange(self.units)

    @cached_property
    def problem_symmetry(self) -> ProblemSymmetry:
        """Permutations and reflections of the inputs, whose law keeps them, that map the teacher's units to themselves.

        An exchange of the teacher's units is one of the axes on which they lie. Of the rotations of what is orthogonal
        to all of them, these are a part.
        """
        group = automorphisms(Table.of(self.teacher.units.T.numpy()))
        relabelling = Relabelling(self.network, np.zeros(self.features))
        return CarriedSymmetry(group, relabelling, self._unit_kernels, [Rows("input", range(self.features))])

    def _unit_kernels(self, theta: Tensor) -> npt.NDArray[np.float64]:
        """Σ_i p_i p_iᵀ and Σ_i |p_i|² p_i p_iᵀ of p_i = a_i w_i, `[kernel, feature, feature]`."""
        weights = theta[: self.units * self.features].unflatten(0, (self.units, self.features))
        outputs = theta[self.units * self.features :] if self.trains_outputs else theta.new_ones(self.units)
        products = weights * outputs.unsqueeze(1)
        longer = products * torch.linalg.vector_norm(products, dim=1, keepdim=True)
        return torch.stack([products.T @ products, longer.T @ longer]).numpy()

    def chunk(self, restarts: int) -> PopulationChunk:
        return PopulationChunk(self, restarts)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]`."""

        def both(chunk: PopulationChunk, packed: Tensor) -> tuple[Tensor, Tensor]:
            loss, gradient = chunk.loss_and_gradient(packed)
            return loss.narrow(0, 0, chunk.restarts), chunk.unpack(gradient)

        losses, gradients = zip(*self._by_chunk(both, theta, self.chunk_size), strict=True)
        return torch.cat(losses), torch.cat(gradients)

    def hessian(self, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`."""
        return torch.cat(self._by_chunk(PopulationChunk.hessian, theta, LANES))

    def whole(self, theta: Tensor) -> tuple[Network, Tensor]:
        """The student with its output weights, whether these are trained or 1."""
        if not self.trains_outputs:
            theta = torch.cat([theta, theta.new_ones(theta.shape[0], self.units)], 1)
        return self._student, theta

    def signature(self, theta: Tensor) -> Tensor:
        """What the student answers, in 8 numbers `[restart, 8]`: to inputs from the law, and to some in a wider box."""
        return self._probed.signature(self.whole(theta)[1])

    def statement(self) -> dict[str, Any]:
        """Student, teacher and penalty, see `basinet.proofs.statement`."""
        return {
            "loss": "population",
            "widths": list(self.network.widths),
            "bias": False,
            "activation": self.network.activation,
            "output": self.network.output,
            "l2_weights": float(self.l2_weights),
            "teacher": self.teacher.units.tolist(),
        }

    def kink_distance(self, theta: Tensor) -> Tensor:
        """The smallest |w| of a ReLU unit, `[restart]`; inf for erf, which has no kinks."""
        if not self.kernel.kinked:
            return super().kink_distance(theta)
        weights = theta.narrow(1, 0, self.units * self.features).unflatten(1, (self.units, self.features))
        norms: Tensor = torch.linalg.vector_norm(weights, dim=2)
        return norms.amin(1)

    @property
    def _student(self) -> Network:
        """Both of its layers."""
        return Network((self.features, self.units, 1), self.teacher.activation, "identity", bias=False)

    @cached_property
    def _probed(self) -> EmpiricalRisk:
        """The student on a few inputs from the law."""
        inputs = torch.from_numpy(normal(0, range(_PROBES), self.features, Purpose.PROBES)).T.contiguous()
        return EmpiricalRisk(self._student, inputs, inputs.new_zeros(1, _PROBES)).to(self.device, self.dtype)

    def _by_chunk(
        self, function: Callable[[PopulationChunk, Tensor], _Result], theta: Tensor, size: int
    ) -> list[_Result]:
        with single_threaded_operations():
            chunks = [(self.chunk(part.shape[0]), part) for part in theta.split(size)]
            return [function(chunk, chunk.pack(part)) for chunk, part in chunks]


@dataclass(frozen=True)
class PopulationChunk:
    """`Population` for some restarts, which lie innermost in memory, padded to a multiple of `LANES`."""

    population: Population
    restarts: int

    def pack(self, theta: Tensor) -> Tensor:
        return Lanes().pack(theta)

    def unpack(self, packed: Tensor) -> Tensor:
        return packed.narrow(0, 0, self.restarts).clone(memory_format=torch.contiguous_format)

    def batch(self, samples: Tensor) -> PopulationChunk:
        return self

    def gradient(self, packed: Tensor) -> Tensor:
        return self.loss_and_gradient(packed)[1]

    def loss_and_gradient(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        f = self.population
        columns = packed.t().contiguous()  # [parameter, restart]
        loss, outputs, weights = f.committee.slopes(*self._layers(columns), f.scale)
        gradient = torch.cat([weights.flatten(0, 1), outputs]) if f.trains_outputs else weights.flatten(0, 1)
        if f.l2_weights > 0:
            loss.add_((columns * columns).sum(0), alpha=0.5 * f.l2_weights)
            gradient.add_(columns, alpha=f.l2_weights)
        return loss, gradient.t()

    def hessian(self, packed: Tensor) -> Tensor:
        """`[restart, parameter, parameter]`, unpacked."""
        f = self.population
        weights, outputs = self._layers(packed.t().contiguous())
        result = packed.new_zeros(f.size, f.size, packed.shape[0])
        first = f.units * f.features  # of the output weights
        for unit in range(f.units):
            with_units, with_outputs = f.committee.curvatures(unit, weights, outputs)
            columns = result.narrow(1, unit * f.features, f.features)
            columns.narrow(0, 0, first).copy_(with_units.flatten(0, 1))
            if f.trains_outputs:
                columns.narrow(0, first, f.units).copy_(with_outputs)
        if f.trains_outputs:
            result.narrow(0, first, f.units).narrow(1, first, f.units).copy_(f.committee.common(weights))
        result = result.movedim(2, 0).narrow(0, 0, self.restarts).tril()  # what is above the diagonal is not all there
        result = result + result.tril(-1).mT
        result.diagonal(dim1=1, dim2=2).add_(f.l2_weights)
        return result

    def _layers(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The units `[unit, feature, restart]` and the output weights `[unit, restart]`."""
        f = self.population
        first = f.units * f.features
        weights = columns.narrow(0, 0, first).unflatten(0, (f.units, f.features))
        outputs = columns.narrow(0, first, f.units) if f.trains_outputs else columns.new_ones(f.units, columns.shape[1])
        return weights, outputs
