"""The functions on which global optimisers have been compared since Dixon and Szegö (1978), differentiated by hand.

Each takes points as columns, one tensor for each coordinate, and is elementwise over restarts: what one of them gets
does not depend on which others are asked for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from basinet.foundation.errors import require

Point = Sequence[Tensor]
"""x_1 … x_d, each `[restart]`."""


class Classic(ABC):
    """A function of d coordinates, of which each has its range in the box that starts are drawn from."""

    coercive: ClassVar[bool] = False
    lowest: ClassVar[float] = -math.inf  # a lower bound that holds to the last digit
    scale: ClassVar[float]  # the median of f in the box, above its minimum

    @property
    @abstractmethod
    def box(self) -> Sequence[tuple[float, float]]:
        """The range of each coordinate."""

    @abstractmethod
    def value_and_slopes(self, x: Point) -> tuple[Tensor, list[Tensor]]:
        """f `[restart]` and its d first derivatives."""

    @abstractmethod
    def curvatures(self, x: Point) -> list[list[Tensor]]:
        """The second derivatives, row by row up to the diagonal."""


@dataclass(frozen=True)
class Camel(Classic):
    """f = (4 - 2.1 x² + x⁴/3) x² + x y + (4 y² - 4) y²: six minima, two of them at -1.0316 (Branin, 1972)."""

    coercive = True
    scale = 9.0
    box = ((-3.0, 3.0), (-2.0, 2.0))

    def value_and_slopes(self, x: Point) -> tuple[Tensor, list[Tensor]]:
        a, b = x
        a2, b2 = a * a, b * b
        value = (4 - 2.1 * a2 + a2 * a2 / 3) * a2 + a * b + (4 * b2 - 4) * b2
        return value, [(8 - 8.4 * a2 + 2 * a2 * a2) * a + b, a + (16 * b2 - 8) * b]

    def curvatures(self, x: Point) -> list[list[Tensor]]:
        a2, b2 = x[0] * x[0], x[1] * x[1]
        return [[8 - 25.2 * a2 + 10 * a2 * a2], [torch.ones_like(a2), 48 * b2 - 8]]


@dataclass(frozen=True)
class GoldsteinPrice(Classic):
    """f = A(x + y) B(2x - 3y): four minima, the lowest is 3 at (0, -1) (Goldstein & Price, 1971).

    The two factors, A(s) = 1 + (s + 1)² (19 - 14 s + 3 s²) and B(t) = 30 + t² (18 - 16 t + 3 t²), are those of the
    published formula, whose polynomials in x and y depend on s and t alone.
    """

    coercive = True
    scale = 6600.0
    box = ((-2.0, 2.0), (-2.0, 2.0))

    def value_and_slopes(self, x: Point) -> tuple[Tensor, list[Tensor]]:
        (a, a1, _), (b, b1, _) = self._factors(x)
        return a * b, [a1 * b + 2 * a * b1, a1 * b - 3 * a * b1]

    def curvatures(self, x: Point) -> list[list[Tensor]]:
        (a, a1, a2), (b, b1, b2) = self._factors(x)
        first, mixed, last = a2 * b, a1 * b1, a * b2
        return [[first + 4 * mixed + 4 * last], [first - mixed - 6 * last, first - 6 * mixed + 9 * last]]

    @staticmethod
    def _factors(x: Point) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """A and B with their first two derivatives."""
        s, t = x[0] + x[1], 2 * x[0] - 3 * x[1]
        a = 1 + (s + 1) * (s + 1) * (19 - 14 * s + 3 * s * s)
        b = 30 + t * t * (18 - 16 * t + 3 * t * t)
        a_slopes = 12 * (s + 1) * (s - 1) * (s - 2), 12 * (3 * s * s - 4 * s - 1)
        b_slopes = 12 * t * (t - 1) * (t - 3), 36 - 96 * t + 36 * t * t
        return (a, *a_slopes), (b, *b_slopes)


@dataclass(frozen=True)
class Branin(Classic):
    """f = (y - 5.1 x² / 4π² + 5 x / π - 6)² + 10 (1 - 1/8π) cos x + 10: three minima in the box, all at .397887."""

    scale = 35.0
    box = ((-5.0, 10.0), (0.0, 15.0))

    _bend: ClassVar[float] = 5.1 / (4 * math.pi**2)
    _tilt: ClassVar[float] = 5 / math.pi
    _wave: ClassVar[float] = 10 * (1 - 1 / (8 * math.pi))

    def value_and_slopes(self, x: Point) -> tuple[Tensor, list[Tensor]]:
        a, b = x
        off = b - self._bend * a * a + self._tilt * a - 6
        value = off * off + self._wave * torch.cos(a) + 10
        return value, [2 * off * (self._tilt - 2 * self._bend * a) - self._wave * torch.sin(a), 2 * off]

    def curvatures(self, x: Point) -> list[list[Tensor]]:
        a, b = x
        off = b - self._bend * a * a + self._tilt * a - 6
        slope = self._tilt - 2 * self._bend * a
        along = 2 * slope * slope - 4 * self._bend * off - self._wave * torch.cos(a)
        return [[along], [2 * slope, torch.full_like(a, 2.0)]]


@dataclass(frozen=True)
class Shubert(Classic):
    """f = g(x) g(y), g(x) = Σ_j j cos((j + 1) x + j) for j = 1 … 5: 760 minima in the box, 18 of them at -186.7309."""

    scale = 190.0
    box = ((-10.0, 10.0), (-10.0, 10.0))

    def value_and_slopes(self, x: Point) -> tuple[Tensor, list[Tensor]]:
        (a, a1, _), (b, b1, _) = self._wave(x[0]), self._wave(x[1])
        return a * b, [a1 * b, a * b1]

    def curvatures(self, x: Point) -> list[list[Tensor]]:
        (a, a1, a2), (b, b1, b2) = self._wave(x[0]), self._wave(x[1])
        return [[a2 * b], [a1 * b1, a * b2]]

    @staticmethod
    def _wave(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """g with its first two derivatives."""
        value, slope, curvature = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        for j in range(1, 6):
            angle = (j + 1) * x + j
            value += j * torch.cos(angle)
            slope -= j * (j + 1) * torch.sin(angle)
            curvature -= j * (j + 1) ** 2 * torch.cos(angle)
        return value, slope, curvature


@dataclass(frozen=True)
class Hartman(Classic):
    """f = -Σ_i c_i exp(-Σ_j A_ij (x_j - P_ij)²), four wells in the unit cube (Hartman, 1973)."""

    narrowness: tuple[tuple[float, ...], ...]  # A, a row for each well
    centres: tuple[tuple[float, ...], ...]  # P

    scale = 3.0
    depths: ClassVar[tuple[float, ...]] = (1.0, 1.2, 3.0, 3.2)  # c

    @property
    def box(self) -> Sequence[tuple[float, float]]:
        return ((0.0, 1.0),) * len(self.centres[0])

    def value_and_slopes(self, x: Point) -> tuple[Tensor, list[Tensor]]:
        value, slopes = torch.zeros_like(x[0]), [torch.zeros_like(x[0]) for _ in x]
        for well, aside in self._wells(x):
            value -= well
            for slope, one in zip(slopes, aside, strict=True):
                slope.addcmul_(well, one)
        return value, slopes

    def curvatures(self, x: Point) -> list[list[Tensor]]:
        rows = [[torch.zeros_like(x[0]) for _ in range(j + 1)] for j in range(len(x))]
        for (well, aside), narrowness in zip(self._wells(x), self.narrowness, strict=True):
            for j, row in enumerate(rows):
                for k, entry in enumerate(row):
                    entry.sub_(well * aside[j] * aside[k])
                row[j].add_(well, alpha=2 * narrowness[j])
        return rows

    def _wells(self, x: Point) -> list[tuple[Tensor, list[Tensor]]]:
        """Each well's c exp(-Σ A (x - P)²), and 2 A (x - P) along each axis."""
        wells = []
        for depth, narrowness, centre in zip(self.depths, self.narrowness, self.centres, strict=True):
            exponent = torch.zeros_like(x[0])
            for coordinate, a, p in zip(x, narrowness, centre, strict=True):
                exponent -= a * (coordinate - p) * (coordinate - p)
            aside = [2 * a * (coordinate - p) for coordinate, a, p in zip(x, narrowness, centre, strict=True)]
            wells.append((depth * torch.exp(exponent), aside))
        return wells


