"""Linear algebra in lanes against LAPACK, by the number of parameters: where it stops paying.

Processor time of one restart, Hessian included on both sides, in one run and in turns, the least of some repeats.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.engines import NativeEngine
from basinet.engines.native import library
from basinet.linalg.eigen import eigenvalues, eigenvectors
from basinet.linalg.trust_region import newton_step
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.stages.derivatives import Derivatives
from basinet.stages.march import march
from basinet.study.defaults import tolerances
from report import replace_section

WIDTHS = (2, 4, 8, 12, 15, 25, 40)  # of 2-w-1 networks, of which each has 4 w + 1 parameters
REPEATS = 5
NUMBERS = 2_000_000  # in the Hessians of all restarts together


@dataclass(frozen=True)
class Workload:
    """Many restarts of a small network, and where they are."""

    risk: EmpiricalRisk
    theta: Tensor  # [restart, parameter]
    gradient: Tensor
    region: Tensor  # [restart]
    lanes: NativeEngine

    @staticmethod
    def of(width: int) -> Workload:
        """A 2-w-1 network of tanh units with 16 samples and penalties."""
        generator = torch.Generator().manual_seed(0)
        x, y = (torch.randn(rows, 16, generator=generator, dtype=torch.float64) for rows in (2, 1))
        risk = EmpiricalRisk(Network((2, width, 1), "tanh", "identity"), x, y, l2_weights=1e-3, l2_biases=1e-3)
        theta = torch.randn(max(64, NUMBERS // risk.size**2), risk.size, generator=generator, dtype=torch.float64)
        lanes = NativeEngine(1)
        _, gradient = lanes.loss_and_gradient(risk, theta)
        return Workload(risk, theta, gradient, torch.full_like(theta[:, 0], 0.1), lanes)

    def hessian(self) -> Tensor:
        """By the kernel in either case."""
        return self.lanes.hessian(self.risk, self.theta)

    def sides(self) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
        """What is measured: by LAPACK, and in lanes."""
        risk, theta, given = self.risk, self.theta, (self.gradient, self.region)
        return {
            "eigenvalues": (lambda: eigenvalues(self.hessian(), 1), lambda: self.lanes.eigenvalues(risk, theta)),
            "eigenvectors": (lambda: eigenvectors(self.hessian(), 1), lambda: self.lanes.eigenvectors(risk, theta)),
            "a Newton step": (
                lambda: newton_step(self.hessian(), *given, 1),
                lambda: self.lanes.newton_step(risk, theta, *given),
            ),
        }

    def ways(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """The flow of some restarts to its end: step by step, and in lanes."""
        few = self.theta[: max(64, len(self.theta) // 4)]
        limit = torch.full_like(few[:, 0], torch.inf)

        def followed(engine: NativeEngine) -> object:
            return march(Derivatives(self.risk, engine), few, tolerances(), limit, steps=150)

        return lambda: followed(_StepByStep(1)), lambda: followed(self.lanes)


class _StepByStep(NativeEngine):
    """The native engine without its own march."""

    def march(self, *arguments: object) -> None:
        return None


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compared(by_lapack: Callable[[], object], in_lanes: Callable[[], object]) -> tuple[float, float]:
    """The least seconds of either, measured in turns."""
    by_lapack(), in_lanes()
    times = [(seconds(by_lapack), seconds(in_lanes)) for _ in range(REPEATS)]
    one, other = (min(column) for column in zip(*times, strict=True))
    return one, other


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    torch.set_num_threads(1)
    library._LARGEST_ALGEBRA = 1000
    headings = ["parameters", "eigenvalues", "eigenvectors", "a Newton step", "the march"]
    lines = [" | ".join(headings), " | ".join(["---"] * len(headings))]
    print("\n".join(lines), flush=True)
    for width in WIDTHS:
        workload = Workload.of(width)
        cells = [str(workload.risk.size)]
        for by_lapack, in_lanes in workload.sides().values():
            one, other = compared(by_lapack, in_lanes)
            cells.append(f"{one / other:.1f}×")
        one, other = compared(*workload.ways())
        cells.append(f"{one / other:.1f}×")
        lines.append(" | ".join(cells))
        print(lines[-1], flush=True)
    replace_section("algebra", lines)


if __name__ == "__main__":
    main()
