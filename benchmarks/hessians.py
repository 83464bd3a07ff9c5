"""Exact Hessians per second in float64: basinet's R-operator against torch.func and JAX, all in one run."""

from __future__ import annotations

import time

import torch

import peers
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from report import replace_section


def ours(workload: dict[str, object]) -> float:
    """Seconds for the Hessians of all restarts: the best of some repeats."""
    _, _, x, y = peers.data(**workload, dtype=torch.float64)
    theta = torch.randn(workload["restarts"], peers.parameters(workload), dtype=torch.float64)
    risk = EmpiricalRisk(Network(tuple(workload["widths"])), x, y)
    risk.hessian(theta)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        risk.hessian(theta)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    lines = [" | ".join(["workload", *peers.HESSIAN_PEERS, "basinet"]), " | ".join(["---"] * 4)]
    print("\n".join(lines), flush=True)
    for name, restarts in peers.HESSIAN_RESTARTS.items():
        workload = {**peers.WORKLOADS[name], "restarts": restarts}
        cells = [name]
        for peer in peers.HESSIAN_PEERS.values():
            try:
                cells.append(f"{restarts / peer(workload, torch.float64):,.0f}")
            except ImportError:
                cells.append("not installed")
        cells.append(f"{restarts / ours(workload):,.0f}")
        lines.append(" | ".join(cells))
        print(lines[-1], flush=True)
    replace_section("hessians", lines)


if __name__ == "__main__":
    main()
