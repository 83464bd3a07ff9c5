"""Gradient flows per second to the same tolerance: basinet, diffrax and scipy, from the same starts in one run.

All follow θ' = -∇f for the same time with rtol = 1e-8 and atol = 1e-10. diffrax has Kvaerno5 with its adaptive step
size, vmapped and compiled, in float64; scipy has Radau and LSODA, one restart at a time, with the gradient and the
Hessian by NumPy's matrix products. Sides take turns, and the least of the repeats counts, in wall and in CPU time; a
side that takes longer than `LONG` is not asked again. Of `small` diffrax follows one restart only, since that takes it
half a minute.

    python benchmarks/flows.py [workload …] [--repeats 3]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import solve_ivp

from basinet.stages.descend import descend
from basinet.study.study import Study

RTOL, ATOL = 1e-8, 1e-10
LONG = 20.0  # seconds
PENALTY = {"l2_weights": 1e-3, "l2_biases": 1e-3}


class Workload(NamedTuple):
    settings: dict[str, Any]
    time: float
    native: int  # restarts of each side
    diffrax: int
    scipy: int


WORKLOADS = {  # until nearly all have arrived; small: 2-8-8-8-1 on 128 samples
    "xor": Workload({"problem": "xor", "objective": PENALTY}, 3e4, 20_000, 256, 8),
    "small": Workload(
        {
            "problem": {"name": "teacher", "features": 2, "points": 128, "activation": "logistic"},
            "network": {"depth": 4, "width": 8, "activation": "logistic", "output": "logistic"},
            "objective": PENALTY,
        },
        *(1e4, 64, 1, 4),
    ),
}


class Took(NamedTuple):
    wall: float
    cpu: float


def timed(run: Callable[[], object]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def study_of(workload: Workload, restarts: int, **descent: Any) -> Study:
    flow = {"name": "gradient_flow", "rtol": RTOL, "atol": ATOL, "time": workload.time, "tolerance": 0.0, "records": 1}
    return Study.from_config({**workload.settings, "restarts": restarts, "descent": {**flow, **descent}})


def basinet_ends(study: Study) -> npt.NDArray[np.float64]:
    *_, last = descend(study.objective, study.descent, study.engine, study.starts(range(study.restarts)))
    ends: npt.NDArray[np.float64] = last.theta.numpy()
    return ends


def gradient_at(study: Study, ends: npt.NDArray[np.float64]) -> torch.Tensor:
    return study.engine.loss_and_gradient(study.objective, torch.from_numpy(ends))[1]


def scipy_ends(study: Study, method: str) -> npt.NDArray[np.float64]:
    network = NumpyNetwork(study)
    ends = []
    for start in study.starts(range(study.restarts)).numpy():
        jacobian = {"jac": lambda t, w: -network.hessian(w)}
        solved = solve_ivp(
            lambda t, w: -network.gradient(w), (0, study.marks[-1]), start, method, rtol=RTOL, atol=ATOL, **jacobian
        )
        ends.append(solved.y[:, -1])
    return np.stack(ends)


class NumpyNetwork:
    """A network of logistic layers for one θ, as somebody writes it for scipy, with its Hessian."""

    def __init__(self, study: Study) -> None:
        self.x, self.y = study.problem.inputs.numpy(), study.problem.targets.numpy()
        self.widths = study.network.widths

    def layers(self, theta: npt.NDArray[np.float64]) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        found, at = [], 0
        for before, after in itertools.pairwise(self.widths):
            end = at + before * after
            found.append((theta[at:end].reshape(after, before), theta[end : end + after, None]))
            at = end + after
        return found

    def passes(self, theta: npt.NDArray[np.float64]) -> tuple[list[Any], list[Any], list[Any]]:
        """Layers, activations with the inputs first, and δ_l of every layer."""
        layers, activations = self.layers(theta), [self.x]
        for weight, bias in layers:
            activations.append(1 / (1 + np.exp(-(weight @ activations[-1] + bias))))
        g, deltas = (activations[-1] - self.y) / self.x.shape[1], []
        for (weight, _), a in zip(layers[::-1], activations[:0:-1], strict=True):
            deltas.append(g * a * (1 - a))
            g = weight.T @ deltas[-1]
        return layers, activations, deltas[::-1]

    def gradient(self, theta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        _, activations, deltas = self.passes(theta)
        parts = [np.concatenate([(d @ a.T).ravel(), d.sum(1)]) for d, a in zip(deltas, activations, strict=False)]
        return np.concatenate(parts) + PENALTY["l2_weights"] * theta

    def hessian(self, theta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """All products with unit vectors at once, by the R-operator."""
        size, samples = len(theta), self.x.shape[1]
        layers, activations, deltas = self.passes(theta)
        directions = [self.layers(unit) for unit in np.eye(size)]
        ra = np.zeros((size, *self.x.shape))
        kept = []
        for layer, (weight, _) in enumerate(layers):
            v = np.stack([d[layer][0] for d in directions])
            c = np.stack([d[layer][1] for d in directions])
            a = activations[layer + 1]
            rz = v @ activations[layer] + weight @ ra + c
            kept.append((v, ra, rz))
            ra = a * (1 - a) * rz
        rg, g, rows = ra / samples, (activations[-1] - self.y) / samples, []
        for layer in reversed(range(len(layers))):
            weight, a, delta = layers[layer][0], activations[layer + 1], deltas[layer]
            v, ra_below, rz = kept[layer]
            slope = a * (1 - a)
            rdelta = rg * slope + g * slope * (1 - 2 * a) * rz
            rw = rdelta @ activations[layer].T + delta @ ra_below.transpose(0, 2, 1)
            rows.append(np.concatenate([rw.reshape(size, -1), rdelta.sum(2)], 1))
            rg, g = v.transpose(0, 2, 1) @ delta + weight.T @ rdelta, weight.T @ delta
        return np.concatenate(rows[::-1], 1) + PENALTY["l2_weights"] * np.eye(size)


def diffrax_ends(study: Study) -> Callable[[], npt.NDArray[np.float64]]:
    """Compiled beforehand, so that compiling is not timed."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, y = jnp.array(study.problem.inputs.numpy()), jnp.array(study.problem.targets.numpy())
    widths = study.network.widths

    def loss(theta: Any) -> Any:
        a, at = x, 0
        for before, after in itertools.pairwise(widths):
            end = at + before * after
            a = jax.nn.sigmoid(theta[at:end].reshape(after, before) @ a + theta[end : end + after, None])
            at = end + after
        return 0.5 * jnp.mean(jnp.sum((a - y) ** 2, 0)) + 0.5 * PENALTY["l2_weights"] * jnp.sum(theta**2)

    term = diffrax.ODETerm(lambda t, theta, _: -jax.grad(loss)(theta))
    control = diffrax.PIDController(rtol=RTOL, atol=ATOL)

    def end(start: Any) -> Any:
        solved = diffrax.diffeqsolve(
            *(term, diffrax.Kvaerno5(), 0.0, study.marks[-1], None, start),
            stepsize_controller=control,
            max_steps=100_000,
        )
        return solved.ys[-1]

    starts = jnp.array(study.starts(range(study.restarts)).numpy())
    many = jax.jit(jax.vmap(end)).lower(starts).compile()
    return lambda: np.asarray(many(starts).block_until_ready())


