"""Time a step of gradient descent of many restarts: basinet's engine against what a user would otherwise pick.

All in one run, because absolute times on shared machines are not stable and ratios are. basinet is timed with
everything on (stopping test, losses and gradient norms at 40 records); the peers take bare steps.

    python benchmarks/engine.py                     # all workloads, both precisions; rewrites the table in the docs
    python benchmarks/engine.py --only xor chain    # prints only
"""

from __future__ import annotations

import argparse
import time

import torch

import peers
from basinet.budget import Budget
from basinet.descend import descend
from basinet.descents import GradientDescent
from basinet.engines import choose_engine
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from report import replace_section

STEPS = {"xor": 2000, "chain": 1000, "small": 1000, "medium": 150}  # long enough for 40 records to be few, as in use
PEERS = {name: peer for name, peer in peers.PEERS.items() if name != "autograd loop"}


def ours(name: str, dtype: torch.dtype, repeats: int = 2) -> float:
    """Seconds per step of all restarts: the best of some repeats of a whole descent."""
    workload = peers.WORKLOADS[name]
    weights, biases, x, y = peers.data(**workload, dtype=dtype)
    layers = zip(weights, biases, strict=True)
    theta = torch.cat([tensor.flatten(1) for layer in layers for tensor in layer], 1)
    risk = EmpiricalRisk(Network(tuple(workload["widths"])), x, y)
    descent = GradientDescent(Budget(0.1, STEPS[name], "constant", 0.0, 40))
    engine = choose_engine("torch", torch.get_num_threads())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _state in descend(risk, descent, engine, theta):
            pass
        times.append((time.perf_counter() - start) / STEPS[name])
    return min(times)


def measure(name: str, dtype: torch.dtype) -> dict[str, float | None]:
    """Milliseconds per step by contestant; None where a peer is not installed."""
    result: dict[str, float | None] = {}
    for peer, run in PEERS.items():
        try:
            result[peer] = 1e3 * run(peers.WORKLOADS[name], dtype)
        except ImportError:
            result[peer] = None
    result["basinet (torch)"] = 1e3 * ours(name, dtype)
    return result


def row(name: str, dtype: torch.dtype, result: dict[str, float | None]) -> str:
    """One line of the table."""
    torch_peers = [value for peer, value in result.items() if "basinet" not in peer and peer != "jax" and value]
    mine = result["basinet (torch)"]
    assert mine is not None
    cells = ["-" if value is None else f"{value:.3g}" for value in result.values()]
    return " | ".join([name, str(dtype).removeprefix("torch."), *cells, f"{min(torch_peers) / mine:.1f}×"])


def main() -> None:
    """Measure and print; rewrite the table in the docs if everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(peers.WORKLOADS))
    chosen = parser.parse_args().only
    lines = [
        " | ".join(["workload", "precision", *PEERS, "basinet (torch)", "best torch peer : basinet"]),
        " | ".join(["---"] * (len(PEERS) + 4)),
    ]
    print("\n".join(lines), flush=True)
    for dtype in (torch.float32, torch.float64):
        for name in chosen or peers.WORKLOADS:
            lines.append(row(name, dtype, measure(name, dtype)))
            print(lines[-1], flush=True)
    if chosen is None:
        replace_section("engine", lines)


if __name__ == "__main__":
    main()
