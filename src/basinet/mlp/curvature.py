"""Second derivatives by hand: Hessian–vector products and exact Hessians, batched over restarts.

A Hessian–vector product is one more forward and one more backward pass, differentiated along a direction: that is
Pearlmutter's R-operator. The whole Hessian is not made of `size` such products. A parameter reaches the loss through
the pre-activation of its own unit only, so it is enough to differentiate along every unit's pre-activation; the
products with the units' inputs that turn this into the Hessian of the parameters are matrix products over the samples.

Tensors are filled by `add_` and `mul_` where `copy_` would do: a build without CUDA can check those for their device.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.threads import single_threaded_operations
from basinet.mlp.backprop import Forward, forward
from basinet.mlp.layouts import Lanes, Layout
from basinet.mlp.network import Layer, Network

_Indices = npt.NDArray[np.int64]

_ELEMENTS = 1 << 20  # that a chunk works on: what the caches like (measured)
_FEWEST_SAMPLES = 64  # in a block of samples: matrix products with fewer are slow
_VECTOR = 32  # rows and blocks of samples come in multiples of 128 bytes in either precision, see `layouts`


class SampleLoss(Protocol):
    """The loss of one sample ℓ(a, y), as curvature needs it; tensors are `[restart, output, …]`."""

    @property
    def gradient(self) -> Callable[[Tensor, Tensor], Tensor]:
        """∂ℓ/∂a at (a, y)."""
        ...

    @property
    def curvature(self) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The product ∂²ℓ/∂a² v at (a, y), of (a, y, v)."""
        ...


@dataclass(frozen=True)
class MeanLoss:
    """f(θ) = (1/N) Σ_n ℓ(a_L(x_n), y_n) + ½ Σ decay θ²: what is differentiated twice, and how it lies in memory."""

    network: Network  # as the loss reads it: its output is the a of ℓ(a, y)
    inputs: Tensor  # [feature, sample]
    targets: Tensor  # [output, sample]
    loss: SampleLoss
    decay: Tensor | None  # [1, parameter]
    layout: Layout

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.inputs.shape[1]


def hvp(f: MeanLoss, theta: Tensor, v: Tensor) -> Tensor:
    """The product of the Hessian at θ with one direction per restart.

    With R the derivative along v, whose layers are V_l and c_l, and g_l = ∂f/∂a_l:

        Rz_l = V_l a_{l-1} + W_l Ra_{l-1} + c_l        Ra_l = σ'_l ∘ Rz_l        Rg_L = ℓ'' Ra_L / N
        Rδ_l = Rg_l ∘ σ'_l + g_l ∘ σ''_l ∘ Rz_l        Rg_{l-1} = V_lᵀ δ_l + W_lᵀ Rδ_l
        R∂W_l = Rδ_l a_{l-1}ᵀ + δ_l Ra_{l-1}ᵀ        R∂b_l = Σ_samples Rδ_l

    Source: Pearlmutter (1994), *Fast exact multiplication by the Hessian*.

    Args:
        f: the function.
        theta: where, `[restart, parameter]`.
        v: directions, `[restart, parameter]`.

    Returns:
        H v `[restart, parameter]`. On the CPU a row does not depend, to the bit, on the others.
    """
    size = f.layout.chunk_size(f.network, f.samples, theta.element_size())
    parts = zip(theta.split(size), v.split(size), strict=True)
    with single_threaded_operations():
        return torch.cat([_hvp_of_chunk(f, part, direction) for part, direction in parts])


