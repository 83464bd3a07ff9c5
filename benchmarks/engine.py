"""Time a step of gradient descent of many restarts: basinet's engines against what a user would otherwise pick.

All in one run, because absolute times on shared machines are not stable and ratios are. basinet is timed with
everything on (stopping test, losses and gradient norms at 40 records); the peers take bare steps. Contestants take
turns, `--rounds` times, and each one's best counts.

    python benchmarks/engine.py                    # all workloads, both precisions; rewrites table and figure in docs
    python benchmarks/engine.py --only xor chain   # prints only
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import math
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import peers
from basinet.descents import GradientDescent
from basinet.descents.budget import Budget
from basinet.engines import choose_engine
from basinet.engines.native.compiler import FLAGS, find_compiler
from basinet.foundation.threads import single_threaded_operations
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.stages.descend import descend
from report import PAGE, replace_section

STEPS = {"xor": 4000, "chain": 1000, "small": 1000, "medium": 200}  # long enough for 40 records to be few, as in use
PEERS = {name: peer for name, peer in peers.PEERS.items() if name != "autograd loop"}
OURS = {"basinet (torch)": "torch", "basinet (native)": "native"}
THREADS = torch.get_num_threads()


def ours(name: str, dtype: torch.dtype, engine_name: str) -> float:
    """Seconds per step of all restarts, over a whole descent."""
    workload = peers.WORKLOADS[name]
    weights, biases, x, y = peers.data(**workload, dtype=dtype)
    layers = zip(weights, biases, strict=True)
    theta = torch.cat([tensor.flatten(1) for layer in layers for tensor in layer], 1)
    risk = EmpiricalRisk(Network(tuple(workload["widths"])), x, y)
    steps = STEPS[name]
    descent = GradientDescent(Budget(0.1, steps, "constant", 0.0, 40))
    engine = choose_engine(engine_name, THREADS, risk, descent)
    start = time.perf_counter()
    with single_threaded_operations():  # as in a study
        for _state in descend(risk, descent, engine, theta):
            pass
    return (time.perf_counter() - start) / steps


def contestants(name: str, dtype: torch.dtype) -> dict[str, Callable[[], float]]:
    """What gives the seconds per step, by contestant."""
    workload = peers.WORKLOADS[name]
    theirs = {peer: (lambda run=run: run(workload, dtype)) for peer, run in PEERS.items()}
    mine = {title: (lambda engine=engine: ours(name, dtype, engine)) for title, engine in OURS.items()}
    return {**theirs, **mine}


def measure(name: str, dtype: torch.dtype, rounds: int) -> dict[str, float]:
    """Milliseconds per step by contestant, the best of some rounds; NaN where a peer is not installed."""
    times: dict[str, list[float]] = {title: [] for title in contestants(name, dtype)}
    for _ in range(rounds):
        for title, run in contestants(name, dtype).items():
            with contextlib.suppress(ImportError):
                times[title].append(1e3 * run())
    return {title: min(taken, default=math.nan) for title, taken in times.items()}


@dataclass(frozen=True)
class Limits:
    """What the machine can do at most, on all cores."""

    matmul: float  # GFLOP/s of a matrix product of 2048 x 2048 by torch
    multiply_add: float  # GFLOP/s of multiply-adds in registers
    logistic: float  # 10^9 logistic functions per second

    @staticmethod
    def measure(dtype: torch.dtype) -> Limits:
        """Measured now."""
        real = {torch.float32: "float", torch.float64: "double"}[dtype]
        source = Path(__file__).with_name("limits.cpp")
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "limits.so"
            command = [*find_compiler().command, "-O3", *FLAGS, f"-DREAL={real}", str(source), "-o", str(made)]
            subprocess.run(command, check=True)
            library = ctypes.CDLL(str(made))
        lanes = library.lanes()
        x, y = torch.tensor([0.5, 0.9], dtype=dtype), torch.zeros(1, dtype=dtype)
        rounds, count = 10_000_000, 64

        def multiply_add() -> None:
            library.multiply_add(ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr()), ctypes.c_long(rounds))

        def logistic() -> None:
            raw = torch.zeros(count * lanes + 64, dtype=dtype)
            address = -(-raw.data_ptr() // 64) * 64
            library.logistics(ctypes.c_void_p(address), ctypes.c_long(count), ctypes.c_long(rounds // count))

        return Limits(
            peers.matmul_limit(dtype),
            2 * 16 * lanes * rounds * THREADS / _on_all_cores(multiply_add) / 1e9,
            lanes * (rounds // count) * count * THREADS / _on_all_cores(logistic) / 1e9,
        )

    def bound(self, workload: dict[str, object]) -> float:
        """Milliseconds that a step takes at least: its multiply-adds, and its logistic functions."""
        units = sum(workload["widths"][1:]) * workload["samples"] * workload["restarts"]
        return 1e-6 * (flops(workload) / self.multiply_add + units / self.logistic)


def _on_all_cores(work: Callable[[], None]) -> float:
    """Seconds until every core has done it: the best of some repeats."""
    times = []
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(5):
            start = time.perf_counter()
            for job in [pool.submit(work) for _ in range(THREADS)]:
                job.result()
            times.append(time.perf_counter() - start)
    return min(times)


def flops(workload: dict[str, object]) -> float:
    """Floating-point operations in the matrix products of a step: forward, back, and the gradient."""
    widths = workload["widths"]
    products = sum(i * o for i, o in itertools.pairwise(widths))
    inner = sum(i * o for i, o in itertools.pairwise(widths[1:]))  # the first layer passes nothing back
    return 2 * (2 * products + inner) * workload["samples"] * workload["restarts"]


def row(name: str, dtype: torch.dtype, result: dict[str, float], limits: Limits) -> str:
    """One line of the table."""
    native, mine = result["basinet (native)"], result["basinet (torch)"]
    torch_peers = min(value for title, value in result.items() if title in PEERS and title != "jax")
    rate = flops(peers.WORKLOADS[name]) / native / 1e6
    cells = [
        *("-" if math.isnan(value) else f"{value:.3g}" for value in result.values()),
        f"{torch_peers / mine:.1f}×",
        "-" if math.isnan(result["jax"]) else f"{result['jax'] / native:.1f}×",
        f"{rate:.0f}",
        f"{rate / limits.matmul:.0%}",
        f"{limits.bound(peers.WORKLOADS[name]) / native:.0%}",
    ]
    return " | ".join([name, str(dtype).removeprefix("torch."), *cells])


def draw(results: dict[tuple[str, str], dict[str, float]], path: Path) -> None:
    """Milliseconds per step, one panel per precision."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
    colours = ["#999999", "#E69F00", "#56B4E9", "#0072B2", "#D55E00"]
    for axes, precision in zip(panels, ("float32", "float64"), strict=True):
        chosen = {name: result for (name, kind), result in results.items() if kind == precision}
        for index, title in enumerate([*PEERS, *OURS]):
            places = [place + 0.16 * (index - 2) for place in range(len(chosen))]
            axes.bar(places, [result[title] for result in chosen.values()], 0.15, label=title, color=colours[index])
        axes.set_yscale("log")
        axes.set_xticks(range(len(chosen)), list(chosen))
        axes.set_title(precision)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("ms per step of all restarts")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure and print; rewrite table and figure in the docs if everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(peers.WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    headings = [
        *("workload", "precision", *PEERS, *OURS),
        *("best torch peer : basinet (torch)", "jax : native", "native GFLOP/s", "of matmul", "of the bound"),
    ]
    lines = [" | ".join(headings), " | ".join(["---"] * len(headings))]
    print("\n".join(lines), flush=True)
    results, notes = {}, []
    for dtype in (torch.float32, torch.float64):
        limits = Limits.measure(dtype)
        precision = str(dtype).removeprefix("torch.")
        notes.append(
            f"{precision}: torch multiplies matrices of 2048 × 2048 at {limits.matmul:.0f} GFLOP/s; multiply-adds "
            f"alone run at {limits.multiply_add:.0f}, and {limits.logistic:.2f}·10⁹ logistic functions a second."
        )
        for name in arguments.only or peers.WORKLOADS:
            results[name, precision] = measure(name, dtype, arguments.rounds)
            lines.append(row(name, dtype, results[name, precision], limits))
            print(lines[-1], flush=True)
    print("\n".join(notes))
    if arguments.only is None:
        replace_section("engine", [*lines, "", *notes])
        draw(results, PAGE.parent / "figures" / "engine.png")


if __name__ == "__main__":
    main()
