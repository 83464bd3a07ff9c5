"""Whether cost is linear: time per restart and step from 2,048 to 10⁶ restarts, and over the steps of a segment."""

from __future__ import annotations

import statistics
import time

import torch

import peers
from basinet.descents import GradientDescent
from basinet.descents.budget import Budget
from basinet.engines import NativeEngine
from basinet.foundation.outcomes import Status
from basinet.foundation.threads import single_threaded_operations
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Engine, State
from report import replace_section

RESTARTS = (2048, 8192, 65_536, 262_144, 1_000_000)
SEGMENTS = (10, 30, 100, 300, 1000, 3000)  # steps
AT_A_TIME = 1 << 16  # restarts: as blocks of them are in a study
TOGETHER = AT_A_TIME  # restarts, while segments are varied
ROUNDS = 7


def state_of(theta: torch.Tensor) -> State:
    """Before the first step."""
    restarts = len(theta)
    zeros = theta.new_zeros(restarts)
    running = torch.full((restarts,), int(Status.RUNNING), dtype=torch.int8)
    return State(theta, (), 0, running, torch.zeros(restarts, dtype=torch.int64), zeros, zeros.clone())


def nanoseconds(engine: Engine, risk: EmpiricalRisk, theta: torch.Tensor, steps: int, segments: int) -> float:
    """For one step of one restart, with `segments` segments of `steps` steps each."""
    descent = GradientDescent(Budget(0.1, steps * segments, "constant", 0.0, 1))
    start = time.perf_counter()
    with single_threaded_operations():  # as in a study
        for part in theta.split(AT_A_TIME):
            state = state_of(part)
            for segment in range(segments):
                state = engine.segment(risk, descent, state, (segment + 1) * steps)
    return 1e9 * (time.perf_counter() - start) / (len(theta) * steps * segments)


def xor(dtype: torch.dtype, restarts: int) -> tuple[EmpiricalRisk, torch.Tensor]:
    """The workload of that name, with other numbers of restarts."""
    workload = peers.WORKLOADS["xor"]
    _, _, x, y = peers.data(**workload, dtype=dtype)
    risk = EmpiricalRisk(Network(tuple(workload["widths"])), x, y)
    return risk, torch.randn(restarts, risk.size, dtype=dtype)


def spread(times: dict[int, list[float]]) -> list[str]:
    """The median of each, and by how much the medians differ."""
    medians = [statistics.median(taken) for taken in times.values()]
    return [*(f"{value:.2f}" for value in medians), f"{max(medians) / min(medians) - 1:.0%}"]


def main() -> None:
    """Measure, in turns, and rewrite the tables in the docs."""
    engine = NativeEngine(torch.get_num_threads())
    tables: list[list[str]] = []
    by_restarts = ["ns per restart and step, by restarts", *(f"{count:,}" for count in RESTARTS), "they differ by"]
    by_steps = [
        "ns per restart and step, by steps in a segment",
        *(f"{steps:,}" for steps in SEGMENTS),
        "they differ by",
    ]
    for headings, sizes in ((by_restarts, RESTARTS), (by_steps, SEGMENTS)):
        table = [" | ".join(headings), " | ".join(["---"] * len(headings))]
        for dtype in (torch.float32, torch.float64):
            times: dict[int, list[float]] = {size: [] for size in sizes}
            risk, theta = xor(dtype, max(RESTARTS))
            nanoseconds(engine, risk, theta[:100], 10, 1)  # compiles
            for _ in range(ROUNDS):
                for size in sizes:
                    restarts, steps = (size, 1000) if sizes is RESTARTS else (TOGETHER, size)
                    segments = 1 if sizes is RESTARTS else max(SEGMENTS) // size
                    times[size].append(nanoseconds(engine, risk, theta[:restarts], steps, segments))
            table.append(" | ".join([f"xor, {str(dtype).removeprefix('torch.')}", *spread(times)]))
        print("\n".join(table), flush=True)
        tables.append(table)
    replace_section("linearity", [*tables[0], "", *tables[1]])


if __name__ == "__main__":
    main()
