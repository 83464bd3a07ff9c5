"""What an objective needs that is a function of its parameters and nothing more: no samples, symmetries or kinks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from basinet.foundation.random_streams import Purpose, normal
from basinet.mlp.network import Network
from basinet.protocols import Chunk, Nearest, ProblemSymmetry, Symmetry

_CHUNK = 1024  # restarts that are evaluated at once
_PROJECTIONS = 4
_CPU = torch.device("cpu")

Self = TypeVar("Self", bound="Plain")


class NoSymmetry:
    """The group of the identity alone: equal are only parameters that are equal."""

    by_function = False

    def canonical(self, theta: Tensor) -> Tensor:
        return theta

    def distance(self, theta: Tensor, other: Tensor) -> float:
        return float(torch.linalg.vector_norm(theta - other))

    def nearest(self, theta: Tensor, other: Tensor) -> Nearest:
        distance = self.distance(theta, other)
        return Nearest(theta, other, distance, distance)

    def explained_zeros(self, theta: Tensor) -> Tensor:
        return torch.zeros(theta.shape[0], dtype=torch.int64)

    def orbit_size(self, theta: Tensor) -> Tensor:
        return torch.ones_like(theta[:, 0])

    def near_copy(self, theta: Tensor, draws: Tensor) -> Tensor:
        return theta


class NoProblemSymmetry:
    """Nothing may be done to the problem."""

    order = 1
    complete = True
    words: ClassVar[list[str]] = []

    def invariants(self, theta: Tensor) -> Tensor:
        return theta

    def images(self, theta: Tensor, other: Tensor) -> Iterator[Tensor]:
        return iter(())


@dataclass(frozen=True)
class Plain(ABC):
    """A function f of `size` parameters, by its value, gradient and Hessian.

    A subclass is frozen settings and two functions, each elementwise over restarts: what one restart gets must not
    depend on which others are asked for. Everything else that an `Objective` is asked for follows from them.
    """

    size: int
    device: torch.device = _CPU
    dtype: torch.dtype = torch.float64

    samples: ClassVar[int] = 1
    parallel_chunks: ClassVar[bool] = False
    lowest: ClassVar[float] = -math.inf

    @property
    def rounding(self) -> float:
        return 0.0

    @property
    def chunk_size(self) -> int:
        return _CHUNK

    @property
    def scale(self) -> float:
        return 1.0

    @property
    def coercive(self) -> bool:
        return False

    @property
    def symmetry(self) -> Symmetry:
        return NoSymmetry()

    @property
    def problem_symmetry(self) -> ProblemSymmetry:
        return NoProblemSymmetry()

    @abstractmethod
    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]` at `theta [restart, parameter]`."""

    @abstractmethod
    def hessian(self, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`."""

    def loss(self, theta: Tensor) -> Tensor:
        return self.loss_and_gradient(theta)[0]

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        return (self.hessian(theta) * v.unsqueeze(1)).sum(2)

    def chunk(self, restarts: int) -> Chunk:
        return PlainChunk(self)

    def to(self: Self, device: torch.device, dtype: torch.dtype) -> Self:
        return replace(self, device=device, dtype=dtype)

    def signature(self, theta: Tensor) -> Tensor:
        """`[restart, 8]`: f, which stands for the answers, and four fixed random projections of θ."""
        draws = torch.from_numpy(normal(0, range(_PROJECTIONS), self.size, Purpose.PROBES)).to(theta)
        projections = [(theta * direction).sum(1) / self.size**0.5 for direction in draws]
        answers = [self.loss(theta)] * _PROJECTIONS
        return torch.stack([*answers, *projections], 1)

    def kink_distance(self, theta: Tensor) -> Tensor:
        return theta.new_full((theta.shape[0],), torch.inf)

    def accuracy(self, theta: Tensor) -> Tensor | None:
        return None

    def whole(self, theta: Tensor) -> tuple[Network, Tensor] | None:
        return None

    def statement(self) -> dict[str, Any] | None:
        return None

    def loss_original(self, theta: Tensor) -> Tensor | None:
        return None


@dataclass(frozen=True)
class PlainChunk:
    """Restarts as they are: nothing is gained by another order in memory."""

    objective: Plain

    def pack(self, theta: Tensor) -> Tensor:
        return theta

    def unpack(self, packed: Tensor) -> Tensor:
        return packed

    def gradient(self, packed: Tensor) -> Tensor:
        return self.objective.loss_and_gradient(packed)[1]

    def loss_and_gradient(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        return self.objective.loss_and_gradient(packed)

    def batch(self, samples: Tensor) -> PlainChunk:
        return self
