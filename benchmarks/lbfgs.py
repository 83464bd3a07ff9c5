"""L-BFGS: basinet against scipy's L-BFGS-B, in gradients and in time, to the same norm of the gradient.

Both begin at the same starts, remember ten steps and stop where ‖∇f‖ ≤ 1e-6. scipy minimises one restart at a time
with a NumPy callback for loss and gradient (the same formulas for one network, without batching). Each side's time is
the least of interleaved repeats, of the clock and of the processors.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of NumPy's products: networks are too small for more
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize

from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.stages.descend import descend
from basinet.stages.solution import Solution, fold
from basinet.study.study import Study
from report import replace_section

PENALTY = {"l2_weights": 1e-3, "l2_biases": 1e-3}
WORKLOADS: dict[str, tuple[dict[str, Any], int, int]] = {  # settings, restarts of basinet, of scipy
    "XOR 2-2-1": ({"problem": "xor", "objective": PENALTY}, 4096, 60),
    "sine 1-8-8-8-1": (
        {"problem": "sine", "network": {"depth": 4, "width": 8, "activation": "tanh"}, "objective": PENALTY},
        256,
        6,
    ),
    "digits 64-10-10": (
        {"problem": "digits", "network": {"width": 10}, "objective": {**PENALTY, "loss": "cross_entropy"}},
        16,
        2,
    ),
}
TOLERANCE = 1e-6
REPEATS = 3
Call = Callable[[np.ndarray], tuple[float, np.ndarray]]


def in_numpy(study: Study) -> Call:
    """Loss and gradient of one network, as somebody writes them for scipy."""
    risk: Any = study.objective
    x, y, penalty = study.problem.inputs.numpy(), study.problem.targets.numpy(), risk.l2_weights
    shapes, n = list(itertools.pairwise(study.network.widths)), x.shape[1]
    hidden = study.network.activation
    output = "identity" if risk.loss_name == "cross_entropy" else study.network.output  # the softmax is in the loss

    def activate(name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if name == "identity":
            return z, np.ones_like(z)
        a = np.tanh(z) if name == "tanh" else 1 / (1 + np.exp(-z))
        return a, 1 - a * a if name == "tanh" else a * (1 - a)

    def call(theta: np.ndarray) -> tuple[float, np.ndarray]:
        layers, at, a, passed = [], 0, x, []
        for width, wide in shapes:
            layers.append(theta[at : at + wide * width].reshape(wide, width))
            bias = theta[at + wide * width : at + wide * (width + 1)]
            at += wide * (width + 1)
            before = a
            a, slope = activate(output if len(layers) == len(shapes) else hidden, layers[-1] @ a + bias[:, None])
            passed.append((before, slope))
        if risk.loss_name == "cross_entropy":
            shifted = a - a.max(0)
            p = np.exp(shifted)
            total = p.sum(0)
            loss, delta = (np.log(total) * y.sum(0) - (y * shifted).sum(0)).sum() / n, (p / total - y) / n
        else:
            loss, delta = 0.5 * ((a - y) ** 2).sum() / n, (a - y) / n
        parts = []
        for layer, (before, slope) in zip(reversed(layers), reversed(passed), strict=True):
            delta = delta * slope
            parts += [delta.sum(1), (delta @ before.T).ravel()]
            delta = layer.T @ delta
        return loss + 0.5 * penalty * theta @ theta, np.concatenate(parts[::-1]) + penalty * theta

    return call


class Arrived(Exception):
    """The gradient is small enough."""


class Cost(NamedTuple):
    """Of one restart that arrives, on average."""

    gradients: float
    seconds: float
    processor: float  # seconds


def scipys(call: Call, starts: np.ndarray) -> Cost:
    """What scipy takes for some starts."""
    spent = 0

    def counted(theta: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal spent
        spent += 1
        loss, gradient = call(theta)
        if gradient @ gradient <= TOLERANCE**2:
            raise Arrived
        return loss, gradient

    options = {"maxcor": 10, "ftol": 0, "gtol": 0, "maxiter": 20_000, "maxfun": 10**6}
    clock, processor, arrived = time.perf_counter(), time.process_time(), 0
    for start in starts:
        try:
            minimize(counted, start.copy(), jac=True, method="L-BFGS-B", options=options)
        except Arrived:
            arrived += 1
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return Cost(spent / arrived, clock / arrived, processor / arrived)


def ours(study: Study, starts: torch.Tensor) -> tuple[Cost, Solution]:
    """What basinet takes for some starts."""
    clock, processor = time.perf_counter(), time.process_time()
    found = fold(descend(study.objective, study.descent, study.engine, starts), study.descent, study.objective.samples)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    arrived = int((found.gradient_norm <= TOLERANCE).sum())
    return Cost(float(found.gradients.sum()) / arrived, clock / arrived, processor / arrived), found


def check(study: Study, call: Call, start: torch.Tensor) -> None:
    """The two sides minimise the same function."""
    assert isinstance(study.objective, EmpiricalRisk)
    loss, gradient = study.objective.loss_and_gradient(start)
    mine, my_gradient = call(start[0].numpy())
    assert abs(mine - float(loss[0])) < 1e-12
    assert np.abs(my_gradient - gradient[0].numpy()).max() < 1e-12


def main() -> None:
    """Measure, print, and rewrite the table in the docs unless `--dry` is given."""
    headings = ["to a gradient of 1e-6, per restart", "scipy: gradients", "ms", "basinet: gradients", "ms"]
    headings += ["gradients, basinet : scipy", "time, scipy : basinet", "processor time"]
    lines = [" | ".join(headings), " | ".join(["---"] * len(headings))]
    print("\n".join(lines), flush=True)
    for name, (settings, many, few) in WORKLOADS.items():
        descent = {"name": "lbfgs", "tolerance": TOLERANCE, "steps": 20_000}
        study = Study.from_config({**settings, "descent": descent, "restarts": many})
        starts, call = study.starts(range(many)), in_numpy(study)
        check(study, call, starts[:1])
        ours(study, starts[:2])  # compiles
        scipy, mine = [], []
        for _ in range(REPEATS):
            scipy.append(scipys(call, starts[:few].numpy()))
            mine.append(ours(study, starts)[0])
        same, _ = ours(study, starts[:few])  # gradients are compared on the same starts
        one, other = (Cost(*map(min, zip(*costs, strict=True))) for costs in (scipy, mine))
        cells = [
            f"{one.gradients:.0f}",
            f"{1e3 * one.seconds:.3g}",
            f"{same.gradients:.0f}",
            f"{1e3 * other.seconds:.3g}",
        ]
        cells += [f"{same.gradients / one.gradients:.2f}", f"{one.seconds / other.seconds:.0f}×"]
        lines.append(" | ".join([name, *cells, f"{one.processor / other.processor:.0f}×"]))
        print(lines[-1], flush=True)
    if "--dry" not in sys.argv:
        replace_section("lbfgs", lines)


if __name__ == "__main__":
    main()
