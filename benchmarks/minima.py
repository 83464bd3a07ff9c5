"""Certified minima per second: basinet against a scipy multi-start, and the merging of many restarts.

Both start from the same points. basinet descends, polishes, takes the whole spectrum and the verdict; scipy runs
`minimize(method="trust-exact")` on one restart at a time with NumPy callbacks for loss, gradient and Hessian (the same
formulas for one network, without batching) and then takes the spectrum. All sides are measured in turns, several times,
by the clock and by the time that processors were at it; of each the best counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize

from basinet.foundation.outcomes import Kind
from basinet.pipeline import tables
from basinet.pipeline.solve import solve
from basinet.stages.certify import classify
from basinet.study.study import Study
from report import replace_section

PENALTY = {"l2_weights": 1e-3, "l2_biases": 1e-3}
STUDIES = {
    "XOR 2-2-1, logistic": {
        "problem": "xor",
        "objective": PENALTY,
        "descent": {"learning_rate": 4.0, "steps": 1000, "tolerance": 1e-5},
    },
    "sine 1-4-1, tanh": {
        "problem": "sine",
        "network": {"activation": "tanh", "width": 4},
        "objective": PENALTY,
        "descent": {"name": "nesterov", "learning_rate": 0.1, "momentum": 0.95, "steps": 1000, "tolerance": 1e-5},
        "polish": {"name": "newton", "radius": 0.5},
    },
}
NEURON = {  # exactly 2^8 minima (Auer, Herbster & Warmuth, 1995)
    "problem": {"name": "neuron", "dimension": 8},
    "network": {"depth": 1, "bias": False},
    "init": {"name": "uniform", "bound": 40.0},
    "descent": {"learning_rate": 320.0, "steps": 3000},
}
MERGED = {"XOR 2-2-1": STUDIES["XOR 2-2-1, logistic"], "one neuron on 8 axes": NEURON}
RESTARTS = 10_000
ENGINES = {"basinet (torch)": "torch", "basinet (native)": "native"}
SCIPY_RESTARTS = 400  # timed; the rate per restart is what counts
REPEATS = 3


class OneNetwork:
    """Loss, gradient and Hessian of one two-layer network with NumPy: what somebody writes for scipy."""

    def __init__(self, study: Study) -> None:
        self.x, self.y = study.problem.inputs.numpy(), study.problem.targets.numpy()
        self.shape = study.network.widths
        self.hidden, self.output = study.network.activation, study.network.output
        self.penalty = study.exact_objective.l2_weights

    def _split(self, theta: np.ndarray) -> tuple[np.ndarray, ...]:
        i, h, o = self.shape
        ends = np.cumsum([h * i, h, o * h])
        w, b, v, c = np.split(theta, ends)
        return w.reshape(h, i), b[:, None], v.reshape(o, h), c[:, None]

    @staticmethod
    def _activate(name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if name == "identity":
            return z, np.ones_like(z), np.zeros_like(z)
        if name == "tanh":
            a = np.tanh(z)
            return a, 1 - a * a, -2 * a * (1 - a * a)
        a = 1 / (1 + np.exp(-z))
        return a, a * (1 - a), a * (1 - a) * (1 - 2 * a)

    def loss_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        w, b, v, c = self._split(theta)
        n = self.x.shape[1]
        a, slope, _ = self._activate(self.hidden, w @ self.x + b)
        out, out_slope, _ = self._activate(self.output, v @ a + c)
        error = out - self.y
        delta = error * out_slope / n
        back = (v.T @ delta) * slope
        gradient = [back @ self.x.T, back.sum(1), delta @ a.T, delta.sum(1)]
        value = 0.5 * (error**2).sum() / n + 0.5 * self.penalty * theta @ theta
        return value, np.concatenate([part.ravel() for part in gradient]) + self.penalty * theta

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        w, b, v, c = self._split(theta)
        n = self.x.shape[1]
        x1 = np.vstack([self.x, np.ones(n)])
        a, slope, bend = self._activate(self.hidden, w @ self.x + b)
        out, out_slope, out_bend = self._activate(self.output, v @ a + c)
        error = out - self.y
        h, i = self.shape[1], self.shape[0]
        a1 = np.vstack([a, np.ones(n)])
        # One output: z_out's derivative by every parameter, [parameter, sample], and its second derivatives.
        inner = (v.T * slope)[:, None] * x1[None]  # [hidden, input + 1, sample]
        jacobian = np.vstack([inner[:, :i].reshape(h * i, n), inner[:, i], a1])
        first = (out_slope**2 + error * out_bend) / n
        second = error * out_slope / n
        result = (jacobian * first) @ jacobian.T
        for unit in range(h):
            rows = [*range(unit * i, unit * i + i), h * i + unit]
            result[np.ix_(rows, rows)] += (x1 * (second * v[0, unit] * bend[unit])) @ x1.T
            cross = x1 @ (second[0] * slope[unit])
            column = h * i + h + unit
            result[rows, column] += cross
            result[column, rows] += cross
        return result + self.penalty * np.eye(len(theta))


@dataclass(frozen=True)
class Found:
    """Certified minima of some restarts, and what they took."""

    restarts: int
    minima: int
    seconds: float
    of_processors: float  # seconds, of all cores together

    @staticmethod
    def by(work: Callable[[], int], restarts: int) -> Found:
        """What `work` takes to find the minima that it counts."""
        start, busy = time.perf_counter(), time.process_time()
        minima = work()
        return Found(restarts, minima, time.perf_counter() - start, time.process_time() - busy)


def ours(study: Study) -> int:
    """How many of all restarts are certified minima."""
    block = solve(study, range(study.restarts))
    kind = classify(tables.evidence_arrays([block]), study.tolerances)
    tables.merged([block], kind, study.exact_objective.symmetry, study.tolerances)
    return int((kind == Kind.MINIMUM).sum())


def scipys(study: Study, starts: np.ndarray) -> int:
    """How many starts end with a gradient at rounding level and λ > 0."""
    network = OneNetwork(study)
    found = 0
    for theta in starts:
        end = minimize(
            network.loss_and_gradient,
            theta,
            jac=True,
            hess=network.hessian,
            method="trust-exact",
            options={"gtol": 1e-11, "maxiter": 2000},
        )
        _, gradient = network.loss_and_gradient(end.x)
        found += bool(np.linalg.norm(gradient) < 1e-10 and np.linalg.eigvalsh(network.hessian(end.x))[0] > 1e-9)
    return found


def check(study: Study, starts: np.ndarray) -> None:
    """The two sides minimise the same function."""
    import torch

    loss, gradient = study.exact_objective.loss_and_gradient(torch.from_numpy(starts[:1]))
    mine, my_gradient = OneNetwork(study).loss_and_gradient(starts[0])
    assert abs(mine - float(loss[0])) < 1e-12
    assert np.abs(my_gradient - gradient[0].numpy()).max() < 1e-12
    hessian = study.exact_objective.hessian(torch.from_numpy(starts[:1]))[0].numpy()
    assert np.abs(OneNetwork(study).hessian(starts[0]) - hessian).max() < 1e-12


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    headings = ["certified minima per second", "scipy trust-exact", *ENGINES, "native : scipy", "by processor time"]
    lines = [" | ".join(headings), " | ".join(["---"] * len(headings))]
    print("\n".join(lines), flush=True)
    for name, settings in STUDIES.items():
        sides = contestants(settings)
        rounds = [[Found.by(work, restarts) for work, restarts in sides] for _ in range(REPEATS)]
        best = [max(side, key=lambda found: found.minima / found.seconds) for side in zip(*rounds, strict=True)]
        rates = [found.minima / found.seconds for found in best]
        busy = [max(found.minima / found.of_processors for found in side) for side in zip(*rounds, strict=True)]
        cells = [
            f"{rate:,.0f} ({found.minima / found.restarts:.1%} of the restarts)"
            for rate, found in zip(rates, best, strict=True)
        ]
        lines.append(" | ".join([name, *cells, f"{rates[-1] / rates[0]:.0f}×", f"{busy[-1] / busy[0]:.0f}×"]))
        print(lines[-1], flush=True)
    merging = [merge(name, settings) for name, settings in MERGED.items()]
    print(*merging, sep="\n")
    replace_section("minima", [*lines, "", *merging])


def contestants(settings: dict[str, Any]) -> list[tuple[Callable[[], int], int]]:
    """What finds minima, scipy first and the native engine last, each with how many restarts it takes."""
    study = Study.from_config(settings)
    starts = study.starts(range(SCIPY_RESTARTS)).numpy()
    check(study, starts)
    found: list[tuple[Callable[[], int], int]] = [(partial(scipys, study, starts), SCIPY_RESTARTS)]
    for engine in ENGINES.values():
        study = Study.from_config({**settings, "restarts": RESTARTS, "engine": engine})
        solve(study, range(100))  # compiles
        found.append((partial(ours, study), RESTARTS))
    return found


def merge(name: str, settings: dict[str, Any]) -> str:
    """How long 100,000 certified restarts take to be merged."""
    study = Study.from_config({**settings, "restarts": 100_000})
    block = solve(study, range(study.restarts))
    kind = classify(tables.evidence_arrays([block]), study.tolerances)
    start = time.perf_counter()
    found = tables.merged([block], kind, study.exact_objective.symmetry, study.tolerances)
    seconds, minima = time.perf_counter() - start, int((found.kind == Kind.MINIMUM).sum())
    return f"* {name}: 100,000 restarts are merged into {minima:,} minima in {seconds:.2f} s."


if __name__ == "__main__":
    main()
