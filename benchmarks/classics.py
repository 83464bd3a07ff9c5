"""Classic test functions: what every method of escaping needs for the optimum, beside scipy's from the same starts."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of scipy's products: points are too short for more
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize

from basinet.analysis.running_time import running_time
from basinet.pipeline.run import run
from basinet.study.study import Study
from report import replace_section

PAGE = Path(__file__).resolve().parents[1] / "docs" / "escapes.md"
RUNS = 100
BUDGET = 1_000.0  # gradients of a run; a loss alone counts as a third of one, on both sides
TOLERANCE = 1e-6  # of descents, a gradient, and of what is as low as the optimum, relative to 1 + |f|
METHODS = ("restart", "basin_hopping", "annealing", "langevin", "tunnelling", "stun", "trust")

Array = npt.NDArray[Any]
OPTIMA = {  # as Dixon & Szegö (1978) have them, and Rastrigin's by its definition
    "camel": -1.0316,
    "goldstein_price": 3.0,
    "branin": 0.397887,
    "shubert": -186.7309,
    "hartman3": -3.86278,
    "hartman6": -3.32237,
    "rastrigin": 0.0,
}


def camel(x: Array) -> Array:
    a, b = x.T
    return (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (4 * b**2 - 4) * b**2


def goldstein_price(x: Array) -> Array:
    a, b = x.T
    first = 19 - 14 * a + 3 * a**2 - 14 * b + 6 * a * b + 3 * b**2
    second = 18 - 32 * a + 12 * a**2 + 48 * b - 36 * a * b + 27 * b**2
    return (1 + (a + b + 1) ** 2 * first) * (30 + (2 * a - 3 * b) ** 2 * second)


def branin(x: Array) -> Array:
    a, b = x.T
    square = (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2
    return square + 10 * (1 - 1 / (8 * math.pi)) * np.cos(a) + 10


def shubert(x: Array) -> Array:
    j = np.arange(1, 6)
    return (j * np.cos((j + 1) * x[..., None] + j)).sum(-1).prod(-1)


def rastrigin(x: Array) -> Array:
    return (x**2 + 10 * (1 - np.cos(2 * math.pi * x))).sum(-1)


def hartman(narrowness: list[list[float]], centres: list[list[float]]) -> Callable[[Array], Array]:
    a, p, depths = np.array(narrowness), np.array(centres) * 1e-4, np.array([1, 1.2, 3, 3.2])
    return lambda x: -(depths * np.exp(-(a * (x[:, None] - p) ** 2).sum(-1))).sum(-1)


PUBLISHED: dict[str, Callable[[Array], Array]] = {
    "camel": camel,
    "goldstein_price": goldstein_price,
    "branin": branin,
    "shubert": shubert,
    "hartman3": hartman(
        [[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]],
        [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381.5, 5743, 8828]],
    ),
    "hartman6": hartman(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ],
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ],
    ),
    "rastrigin": rastrigin,
}


class Ended(Exception):
    """A run of scipy's is at the optimum, or has spent its budget."""


class Counted:
    """A function on the cube (-1, 1)^d that its box is mapped to, which counts what it is asked for."""

    def __init__(self, name: str, box: Array) -> None:
        self._f, self._middle, self._half = PUBLISHED[name], box.mean(1), (box[:, 1] - box[:, 0]) / 2
        self._steps = 1e-20j * np.eye(len(box)) * self._half  # of derivatives without cancellation
        self._enough = OPTIMA[name] + TOLERANCE * (1 + abs(OPTIMA[name]))
        self._last: Array | None = None
        self.spent, self.hit = 0.0, False

    def value(self, theta: Array) -> float:
        return float(self._f((self._middle + self._half * theta)[None])[0])

    def slopes(self, theta: Array) -> Array:
        return self._f(self._middle + self._half * theta + self._steps).imag / 1e-20

    def loss(self, theta: Array) -> float:
        """A third of a gradient."""
        value, self._last = self.value(theta), theta.copy()
        self.spent += 1 / 3
        self.hit = value <= self._enough
        if self.hit or self.spent >= BUDGET:
            raise Ended
        return value

    def gradient(self, theta: Array) -> Array:
        """One, and the loss at the same point has been a part of it."""
        self.spent += 2 / 3 if np.array_equal(theta, self._last) else 1
        return self.slopes(theta)