def hessian(f: MeanLoss, theta: Tensor) -> Tensor:
    """The exact Hessian at θ of every restart.

    With ã = a and a 1 appended for the bias, for layers m ≤ l, their units o and p and inputs i and j:

        H[(l, o, i), (m, p, j)] = Σ_samples (∂δ_l[o]/∂z_m[p] ã_{l-1}[i] + δ_l[o] ∂a_{l-1}[i]/∂z_m[p]) ã_{m-1}[j]

    and the decay on the diagonal. The derivatives along z_m[p] come from the R-operator with Rz_m = e_p. Every entry
    below the diagonal is computed once and copied above it: H = Hᵀ to the bit.

    It takes about samples · size² multiplications and additions a restart. The result takes size² numbers a restart;
    ask for fewer restarts at a time if that is too much.

    Source: Bishop (1992), *Exact calculation of the Hessian matrix for the multilayer perceptron*.

    Args:
        f: the function.
        theta: where, `[restart, parameter]`.

    Returns:
        ∂²f/∂θ² `[restart, parameter, parameter]`. On the CPU a matrix does not depend, to the bit, on the others.
    """
    size = f.network.size
    places = torch.as_tensor(_places(f.network), device=theta.device)
    restarts, samples = _chunk_sizes(f)
    result = theta.new_zeros(theta.shape[0], size, size)
    blocks: list[_Samples] = []
    with single_threaded_operations():
        for part, out in zip(theta.split(restarts), result.split(restarts), strict=True):
            packed = f.layout.pack(part)
            if not blocks or part.shape[0] != restarts:  # all chunks but the last have the same size
                columns = zip(f.inputs.split(samples, 1), f.targets.split(samples, 1), strict=True)
                blocks = [_packed_samples(f, packed.shape[0], *column) for column in columns]
            entries = _entries(f, packed, blocks, places)
            out.add_(entries.narrow(0, 0, part.shape[0]).unflatten(1, (size, size)))
    if f.decay is not None:
        result.diagonal(dim1=1, dim2=2).add_(f.decay)
    return result


class _Samples(NamedTuple):
    """Some of the samples, packed beside a chunk of restarts."""

    inputs: Tensor  # [restart' or 1, feature, sample']
    targets: Tensor  # [restart' or 1, output, sample']
    weights: Tensor  # [1, 1, sample']: 1/N, and 0 for a column of padding


def _packed_samples(f: MeanLoss, restarts: int, inputs: Tensor, targets: Tensor) -> _Samples:
    packed_targets = f.layout.pack_samples(targets, restarts)
    weights = inputs.new_zeros(1, 1, packed_targets.shape[2])
    weights.narrow(2, 0, inputs.shape[1]).fill_(1 / f.samples)
    return _Samples(f.layout.pack_samples(inputs, restarts), packed_targets, weights)


def _derivatives(network: Network, passed: Forward) -> tuple[list[Tensor], list[Tensor]]:
    """σ'_l and σ''_l of every layer, `[restart, out, sample]`."""
    pairs = list(zip(network.activations, passed.kept, strict=True))
    return [sigma.slope(kept) for sigma, kept in pairs], [sigma.curvature(kept) for sigma, kept in pairs]


# Hessian–vector products


def _hvp_of_chunk(f: MeanLoss, theta: Tensor, v: Tensor) -> Tensor:
    packed, packed_v, first, second = (f.layout.pack(t) for t in (theta, v, torch.zeros_like(v), torch.zeros_like(v)))
    _write_terms(f, packed, packed_v, first, second)
    product = first.add_(second)
    if f.decay is not None:
        product.addcmul_(f.layout.pack(f.decay.expand(theta.shape[0], -1)), packed_v)
    unpacked = product.narrow(0, 0, theta.shape[0]).narrow(1, 0, f.network.size)
    return unpacked.clone(memory_format=torch.contiguous_format)