@dataclass(frozen=True)
class Rastrigin(Classic):
    """f = 10 d + Σ_i (x_i² - 10 cos 2π x_i): a minimum near every point of a grid, the lowest is 0 at the origin.

    The box of Mühlenbein, Schomisch & Born (1991), [-5.12, 5.12]^d, is moved by 1.12 along every axis: the origin is
    not at its centre, where a method might look first.
    """

    dimension: int

    coercive = True
    lowest = 0.0

    def __post_init__(self) -> None:
        require(self.dimension >= 1, f"objective.dimension={self.dimension}: must be at least 1")
        require(self.dimension <= 10_000, f"objective.dimension={self.dimension:,}: must be at most 10,000")

    @property
    def scale(self) -> float:  # type: ignore[override]
        return 19.0 * self.dimension

    @property
    def box(self) -> Sequence[tuple[float, float]]:
        return ((-4.0, 6.24),) * self.dimension

    def value_and_slopes(self, x: Point) -> tuple[Tensor, list[Tensor]]:
        value, slopes = torch.zeros_like(x[0]), []
        for one in x:
            angle = 2 * math.pi * one
            value += one * one + 10 * (1 - torch.cos(angle))
            slopes.append(2 * one + 20 * math.pi * torch.sin(angle))
        return value, slopes

    def curvatures(self, x: Point) -> list[list[Tensor]]:
        nothing = torch.zeros_like(x[0])
        along = [2 + 40 * math.pi**2 * torch.cos(2 * math.pi * one) for one in x]
        return [[*[nothing] * j, entry] for j, entry in enumerate(along)]


HARTMAN_3 = Hartman(
    narrowness=((3.0, 10.0, 30.0), (0.1, 10.0, 35.0), (3.0, 10.0, 30.0), (0.1, 10.0, 35.0)),
    centres=(
        (0.3689, 0.1170, 0.2673),
        (0.4699, 0.4387, 0.7470),
        (0.1091, 0.8732, 0.5547),
        (0.03815, 0.5743, 0.8828),
    ),
)
"""Three coordinates: the lowest minimum is -3.86278."""

HARTMAN_6 = Hartman(
    narrowness=(
        (10.0, 3.0, 17.0, 3.5, 1.7, 8.0),
        (0.05, 10.0, 17.0, 0.1, 8.0, 14.0),
        (3.0, 3.5, 1.7, 10.0, 17.0, 8.0),
        (17.0, 8.0, 0.05, 10.0, 0.1, 14.0),
    ),
    centres=(
        (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
        (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
        (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
        (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
    ),
)
"""Six coordinates: the lowest minimum is -3.32237."""

CLASSICS: dict[str, Classic] = {
    "camel": Camel(),
    "goldstein_price": GoldsteinPrice(),
    "branin": Branin(),
    "shubert": Shubert(),
    "hartman3": HARTMAN_3,
    "hartman6": HARTMAN_6,
}
"""Those of a fixed number of coordinates."""

RASTRIGIN = "rastrigin"
"""The one of any number of coordinates."""
