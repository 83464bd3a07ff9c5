"""How the tensors of a chunk of restarts lie in memory, and the products that depend on it.

Formulas are written on tensors with the axes `[restart, unit, sample]`; which axis is contiguous decides the speed.
`Lanes` puts the restarts innermost, so that every operation is elementwise over thousands of restarts: best for
layers of a few units, where a matrix product per restart is mostly overhead. `Products` keeps every restart's matrices
together and calls the matrix-product library: best for wide layers.

Both answer to the bit the same for a restart, whatever else is in the chunk. Two things stand in the way of that and
are kept off by padding, which costs nothing noticeable:

* Vectorised kernels treat the last elements of a tensor with other instructions. So every tensor is a whole number of
  vectors: lanes come in multiples of 64, samples (in `Products`) in multiples of 128 bytes.
* The matrix-product library answers differently for another alignment of its operands, and for a batch of one. So each
  restart's row of parameters is a multiple of 128 bytes, and a chunk has at least two rows.

It also takes one thread per operation: whoever calls these sees to it with `single_threaded_operations`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from basinet.mlp.network import Layer, Network

_LANES = 64
_ALIGNMENT = 128  # bytes: two vectors of 512 bits
_WIDEST_LANES = 4
# Bytes of the largest activation of a chunk, by layout: what the L2 cache likes (measured).
_BYTES = {"lanes": 1 << 19, "products": 1 << 20}


def _padded(matrix: Tensor, multiple: int) -> Tensor:
    """A copy with columns of zeros up to a whole multiple of them, rows contiguous."""
    missing = -matrix.shape[1] % multiple
    return torch.cat([matrix, matrix.new_zeros(matrix.shape[0], missing)], 1)


class Layout(Protocol):
    """A way to hold a chunk of restarts; a packed tensor may be larger than what it was made from, never smaller."""

    @property
    def parallel(self) -> bool:
        """Whether single operations are long enough for chunks in several Python threads to gain anything."""
        ...

    def chunk_size(self, network: Network, samples: int, number_bytes: int) -> int:
        """Number of restarts whose activations fit the cache, with numbers of 4 or 8 bytes."""
        ...

    def pack(self, theta: Tensor) -> Tensor:
        """`theta [restart, parameter]` in this layout, padded: `[restart', parameter']`."""
        ...

    def pack_samples(self, samples: Tensor, restarts: int) -> Tensor:
        """Inputs or targets `[unit, sample]` beside `restarts` packed restarts: `[restart' or 1, unit, sample']`."""
        ...

    def affine(self, layer: Layer, a: Tensor) -> Tensor:
        """z = W a + b, `[restart, out, sample]`."""
        ...

    def pull_back(self, weight: Tensor, delta: Tensor) -> Tensor:
        """Wᵀ δ, `[restart, in, sample]`."""
        ...

    def write_gradient(self, gradient: Layer, delta: Tensor, a: Tensor) -> None:
        """∂f/∂W = δ aᵀ and ∂f/∂b = Σ_samples δ, written into views of the gradient."""
        ...


class Lanes:
    """Restarts innermost: a tensor `[restart, unit, sample]` is stored as `[unit, sample, restart]`."""

    parallel = False  # operations of some 10 µs: threads would only wait for the interpreter's lock

    def chunk_size(self, network: Network, samples: int, number_bytes: int) -> int:
        lanes = _BYTES["lanes"] // (max(network.widths) * samples * number_bytes)
        return max(_LANES, lanes // _LANES * _LANES)

    def pack(self, theta: Tensor) -> Tensor:
        return _padded(theta.t(), _LANES).t()

    def pack_samples(self, samples: Tensor, restarts: int) -> Tensor:
        return samples.unsqueeze(-1).repeat(1, 1, restarts).movedim(-1, 0)

    def affine(self, layer: Layer, a: Tensor) -> Tensor:
        weight, bias = layer
        first, *others = (weight.narrow(2, i, 1) for i in range(weight.shape[2]))
        a_first = a.narrow(1, 0, 1)
        z = first * a_first if bias is None else torch.addcmul(bias.unsqueeze(2), first, a_first)
        for i, column in enumerate(others, start=1):
            z.addcmul_(column, a.narrow(1, i, 1))
        return z

    def pull_back(self, weight: Tensor, delta: Tensor) -> Tensor:
        first, *others = (weight.select(1, o).unsqueeze(2) for o in range(weight.shape[1]))
        g = first * delta.narrow(1, 0, 1)
        for o, row in enumerate(others, start=1):
            g.addcmul_(row, delta.narrow(1, o, 1))
        return g

    def write_gradient(self, gradient: Layer, delta: Tensor, a: Tensor) -> None:
        # Sums are taken in the order of memory, [unit, sample, restart]: torch is 20 times slower on the permuted view.
        stored = delta.movedim(0, -1)
        weight = gradient.weight.movedim(0, -1)  # [out, in, restart]
        for i in range(a.shape[1]):
            torch.sum(stored * a.select(1, i).t(), dim=1, out=weight.select(1, i))
        if gradient.bias is not None:
            torch.sum(stored, dim=1, out=gradient.bias.t())


class Products:
    """One matrix product per restart and layer: a tensor `[restart, unit, sample]` is stored in that order."""

    parallel = True

    def chunk_size(self, network: Network, samples: int, number_bytes: int) -> int:
        return max(2, _BYTES["products"] // (max(network.widths) * samples * number_bytes))

    def pack(self, theta: Tensor) -> Tensor:
        packed = _padded(theta, _ALIGNMENT // theta.element_size())
        return torch.cat([packed, torch.zeros_like(packed)]) if packed.shape[0] == 1 else packed

    def pack_samples(self, samples: Tensor, restarts: int) -> Tensor:
        packed = _padded(samples, _ALIGNMENT // samples.element_size())
        return packed.unsqueeze(0).expand(restarts, -1, -1)

    def affine(self, layer: Layer, a: Tensor) -> Tensor:
        if layer.bias is None:
            return torch.bmm(layer.weight, a)
        return torch.baddbmm(layer.bias.unsqueeze(2), layer.weight, a)

    def pull_back(self, weight: Tensor, delta: Tensor) -> Tensor:
        return torch.bmm(weight.transpose(1, 2), delta)

    def write_gradient(self, gradient: Layer, delta: Tensor, a: Tensor) -> None:
        # Not `bmm(out=gradient.weight)`: into a result with gaps between its matrices torch multiplies them one by one.
        # Not `copy_`: fake CUDA tensors refuse it on a CPU build.
        torch.mul(torch.bmm(delta, a.transpose(1, 2)), 1, out=gradient.weight)
        if gradient.bias is not None:
            torch.sum(delta, dim=2, out=gradient.bias)


def layout_for(network: Network) -> Layout:
    """`Lanes` for layers of up to four units, `Products` for wider ones (measured: `make bench`)."""
    return Lanes() if max(network.widths) <= _WIDEST_LANES else Products()