def _write_terms(f: MeanLoss, packed: Tensor, packed_v: Tensor, first: Tensor, second: Tensor) -> None:
    """Write Rδ_l a_{l-1}ᵀ and Σ Rδ_l into `first`, δ_l Ra_{l-1}ᵀ into `second`."""
    layout = f.layout
    samples = _packed_samples(f, packed.shape[0], f.inputs, f.targets)
    passed = forward(f.network, layout, packed, samples.inputs)
    slopes, bends = _derivatives(f.network, passed)
    W, V, firsts, seconds = (list(f.network.layers(tensor)) for tensor in (packed, packed_v, first, second))

    Rz: list[Tensor] = []
    Ra: list[Tensor] = []
    for index in range(f.network.depth):
        z = layout.affine(V[index], passed.inputs[index])
        Rz.append(z if index == 0 else z.add_(layout.affine(Layer(W[index].weight, None), Ra[-1])))
        Ra.append(slopes[index] * z)

    g = f.loss.gradient(passed.output, samples.targets).mul_(samples.weights)
    Rg = f.loss.curvature(passed.output, samples.targets, Ra[-1]).mul_(samples.weights)
    for index in reversed(range(f.network.depth)):
        delta = slopes[index] * g
        R_delta = (slopes[index] * Rg).addcmul_(bends[index].mul_(g), Rz[index])
        layout.write_gradient(firsts[index], R_delta, passed.inputs[index])
        if index > 0:
            layout.write_gradient(Layer(seconds[index].weight, None), delta, Ra[index - 1])
            Rg = layout.pull_back(W[index].weight, R_delta).add_(layout.pull_back(V[index].weight, delta))
            g = layout.pull_back(W[index].weight, delta)


# Exact Hessians. A *direction* is the pre-activation of a unit; directions are numbered layer by layer.


class _Unrolled(NamedTuple):
    """What the backward half needs of a layer."""

    weight: Tensor  # [restart, out, in]
    before: int  # number of units, and so of directions, in the layers before
    units: int
    inputs: Tensor  # ã_{l-1} [restart, in (+ 1), sample]
    slope: Tensor  # σ'_l [restart, out, sample]
    bend: Tensor  # σ''_l [restart, out, sample]
    Rz: Tensor | None  # along the directions of the layers before, [restart, out, direction, sample]
    Ra: Tensor  # along these and its own, [restart, out, direction, sample]