def descent_seconds(workload: Workload, restarts: int) -> Callable[[], object]:
    """20,000 steps of gradient descent from the same starts."""
    settings = {"name": "gradient_descent", "steps": 20_000, "tolerance": 0.0, "records": 1, "learning_rate": 1.0}
    study = Study.from_config({**workload.settings, "restarts": restarts, "descent": settings})
    return lambda: basinet_ends(study)


def compare(name: str, repeats: int) -> None:
    workload = WORKLOADS[name]
    studies = {side: study_of(workload, count) for side, count in zip(Workload._fields[2:], workload[2:], strict=True)}
    sides: dict[str, tuple[int, Callable[[], Any]]] = {
        "basinet": (workload.native, lambda: basinet_ends(studies["native"])),
        "diffrax Kvaerno5": (workload.diffrax, diffrax_ends(studies["diffrax"])),
        "scipy Radau": (workload.scipy, lambda: scipy_ends(studies["scipy"], "Radau")),
        "scipy LSODA": (workload.scipy, lambda: scipy_ends(studies["scipy"], "LSODA")),
        "gradient descent, 20,000 steps": (workload.native, descent_seconds(workload, workload.native)),
    }
    basinet_ends(study_of(workload, 8))  # the kernel is compiled
    took: dict[str, list[Took]] = {side: [] for side in sides}
    ends: dict[str, Any] = {}
    for _ in range(repeats):
        for side, (_, run) in sides.items():
            if took[side] and took[side][0].wall > LONG:
                continue
            took[side].append(timed(lambda run=run, side=side: ends.__setitem__(side, run())))  # type: ignore[misc]
    best = {side: Took(min(t.wall for t in every), min(t.cpu for t in every)) for side, every in took.items()}
    reference = ends["basinet"]
    left = torch.linalg.vector_norm(gradient_at(studies["native"], reference), dim=1).median()
    print(f"\n{name}: {len(reference[0])} parameters, time {workload.time:g}, where the median of ‖∇f‖ is {left:.0e}")
    print(f"{'':32}{'restarts':>9}{'per s':>12}{'per CPU s':>12}{'basinet : it':>14}{'by CPU':>9}{'apart':>10}")
    mine = workload.native / best["basinet"].wall, workload.native / best["basinet"].cpu
    for side, (count, _) in sides.items():
        wall, cpu = count / best[side].wall, count / best[side].cpu
        apart = np.abs(ends[side] - reference[:count]).max() if "steps" not in side else np.nan
        print(f"{side:32}{count:9,}{wall:12,.1f}{cpu:12,.1f}{mine[0] / wall:14.1f}{mine[1] / cpu:9.1f}{apart:10.1g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for workload_name in options.workloads:
        compare(workload_name, options.repeats)