def hopping(f: Counted, start: Array, seed: int) -> None:
    """Scipy's basin hopping with its defaults."""
    local = {"method": "L-BFGS-B", "jac": f.gradient, "options": {"gtol": TOLERANCE}}
    optimize.basinhopping(f.loss, start, niter=10**6, minimizer_kwargs=local, rng=seed)


def annealing(f: Counted, start: Array, seed: int) -> None:
    """Scipy's dual annealing with its defaults, and the gradient, within the box."""
    box = [(-1.0, 1.0)] * len(start)
    local = {"method": "L-BFGS-B", "jac": f.gradient, "bounds": box}
    optimize.dual_annealing(f.loss, box, x0=start, maxiter=10**6, minimizer_kwargs=local, rng=seed)


def study(name: str, method: str) -> Study:
    return Study.from_config(
        {
            "objective": {"name": "test_function", "function": name},
            "init": "uniform",
            "engine": "torch",
            "restarts": RUNS,
            "descent": {"name": "lbfgs", "steps": 1000, "tolerance": TOLERANCE},
            "escape": {"name": method, "budget": BUDGET},
        }
    )


def scipy_s(name: str, method: Callable[[Counted, Array, int], None]) -> pd.DataFrame:
    """Runs of scipy's as visits: one each, where it ended."""
    made, ends = study(name, "restart"), []
    objective: Any = made.exact_objective
    box = np.array(objective.function.box)
    for restart, start in enumerate(made.starts(range(RUNS)).numpy()):
        f = Counted(name, box)
        if restart == 0:
            _same(f, made)
        with contextlib.suppress(Ended):
            method(f, start, restart)
        loss, minimum = (OPTIMA[name], 0) if f.hit else (math.inf, -1)
        ends.append({"restart": restart, "gradients": f.spent, "spent": f.spent, "loss": loss, "minimum": minimum})
    return pd.DataFrame(ends)


def _same(f: Counted, made: Study) -> None:
    """Both sides minimise one function."""
    theta = made.starts(range(1))
    loss, gradient = made.exact_objective.loss_and_gradient(theta)
    point = theta[0].numpy()
    assert np.isclose(f.value(point), float(loss), rtol=1e-10)
    assert np.allclose(f.slopes(point), gradient[0].numpy(), rtol=1e-8, atol=1e-10)


def times(name: str) -> pd.Series:
    """What each method needs for the optimum of a function, as it is written, by method."""
    visits: dict[str, pd.DataFrame] = {}
    for method in METHODS:
        found = run(study(name, method)).visits
        assert found is not None
        visits[method] = found
    visits["scipy: basinhopping"], visits["scipy: dual_annealing"] = scipy_s(name, hopping), scipy_s(name, annealing)
    frames = [frame.assign(escape=method) for method, frame in visits.items()]
    table = running_time(pd.concat(frames, ignore_index=True), "escape", target=OPTIMA[name]).set_index("escape")
    return pd.Series({method: _written(table.loc[method]) for method in visits}, name=name)


def _written(row: pd.Series) -> str:
    share = f"{row['success_share']:.0%}"
    if math.isinf(row["ert"]):
        return f"> {row['ert_low']:,.0f}, {share}"
    return f"{row['ert']:,.0f} [{row['ert_low']:,.0f}, {row['ert_high']:,.0f}], {share}".replace("inf", "∞")


def main() -> None:
    """Run everything, print, and rewrite the table in the docs."""
    columns = []
    for name in PUBLISHED:
        columns.append(times(name))
        print(columns[-1].to_string(), flush=True)
    table = pd.concat(columns, axis=1)
    lines = [" | ".join(["method", *table.columns]), " | ".join(["---"] * (len(table.columns) + 1))]
    lines += [" | ".join([str(method), *row]) for method, row in zip(table.index, table.to_numpy(), strict=True)]
    print("\n".join(lines), flush=True)
    replace_section("classics", lines, PAGE)


if __name__ == "__main__":
    main()