def _entries(f: MeanLoss, packed: Tensor, samples: list[_Samples], places: Tensor) -> Tensor:
    """The Hessians of a chunk without the decay, row by row, `[restart', entry]`."""
    memory = _memory_of(f.layout, packed)
    size = max(stop for _, (_, stop) in _block_places(f.network))
    total: Tensor | None = None
    for part in samples:
        blocks = memory.empty(-(-size // _VECTOR) * _VECTOR)
        _write_blocks(f, memory, packed, part, blocks)
        total = blocks if total is None else total.add_(blocks)
    assert total is not None, "a mean is of at least one sample"
    return memory.gather(total, places)


def _unrolled(f: MeanLoss, memory: _Memory, packed: Tensor, passed: Forward) -> list[_Unrolled]:
    """The forward half: Rz_l = W_l Ra_{l-1} and Ra_l = σ'_l ∘ Rz_l, where Rz_l = identity along its own directions."""
    layers: list[_Unrolled] = []
    before = 0
    for (weight, bias), a, slope, bend in zip(
        f.network.layers(packed), passed.inputs, *_derivatives(f.network, passed), strict=True
    ):
        units, samples = slope.shape[1:]
        Ra = memory.empty(units, before + units, samples)
        Ra.narrow(2, before, units).zero_().diagonal(dim1=1, dim2=2).add_(slope.transpose(1, 2))
        Rz = None
        if layers:
            Rz = f.layout.affine(Layer(weight, None), layers[-1].Ra.flatten(2)).unflatten(2, (before, samples))
            torch.mul(Rz, slope.unsqueeze(2), out=Ra.narrow(2, 0, before))
        inputs = a if bias is None else _with_one(memory, a)
        layers.append(_Unrolled(weight, before, units, inputs, slope, bend, Rz, Ra))
        before += units
    return layers


def _with_one(memory: _Memory, a: Tensor) -> Tensor:
    """ã: the bias is the weight of an input that is 1. `[restart, in + 1, sample]`."""
    extended = memory.empty(a.shape[1] + 1, a.shape[2]).fill_(1)
    extended.narrow(1, 0, a.shape[1]).mul_(a)
    return extended


def _write_blocks(f: MeanLoss, memory: _Memory, packed: Tensor, samples: _Samples, blocks: Tensor) -> None:
    """The backward half, Rδ_l = Rg_l ∘ σ'_l + g_l ∘ σ''_l ∘ Rz_l and Rg_{l-1} = W_lᵀ Rδ_l, with a block per pair."""
    passed = forward(f.network, f.layout, packed, samples.inputs)
    layers = _unrolled(f, memory, packed, passed)
    a, y, weights = passed.output, samples.targets, samples.weights
    g = f.loss.gradient(a, y).mul_(weights)
    Rg = f.loss.curvature(a.unsqueeze(2), y.unsqueeze(2), layers[-1].Ra).mul_(weights.unsqueeze(2))
    places = dict(_block_places(f.network))
    for index in reversed(range(f.network.depth)):
        layer = layers[index]
        delta, bend = layer.slope * g, layer.bend * g
        R_delta = Rg * layer.slope.unsqueeze(2)  # [restart, out, direction, sample]
        R_delta.narrow(2, layer.before, layer.units).diagonal(dim1=1, dim2=2).add_(bend.transpose(1, 2))
        if layer.Rz is not None:
            R_delta.narrow(2, 0, layer.before).addcmul_(layer.Rz, bend.unsqueeze(2))
        for other in range(index + 1):
            along = layers[other]
            change = _products(memory, R_delta.narrow(2, along.before, along.units), layer.inputs)
            if other < index:
                _add_products(change, delta, layers[index - 1].Ra.narrow(2, along.before, along.units))
            start, stop = places[index, other]
            memory.contract(change, along.inputs, blocks.narrow(1, start, stop - start))
        if index > 0:
            R_before = R_delta.narrow(2, 0, layer.before)
            Rg = f.layout.pull_back(layer.weight, R_before.flatten(2)).unflatten(2, R_before.shape[2:])
            g = f.layout.pull_back(layer.weight, delta)


def _products(memory: _Memory, R_delta: Tensor, inputs: Tensor) -> Tensor:
    """Rδ_l[o] ã_{l-1}[i] along some directions, `[restart, direction, out, in (+ 1), sample]`."""
    left, right = R_delta.transpose(1, 2).unsqueeze(3), inputs.unsqueeze(1).unsqueeze(1)
    shape = torch.broadcast_shapes(left.shape, right.shape)
    return torch.mul(left, right, out=memory.empty(*shape[1:]))


def _add_products(products: Tensor, delta: Tensor, Ra: Tensor) -> None:
    """Add δ_l[o] Ra_{l-1}[i] along the same directions; the 1 of the bias does not change."""
    right = Ra.transpose(1, 2).unsqueeze(2)  # [restart, direction, 1, in, sample]
    products.narrow(3, 0, right.shape[3]).addcmul_(delta.unsqueeze(1).unsqueeze(3), right)


def _block_places(network: Network) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Of every pair of layers (l, m), m ≤ l, where its block starts and stops."""
    sizes = network.layer_sizes
    start = 0
    for index, size in enumerate(sizes):
        for other, other_size in enumerate(sizes[: index + 1]):
            yield (index, other), (start, start + size * other_size)
            start += size * other_size


@lru_cache(maxsize=16)
def _places(network: Network) -> _Indices:
    """Where entry (row, column) of a Hessian, row by row, lies in the blocks.

    The block of (l, m) is `[unit of m, unit of l, input of l, input of m]`. An entry above the diagonal is looked up
    below it, which makes the Hessian symmetric.
    """
    places = np.zeros((network.size, network.size), np.int64)
    tables = _parameter_tables(network)
    for (index, other), (start, stop) in _block_places(network):
        row, column = tables[index][None, :, :, None], tables[other][:, None, None, :]
        shape = np.broadcast_shapes(row.shape, column.shape)
        places[row, column] = np.arange(start, stop).reshape(shape)
    lower = np.tril(places)
    return (lower + np.tril(places, -1).T).reshape(-1)


def _parameter_tables(network: Network) -> list[_Indices]:
    """Of every layer, where the weight of (unit, input) lies in θ, the bias as that of one input more."""
    tables = []
    start = 0
    for (i, o), size in zip(itertools.pairwise(network.widths), network.layer_sizes, strict=True):
        numbers = np.arange(start, start + size)
        tables.append(np.concatenate([numbers[: o * i].reshape(o, i), numbers[o * i :].reshape(o, -1)], axis=1))
        start += size
    return tables


class _Memory(Protocol):
    """The steps that depend on which axis is contiguous."""

    def empty(self, *shape: int) -> Tensor:
        """A tensor `[restart', *shape]`."""
        ...

    def contract(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Σ_samples left[d, o, i] right[j], written to `out [restart', d · o · i · j]`."""
        ...

    def gather(self, blocks: Tensor, places: Tensor) -> Tensor:
        """The entries at `places`, `[restart', entry]`, contiguous."""
        ...


@dataclass(frozen=True)
class _LaneMemory:
    """Restarts innermost."""

    packed: Tensor

    def empty(self, *shape: int) -> Tensor:
        return self.packed.new_empty(*shape, self.packed.shape[0]).movedim(-1, 0)

    def contract(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        stored, others = left.movedim(0, -1).flatten(0, 2), right.movedim(0, -1)  # [·, sample, restart]
        products = out.t().unflatten(0, (stored.shape[0], others.shape[0]))  # [·, in, restart]
        if stored.shape[1] > 2 * others.shape[0]:
            for j in range(others.shape[0]):
                torch.sum(stored * others.select(0, j), dim=1, out=products.select(1, j))
        else:  # fewer operations, and nothing in between is stored
            products.zero_()
            for n in range(stored.shape[1]):
                products.addcmul_(stored.select(1, n).unsqueeze(1), others.select(1, n))

    def gather(self, blocks: Tensor, places: Tensor) -> Tensor:
        return blocks.t().index_select(0, places).t().clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class _ProductMemory:
    """Every restart's matrices together."""

    packed: Tensor

    def empty(self, *shape: int) -> Tensor:
        return self.packed.new_empty(self.packed.shape[0], *shape)

    def contract(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        torch.bmm(left.flatten(1, 3), right.transpose(1, 2), out=out.unflatten(1, (-1, right.shape[1])))

    def gather(self, blocks: Tensor, places: Tensor) -> Tensor:
        return blocks.index_select(1, places)


def _memory_of(layout: Layout, packed: Tensor) -> _Memory:
    return _LaneMemory(packed) if isinstance(layout, Lanes) else _ProductMemory(packed)


def _chunk_sizes(f: MeanLoss) -> tuple[int, int]:
    """Restarts and samples at a time, for what is worked on to stay near the caches."""
    widths, network = f.network.widths[1:], f.network
    fewest = 64 if isinstance(f.layout, Lanes) else 2
    widest = itertools.accumulate(widths, max)
    products = max(width * size for width, size in zip(widest, network.layer_sizes, strict=True))
    jacobians = sum(width * before for width, before in zip(widths, itertools.accumulate(widths), strict=True))
    fitting = _ELEMENTS // (fewest * (products + jacobians)) // _VECTOR * _VECTOR
    samples = min(f.samples, max(fitting, _FEWEST_SAMPLES))
    restarts = _ELEMENTS // (samples * (products + jacobians) + network.size**2)
    return max(restarts // fewest * fewest, fewest), samples
