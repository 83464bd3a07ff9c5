"""Units that may be exchanged, and nothing else: the symmetries of a sum of equal units with fixed output weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from basinet.foundation.random_streams import normal
from basinet.mlp.images import exchanged, orbit_sizes
from basinet.mlp.network import Network
from basinet.protocols import Nearest


@dataclass(frozen=True)
class Exchange:
    """The permutations of `units` vectors that lie in θ one after the other."""

    units: int

    by_function = False

    def canonical(self, theta: Tensor) -> Tensor:
        """The vectors in the order of a fixed random projection, which has no ties where vectors have structure.

        >>> both = torch.tensor([[1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 1.0, 2.0]], dtype=torch.float64)
        >>> first, second = Exchange(2).canonical(both)
        >>> torch.equal(first, second)
        True
        """
        vectors = self._vectors(theta)
        coefficients = torch.from_numpy(normal(0, range(1), vectors.shape[2])).to(vectors)
        order = (vectors * coefficients).sum(2).argsort(dim=1, stable=True)
        return vectors.gather(1, order.unsqueeze(2).expand_as(vectors)).flatten(1)

    def distance(self, theta: Tensor, other: Tensor) -> float:
        """The least Euclidean distance of two parameter vectors `[parameter]` over all permutations."""
        return self.nearest(theta, other).distance

    def nearest(self, theta: Tensor, other: Tensor) -> Nearest:
        """The second of two parameter vectors `[parameter]` with its vectors in the order that is nearest the first."""
        first, second = self._vectors(theta.unsqueeze(0)), self._vectors(other.unsqueeze(0))
        squares = (first.squeeze(0).unsqueeze(1) - second).square().sum(2)
        rows, columns = (torch.from_numpy(places) for places in linear_sum_assignment(squares.cpu().numpy()))
        distance = float(squares[rows, columns].sum().sqrt())
        return Nearest(theta, second.squeeze(0)[columns].flatten(), distance, distance)

    def explained_zeros(self, theta: Tensor) -> Tensor:
        """None: `[restart]` int64."""
        return torch.zeros(theta.shape[0], dtype=torch.int64, device=theta.device)

    def orbit_size(self, theta: Tensor) -> Tensor:
        """The number of different orders of the vectors, `[restart]`: exchanges of equal ones do not count.

        They are hidden units whose output weights are all alike.

        >>> Exchange(2).orbit_size(torch.tensor([[1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])).tolist()
        [1.0, 2.0]
        """
        network = Network((theta.shape[1] // self.units, self.units, 1), bias=False)
        return orbit_sizes(network, False, torch.cat([theta, theta.new_ones(len(theta), self.units)], 1))

    def near_copy(self, theta: Tensor, draws: Tensor) -> Tensor:
        """With two vectors exchanged, `[restart, parameter]`; the first two of `draws [restart, 5]` say which."""
        vectors = self._vectors(theta)
        one, other = (draws[:, :2] * self.units).long().unbind(1)
        order = exchanged(one, other, self.units)
        return vectors.gather(1, order.unsqueeze(2).expand_as(vectors)).flatten(1)

    def _vectors(self, theta: Tensor) -> Tensor:
        vectors: Tensor = theta.unflatten(1, (self.units, -1))
        return vectors
