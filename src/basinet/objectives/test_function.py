"""Classic test functions of global optimisation, in the unit cube that their boxes are mapped to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.foundation.errors import ConfigError, require, unknown
from basinet.mlp.network import Network
from basinet.objectives.classics import CLASSICS, RASTRIGIN, Classic, Rastrigin
from basinet.objectives.plain import Plain
from basinet.protocols import Problem

_DIMENSION = 2  # of Rastrigin's function where the settings leave it open


@dataclass(frozen=True)
class TestFunctionSettings:
    """`objective=test_function`: which function. Nothing is learned, so the problem and the network do not matter."""

    function: str
    dimension: int | None

    __test__ = False  # it is no test, whatever its name begins with

    def __post_init__(self) -> None:
        if self.function not in (*CLASSICS, RASTRIGIN):
            raise unknown("objective.function", self.function, (*CLASSICS, RASTRIGIN))
        fixed = None if self.function == RASTRIGIN else len(CLASSICS[self.function].box)
        text = f"objective.dimension={self.dimension}: {self.function} has {fixed} coordinates; leave it null"
        require(fixed is None or self.dimension in (None, fixed), text)
        require(
            self.dimension is None or self.dimension >= 1, f"objective.dimension={self.dimension}: must be positive"
        )

    def trained(self, problem: Problem, network: Network) -> Network:
        """One weight for each coordinate, which an init draws."""
        if problem.holdout_inputs.shape[1] > 0:
            raise ConfigError("problem.holdout: objective=test_function has no samples; use problem.holdout=0")
        return Network((len(self._function.box), 1), "identity", "identity", bias=False)

    def on(self, problem: Problem, network: Network) -> TestFunction:
        return TestFunction(network.size, function=self._function)

    def on_holdout(self, problem: Problem, network: Network) -> None:
        return None

    @property
    def _function(self) -> Classic:
        if self.function == RASTRIGIN:
            return Rastrigin(_DIMENSION if self.dimension is None else self.dimension)
        return CLASSICS[self.function]


@dataclass(frozen=True, kw_only=True)
class TestFunction(Plain):
    """f(θ) = F(m + h ∘ θ), F a classic test function on the box with the centre m and half-widths h.

    So starts from the box are θ ~ U(-1, 1), which is `init=uniform`, and steps are measured in half-widths. A descent
    may leave the box. That coordinates may be exchanged, or change signs, is not counted as a symmetry: Shubert's
    function has 760 minima in its box, as people say.

    Results for one restart do not depend, to the bit, on which others are asked for in the same call.
    """

    function: Classic

    __test__ = False

    @property
    def lowest(self) -> float:  # type: ignore[override]
        return self.function.lowest

    @property
    def scale(self) -> float:
        return self.function.scale

    @property
    def coercive(self) -> bool:
        return self.function.coercive

    def in_box(self, theta: Tensor) -> Tensor:
        """x = m + h ∘ θ, `[restart, coordinate]`."""
        return torch.stack(self._point(theta), 1)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]`."""
        value, slopes = self.function.value_and_slopes(self._point(theta))
        return value, torch.stack([slope * half for slope, half in zip(slopes, self._halves, strict=True)], 1)

    def hessian(self, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`."""
        halves = self._halves
        result = theta.new_zeros(theta.shape[0], self.size, self.size)
        for j, row in enumerate(self.function.curvatures(self._point(theta))):
            for k, entry in enumerate(row):
                scaled = entry * (halves[j] * halves[k])
                result.select(1, j).select(1, k).copy_(scaled)
                result.select(1, k).select(1, j).copy_(scaled)
        return result

    @property
    def _halves(self) -> list[float]:
        return [(high - low) / 2 for low, high in self.function.box]

    def _point(self, theta: Tensor) -> list[Tensor]:
        columns = theta.t().contiguous().unbind()
        return [
            (low + high) / 2 + half * column
            for (low, high), half, column in zip(self.function.box, self._halves, columns, strict=True)
        ]
