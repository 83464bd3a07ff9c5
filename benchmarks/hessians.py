"""Exact Hessians per second in float64: basinet's R-operator in both engines against torch.func and JAX, in one run."""

from __future__ import annotations

import contextlib
import math
import time

import torch

import peers
from basinet.engines import NativeEngine, TorchEngine
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Engine
from report import replace_section

ENGINES = {"basinet (torch)": TorchEngine, "basinet (native)": NativeEngine}


def ours(workload: dict[str, object], engine: Engine) -> float:
    """Seconds for the Hessians of all restarts: the best of some repeats."""
    _, _, x, y = peers.data(**workload, dtype=torch.float64)
    theta = torch.randn(workload["restarts"], peers.parameters(workload), dtype=torch.float64)
    risk = EmpiricalRisk(Network(tuple(workload["widths"])), x, y)
    engine.hessian(risk, theta)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        engine.hessian(risk, theta)
        times.append(time.perf_counter() - start)
    return min(times)


def rates(name: str, restarts: int) -> dict[str, float]:
    """Hessians per second by contestant; NaN where one is not installed."""
    workload = {**peers.WORKLOADS[name], "restarts": restarts}
    found = {}
    for title, peer in peers.HESSIAN_PEERS.items():
        found[title] = math.nan
        with contextlib.suppress(ImportError):
            found[title] = restarts / peer(workload, torch.float64)
    for title, engine in ENGINES.items():
        found[title] = restarts / ours(workload, engine(torch.get_num_threads()))
    return found


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    headings = ["workload", *peers.HESSIAN_PEERS, *ENGINES, "native : jax"]
    lines = [" | ".join(headings), " | ".join(["---"] * len(headings))]
    print("\n".join(lines), flush=True)
    for name, restarts in peers.HESSIAN_RESTARTS.items():
        found = rates(name, restarts)
        cells = ["-" if math.isnan(rate) else f"{rate:,.0f}" for rate in found.values()]
        ratio = found["basinet (native)"] / found["jax vmap hessian"]
        lines.append(" | ".join([name, *cells, "-" if math.isnan(ratio) else f"{ratio:.1f}×"]))
        print(lines[-1], flush=True)
    replace_section("hessians", lines)


if __name__ == "__main__":
    main()
