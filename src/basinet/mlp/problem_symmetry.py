"""Symmetries of a problem, carried to the parameters of the network that learns it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.mlp.relabelling import Relabelling
from basinet.permutations.matching import matches
from basinet.permutations.signed import Group
from basinet.permutations.words import Rows, described

Kernels = Callable[[Tensor], npt.NDArray[np.float64]]
"""Of `theta [parameter]`, `[kernel, row, row]`: numbers about pairs of rows that go with these wherever they are taken,
and that no symmetry of the network changes."""


@dataclass(frozen=True)
class CarriedSymmetry:
    """A group of signed permutations of inputs and outputs under which an objective stays as it is."""

    group: Group
    relabelling: Relabelling
    kernels: Kernels
    names: Sequence[Rows]

    @property
    def order(self) -> int:
        """How many elements there are."""
        return self.group.order

    @property
    def complete(self) -> bool:
        """Whether all of them are known."""
        return self.group.complete

    @property
    def words(self) -> list[str]:
        """What they do."""
        return described(self.group, self.names)

    def invariants(self, theta: Tensor) -> Tensor:
        """Norms and sorted diagonals of the kernels, `[restart, n]`: no exchange and no sign changes them."""
        kernels = np.stack([self.kernels(row) for row in theta])  # [restart, kernel, row, row]
        diagonals = np.sort(np.diagonal(kernels, axis1=2, axis2=3), axis=2)
        norms = np.linalg.norm(kernels, axis=(2, 3))
        return torch.from_numpy(np.concatenate([norms, diagonals.reshape(len(theta), -1)], axis=1))

    def images(self, theta: Tensor, other: Tensor) -> Iterator[Tensor]:
        """Those images of `theta` that may be `other`, up to the symmetries of the network; `[parameter]` each."""
        for element in matches(self.group, self.kernels(theta), self.kernels(other)):
            yield self.relabelling.moved(theta, element)


def sensitivity_kernels(jacobian: Tensor, weights: Tensor) -> npt.NDArray[np.float64]:
    """Of J = ∂a_L/∂x `[sample, output, feature]`, numbers about pairs of inputs and outputs, `[kernel, row, row]`.

        Σ_t w_t  [ JᵀJ  Jᵀ ]
                 [  J  JJᵀ ]

    They go with inputs and outputs that change places, and with their signs, since J does; a permutation of the samples
    changes nothing.

    Args:
        jacobian: J.
        weights: w `[kernel, sample]`: numbers of each sample that stay as they are.
    """
    slopes = jacobian.numpy() / (float(torch.linalg.vector_norm(jacobian)) or 1.0)  # so that all blocks are of one size
    samples, outputs, features = slopes.shape
    kernels = np.zeros((len(weights), features + outputs, features + outputs))
    for kernel, weight in zip(kernels, weights.numpy(), strict=True):
        weighted = slopes * weight.reshape(samples, 1, 1)
        kernel[:features, :features] = slopes.reshape(-1, features).T @ weighted.reshape(-1, features)
        kernel[features:, features:] = np.tensordot(slopes, weighted, axes=([0, 2], [0, 2]))
        kernel[features:, :features] = weighted.sum(0) / samples**0.5
        kernel[:features, features:] = kernel[features:, :features].T
    return kernels
