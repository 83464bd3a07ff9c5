"""The mean loss of a network over the samples of a problem, with penalties: what nearly every study minimises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from basinet.foundation.errors import require, unknown
from basinet.foundation.random_streams import Purpose, normal, uniform
from basinet.foundation.threads import single_threaded_operations
from basinet.mlp import curvature
from basinet.mlp.backprop import Forward, backward, forward
from basinet.mlp.layouts import Layout, layout_for
from basinet.mlp.network import Network
from basinet.mlp.problem_symmetry import CarriedSymmetry, sensitivity_kernels
from basinet.mlp.relabelling import Relabelling
from basinet.mlp.sensitivity import input_jacobian
from basinet.mlp.symmetry import SymmetryGroup
from basinet.objectives.losses import LOSSES, Loss
from basinet.permutations.automorphisms import Table, automorphisms
from basinet.permutations.words import Rows
from basinet.protocols import Problem, ProblemSymmetry

_PROBES = 64  # inputs at which functions are compared
_VECTOR = 64  # numbers that sums are padded to a multiple of
_PROJECTIONS = 4  # of the answers: more would not tell more


@dataclass(frozen=True)
class RiskSettings:
    """`objective=empirical_risk`: which loss of a sample, and the penalties."""

    loss: str
    l2_weights: float
    l2_biases: float

    def __post_init__(self) -> None:
        for name in ("l2_weights", "l2_biases"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"objective.{name}={value:g}: must be 0 or more")

    def trained(self, problem: Problem, network: Network) -> Network:
        return network

    def on(self, problem: Problem, network: Network) -> EmpiricalRisk:
        x, y = problem.inputs, problem.targets
        risk = EmpiricalRisk(network, x, y, self.loss, self.l2_weights, self.l2_biases, problem.classes, problem.units)
        if self.loss == "cross_entropy":
            outputs = network.widths[-1]
            require(outputs >= 2, f"objective.loss=cross_entropy: needs at least 2 outputs, the problem has {outputs}")
            proper = bool((y >= 0).all()) and bool(((y.sum(0) - 1).abs() < 1e-9).all())
            require(proper, "objective.loss=cross_entropy: targets must be probabilities that sum to 1")
        return risk

    def on_holdout(self, problem: Problem, network: Network) -> EmpiricalRisk | None:
        x, y = problem.holdout_inputs, problem.holdout_targets
        if x.shape[1] == 0:
            return None
        return EmpiricalRisk(network, x, y, self.loss, classes=problem.classes, units=problem.units)


@dataclass(frozen=True)
class EmpiricalRisk:
    """f(θ) = (1/N) Σ_i ℓ(a_L(x_i), y_i) + ½ l2_weights Σ ‖W_l‖² + ½ l2_biases Σ ‖b_l‖².

    The gradient is made by hand (`basinet.mlp.backprop`). Results for one restart do not depend, to the bit, on which
    others are asked for in the same call.
    """

    network: Network
    inputs: Tensor  # [feature, sample]
    targets: Tensor  # [output, sample]
    loss_name: str = "squared"
    l2_weights: float = 0.0
    l2_biases: float = 0.0
    classes: bool = False  # whether the targets name a class
    units: Tensor | None = None  # [output]: what 1 is of standardized targets

    def __post_init__(self) -> None:
        if self.loss_name not in LOSSES:
            raise unknown("objective.loss", self.loss_name, LOSSES)
        features, outputs = self.network.widths[0], self.network.widths[-1]
        require(
            self.inputs.shape[0] == features, f"the problem has {self.inputs.shape[0]} features, the network {features}"
        )
        require(
            self.targets.shape[0] == outputs, f"the problem has {self.targets.shape[0]} targets, the network {outputs}"
        )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.network.size

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.inputs.shape[1]

    @property
    def chunk_size(self) -> int:
        """Number of restarts whose activations fit the cache."""
        return self.layout.chunk_size(self.network, self.samples, self.inputs.element_size())

    @property
    def parallel_chunks(self) -> bool:
        """Whether several Python threads gain anything."""
        return self.layout.parallel

    @cached_property
    def loss_function(self) -> Loss:
        """The loss of one sample."""
        return LOSSES[self.loss_name]

    @cached_property
    def layout(self) -> Layout:
        """How chunks lie in memory."""
        return layout_for(self.network)

    @cached_property
    def trained_network(self) -> Network:
        """The network as the loss reads it: cross-entropy takes the last pre-activation."""
        output = self.loss_function.output or self.network.output
        return replace(self.network, output=output)

    @cached_property
    def decay(self) -> Tensor | None:
        """The penalty's coefficient of every parameter, `[1, parameter]`; None without penalties."""
        if self.l2_weights == 0 and self.l2_biases == 0:
            return None
        coefficients = self.inputs.new_zeros(1, self.size)
        for layer in self.network.layers(coefficients):
            layer.weight.fill_(self.l2_weights)
            if layer.bias is not None:
                layer.bias.fill_(self.l2_biases)
        return coefficients

    def to(self, device: torch.device, dtype: torch.dtype) -> EmpiricalRisk:
        """The same objective elsewhere, or in another precision."""
        return replace(self, inputs=self.inputs.to(device, dtype), targets=self.targets.to(device, dtype))

    def chunk(self, restarts: int) -> RiskChunk:
        """The objective laid out for a chunk of that many restarts."""
        packed = self.layout.pack(self.inputs.new_zeros(restarts, self.size))
        decay = None if self.decay is None else self.layout.pack(self.decay.expand(restarts, -1))
        return RiskChunk(self, restarts, packed, decay, self.inputs, self.targets)

    def loss(self, theta: Tensor) -> Tensor:
        """f `[restart]` at `theta [restart, parameter]`."""
        return self.loss_and_gradient(theta)[0]

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]`."""
        losses, gradients = [], []
        with single_threaded_operations():
            for chunk, part in self._chunks(theta):
                loss, gradient = chunk.loss_and_gradient(chunk.pack(part))
                losses.append(loss.narrow(0, 0, part.shape[0]).clone())
                gradients.append(chunk.unpack(gradient))
        return torch.cat(losses), torch.cat(gradients)

    def whole(self, theta: Tensor) -> tuple[Network, Tensor]:
        """The network as the loss reads it, whose parameters θ are."""
        return self.trained_network, theta

    def outputs(self, theta: Tensor) -> Tensor:
        """What the network answers, `[restart, output, sample]`: a_L, or softmax(z_L) under cross-entropy."""
        answers = []
        with single_threaded_operations():
            for chunk, part in self._chunks(theta):
                output = chunk.forward(chunk.pack(part)).output
                if self.loss_function.output == "identity":
                    output = torch.softmax(output, 1)
                answers.append(output.narrow(0, 0, part.shape[0]).narrow(2, 0, self.samples))
        return torch.cat(answers)

    def signature(self, theta: Tensor) -> Tensor:
        """What the network does, in 8 numbers `[restart, 8]`: equal for parameters that a symmetry relates.

        Four fixed random projections of its answers to the samples, and four of its answers to 64 probe inputs in a
        box twice as large as the data, which tell apart functions that agree on the samples.
        """
        return torch.cat([self._projected(theta, *probe) for probe in self.probes], 1)

    def _projected(self, theta: Tensor, probed: EmpiricalRisk, coefficients: Tensor) -> Tensor:
        coefficients = coefficients.to(theta)
        parts = [_projections(probed.outputs(part).flatten(1), coefficients) for part in theta.split(self.chunk_size)]
        return torch.cat(parts)

    @cached_property
    def probes(self) -> list[tuple[EmpiricalRisk, Tensor]]:
        """What signatures are made of: the network on the samples and on the probe inputs, each with four directions.

        Directions are rows `[projection, output · sample]` of float64, which answers are multiplied with.
        """
        probes = []
        for inputs in (self.inputs, self._probe_inputs):
            targets = inputs.new_zeros(self.targets.shape[0], inputs.shape[1])
            draws = torch.from_numpy(normal(0, range(_PROJECTIONS), targets.numel(), Purpose.PROBES))
            coefficients = draws / draws.shape[1] ** 0.5
            probes.append((EmpiricalRisk(self.network, inputs, targets, self.loss_name), coefficients))
        return probes

    @cached_property
    def _probe_inputs(self) -> Tensor:
        features = self.inputs.shape[0]
        low, high = self.inputs.amin(1, keepdim=True), self.inputs.amax(1, keepdim=True)
        draws = torch.from_numpy(uniform(0, range(_PROBES), features, Purpose.PROBES)).to(self.inputs).T
        return (low + high) / 2 + (high - low + (high == low)) * (2 * draws - 1)

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """The Hessian's product with one direction per restart, `[restart, parameter]` (`basinet.mlp.curvature`)."""
        return curvature.hvp(self._mean_loss, theta, v)

    def hessian(self, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]` (`basinet.mlp.curvature`)."""
        return curvature.hessian(self._mean_loss, theta)

    @cached_property
    def symmetry(self) -> SymmetryGroup:
        """Which changes of the parameters leave f as it is."""
        softmax = self.loss_name == "cross_entropy"
        return SymmetryGroup(self.trained_network, self.l2_weights, self.l2_biases, softmax)

    @cached_property
    def problem_symmetry(self) -> ProblemSymmetry:
        """Permutations and reflections of inputs and outputs that map the samples with their targets to themselves.

        An input is reflected about the middle of its range where a first bias can make up for that without a penalty,
        else about 0; an output, under the squared loss, where its activation can make up for it.
        Inputs that are constant are left out: exchanging two of them that are equal changes nothing at a minimum.
        """
        features, outputs = self.network.widths[0], self.network.widths[-1]
        centres, turns = self._reflections
        values = torch.cat([self.inputs, self.targets]).numpy() - centres[:, None]
        constant = (self.inputs.amax(1) == self.inputs.amin(1)).numpy()
        stays = np.concatenate([constant, np.zeros(outputs, dtype=np.bool_)])
        kind = np.repeat([0, 1], [features, outputs])
        group = automorphisms(Table(values, kind, np.repeat([True, turns], [features, outputs]), stays))
        names = [Rows("input", range(features)), Rows("output", range(features, features + outputs))]
        return CarriedSymmetry(group, Relabelling(self.trained_network, centres), self._kernels, names)

    @property
    def _reflections(self) -> tuple[npt.NDArray[np.float64], bool]:
        """About which numbers inputs and outputs may be reflected, `[row]`, and whether outputs may be.

        1 - σ(z) = σ(-z) of the logistic function; tanh and erf are odd; where the output is the pre-activation, its
        bias can make up for any centre.
        """
        shifts = self.network.bias and self.l2_biases == 0
        output = self.trained_network.output
        middles = [(values.amax(1) + values.amin(1)) / 2 for values in (self.inputs, self.targets)]
        inputs = middles[0] if shifts else torch.zeros_like(middles[0])
        turns = self.loss_name == "squared" and output in ("logistic", "tanh", "erf", "identity")
        outputs = middles[1] if turns and output == "identity" and shifts else torch.zeros_like(middles[1])
        if turns and output == "logistic":
            outputs = torch.full_like(outputs, 0.5)
        return torch.cat([inputs, outputs]).numpy(), turns

    def _kernels(self, theta: Tensor) -> npt.NDArray[np.float64]:
        """Numbers about pairs of inputs and outputs, of all samples alike and by their losses (`CarriedSymmetry`)."""
        output, jacobian = input_jacobian(self.trained_network, theta, self.inputs)
        losses = self.loss_function.value(output.unsqueeze(0), self.targets.unsqueeze(0)).sum((0, 1))
        if self.loss_function.output is not None:  # of a softmax, which sees differences only
            jacobian = jacobian - jacobian.mean(1, keepdim=True)
        return sensitivity_kernels(jacobian, torch.stack([torch.ones_like(losses), losses]))

    @cached_property
    def scale(self) -> float:
        """What counts as a large value of f: the loss of an answer that is zero everywhere."""
        zero = torch.zeros_like(self.targets).unsqueeze(0)
        value = float(self.loss_function.value(zero, self.targets.unsqueeze(0)).sum() / self.samples)
        return value if value > 0 else 1.0

    @property
    def lowest(self) -> float:
        """0: neither loss nor penalties are negative."""
        return 0.0

    @property
    def rounding(self) -> float:
        """0: losses of samples are not negative, so that none makes up for another."""
        return 0.0

    @property
    def coercive(self) -> bool:
        """Whether every parameter is penalised, so that no bottom is at infinity."""
        return self.l2_weights > 0 and (self.l2_biases > 0 or not self.network.bias)

    def accuracy(self, theta: Tensor) -> Tensor | None:
        """Share of the samples in the right class: the largest output, or the nearer of two target values.

        `[restart]`, NaN where θ is not finite; None where the targets name no class.
        """
        if not self.classes:
            return None
        outputs, targets = self.outputs(theta), self.targets
        if targets.shape[0] > 1:
            right = outputs.argmax(1) == targets.argmax(0)
        else:
            middle = (targets.min() + targets.max()) / 2
            right = ((outputs > middle) == (targets > middle)).squeeze(1)
        return right.to(theta.dtype).mean(1).masked_fill(torch.isfinite(theta).all(1).logical_not(), torch.nan)

    def statement(self) -> dict[str, Any]:
        """Network, loss, penalties and samples, see `basinet.proofs.statement`."""
        network = self.trained_network
        return {
            "loss": self.loss_name,
            "widths": list(network.widths),
            "bias": network.bias,
            "activation": network.activation,
            "output": network.output,
            "l2_weights": float(self.l2_weights),
            "l2_biases": float(self.l2_biases),
            "inputs": self.inputs.T.tolist(),
            "targets": self.targets.T.tolist(),
        }

    def loss_original(self, theta: Tensor) -> Tensor | None:
        """(1/N) Σ_i ½ ‖s (a_L(x_i) - y_i)‖², `[restart]`, where s, the targets' deviations, is what 1 is of each.

        None where the targets were not standardized.
        """
        if self.units is None:
            return None
        errors = (self.outputs(theta) - self.targets) * self.units.unsqueeze(1)
        return errors.square().sum((1, 2)) / (2 * self.samples)

    def kink_distance(self, theta: Tensor) -> Tensor:
        """The smallest |z| over all ReLU units and samples, `[restart]`; inf without ReLU units."""
        if not any(activation.name == "relu" for activation in self.trained_network.activations):
            return theta.new_full((theta.shape[0],), torch.inf)
        nearest = []
        for chunk, part in self._chunks(theta):
            nearest.append(chunk.kink_distance(chunk.pack(part)).narrow(0, 0, part.shape[0]))
        return torch.cat(nearest)

    @cached_property
    def _mean_loss(self) -> curvature.MeanLoss:
        f = self.trained_network, self.inputs, self.targets, self.loss_function, self.decay, self.layout
        return curvature.MeanLoss(*f)

    def _chunks(self, theta: Tensor) -> Iterator[tuple[RiskChunk, Tensor]]:
        chunk = None
        for part in theta.split(self.chunk_size):
            if chunk is None or chunk.restarts != part.shape[0]:
                chunk = self.chunk(part.shape[0])
            yield chunk, part


def _projections(answers: Tensor, coefficients: Tensor) -> Tensor:
    """`answers [restart, entry]` times `coefficients [projection, entry]`, `[restart, projection]`.

    Sums of products in a fixed shape, not a matrix product: that answers differently for another number of restarts.
    """
    entries = -answers.shape[1] % _VECTOR
    padded = pad(answers, (0, entries))
    return torch.stack([(padded * pad(row, (0, entries))).sum(1) for row in coefficients], 1)


class RiskChunk:
    """`EmpiricalRisk` laid out for a chunk of restarts: samples beside the parameters, one buffer for the gradient."""

    def __init__(
        self, risk: EmpiricalRisk, restarts: int, buffer: Tensor, decay: Tensor | None, inputs: Tensor, targets: Tensor
    ) -> None:
        self.risk = risk
        self.restarts = restarts
        self._buffer = buffer  # [restart', parameter']
        self._decay = decay  # [restart', parameter']
        rows = buffer.shape[0]
        self._inputs = risk.layout.pack_samples(inputs, rows)
        self._targets = risk.layout.pack_samples(targets, rows)
        # 1/N for a sample, 0 for a column of padding: [1, 1, sample']
        self._weights = inputs.new_zeros(1, 1, self._targets.shape[2])
        self._weights.narrow(2, 0, inputs.shape[1]).fill_(1 / inputs.shape[1])

    def pack(self, theta: Tensor) -> Tensor:
        return self.risk.layout.pack(theta)

    def unpack(self, packed: Tensor) -> Tensor:
        return (
            packed.narrow(0, 0, self.restarts).narrow(1, 0, self.risk.size).clone(memory_format=torch.contiguous_format)
        )

    def batch(self, samples: Tensor) -> RiskChunk:
        inputs = self.risk.inputs.index_select(1, samples)
        targets = self.risk.targets.index_select(1, samples)
        return RiskChunk(self.risk, self.restarts, self._buffer, self._decay, inputs, targets)

    def forward(self, packed: Tensor) -> Forward:
        """The forward pass; outputs `[restart', output, sample']`."""
        return forward(self.risk.trained_network, self.risk.layout, packed, self._inputs)

    def kink_distance(self, packed: Tensor) -> Tensor:
        """The smallest |z| over all ReLU units and samples, `[restart']`.

        A unit without a bias whose inputs are all zero has z = 0, and no kink: near θ it stays so.
        """
        network, layout, samples = self.risk.trained_network, self.risk.layout, self.risk.samples
        inputs = self.forward(packed).inputs
        distances = []
        for layer, a, activation in zip(network.layers(packed), inputs, network.activations, strict=True):
            if activation.name == "relu":
                z = layout.affine(layer, a).narrow(2, 0, samples).abs()
                if not network.bias:
                    z = z.masked_fill((a == 0).all(1, keepdim=True).narrow(2, 0, samples), torch.inf)
                distances.append(z.amin((1, 2)))
        return torch.stack(distances).amin(0)

    def gradient(self, packed: Tensor) -> Tensor:
        return self._backward(packed, self.forward(packed))

    def loss_and_gradient(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        passed = self.forward(packed)
        per_output = self.risk.loss_function.value(passed.output, self._targets)
        loss = per_output.mul_(self._weights).sum((1, 2))
        if self._decay is not None:
            loss = loss.add_((packed * packed).mul_(self._decay).sum(1), alpha=0.5)
        return loss, self._backward(packed, passed)

    def _backward(self, packed: Tensor, passed: Forward) -> Tensor:
        g = self.risk.loss_function.gradient(passed.output, self._targets).mul_(self._weights)
        backward(self.risk.trained_network, self.risk.layout, packed, passed, g, self._buffer)
        return self._buffer if self._decay is None else self._buffer.addcmul_(packed, self._decay)
