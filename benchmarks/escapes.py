"""Basin hopping on XOR against scipy's with the analytic gradient, and what a round costs beyond its descent."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of scipy's products: points are too short for more
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from basinet.foundation.threads import single_threaded_operations
from basinet.stages.descend import descend
from basinet.stages.escape import Means, escape, first_standing
from basinet.stages.solution import fold
from basinet.study.study import Study
from report import replace_section

RUNS = 1000
REPEATS = 3
SCIPY_ROUNDS = 10  # of one run: its rounds come one after the other
STEPS = 300  # of descents of the same length on both sides
TOLERANCE = 1e-6  # of those that arrive
USUAL = 30_000.0  # gradients of a run with the descent that is the default, which takes up to 10,000 a round


class Seconds(NamedTuple):
    """Of one round."""

    wall: float
    process: float
    beyond: float = 0.0  # process time outside of the engine, as a share of that inside


class Timed:
    """An engine that knows how much processor time it has taken."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.taken = engine, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def segment(self, *arguments: Any) -> Any:
        return self._timed(self.engine.segment, *arguments)

    def follow(self, *arguments: Any) -> Any:
        return self._timed(self.engine.follow, *arguments)

    def _timed(self, call: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.process_time()
        result = call(*arguments)
        self.taken += time.process_time() - begin
        return result


def study(rounds: int, **descent: Any) -> Study:
    """XOR with penalties, so many rounds of the longest descents."""
    budget = (descent["steps"] + 1) * (rounds + 1)
    return Study.from_config(
        {
            "network": {"activation": "tanh"},
            "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
            "restarts": RUNS,
            "descent": descent,
            "escape": {"name": "basin_hopping", "budget": budget},
        }
    )


def usual(penalty: float) -> Study:
    """What `basinet escape=basin_hopping` runs when nothing else is said, or with penalties."""
    return Study.from_config(
        {
            "objective": {"l2_weights": penalty, "l2_biases": penalty},
            "restarts": RUNS,
            "escape": {"name": "basin_hopping", "budget": USUAL},
        }
    )


def ours(made: Study) -> Seconds:
    """A round of ours: of all runs side by side, with everything that is kept of it."""
    engine, starts = Timed(made.engine), made.starts(range(RUNS))
    with single_threaded_operations():
        ended = fold(descend(made.objective, made.descent, made.engine, starts), made.descent, made.objective.samples)
        functions = made.objective, made.exact_objective, made.descent
        means = Means(*functions, engine, made.escape, made.seed, made.fresh_starts)
        standing = first_standing(means, range(RUNS), starts, ended)
        begin, process = time.perf_counter(), time.process_time()
        escaped = escape(means, made.escape.allowance, standing, lambda share: None)
        wall, process = time.perf_counter() - begin, time.process_time() - process
    rounds = int((escaped.rounds - 1).sum())
    return Seconds(wall / rounds, process / rounds, process / engine.taken - 1)


def loss_and_gradient(made: Study) -> Callable[[Any], tuple[float, Any]]:
    """The same function in numpy, for one restart."""
    x, y = (tensor.numpy() for tensor in (made.problem.inputs, made.problem.targets))
    width = made.network.widths[1]

    def both(theta: Any) -> tuple[float, Any]:
        w, b = theta[: 2 * width].reshape(width, 2), theta[2 * width : 3 * width, None]
        v, c = theta[3 * width : 4 * width], theta[4 * width]
        hidden = np.tanh(w @ x + b)
        answer = 1 / (1 + np.exp(-(v @ hidden + c)))
        error = answer - y[0]
        outer = error * answer * (1 - answer) / x.shape[1]
        inner = v[:, None] * outer * (1 - hidden**2)
        slope = np.concatenate([(inner @ x.T).ravel(), inner.sum(1), hidden @ outer, [outer.sum()]])
        return float((error**2).mean() / 2 + 5e-4 * (theta @ theta)), slope + 1e-3 * theta

    theta = made.starts(range(1))
    loss, gradient = made.exact_objective.loss_and_gradient(theta)
    assert np.isclose(both(theta[0].numpy())[0], float(loss), rtol=1e-10)
    assert np.allclose(both(theta[0].numpy())[1], gradient[0].numpy(), rtol=1e-8, atol=1e-12)
    return both


def scipy_s(made: Study, local: dict[str, Any]) -> Seconds:
    """A round of scipy's, with a local minimiser."""
    both, start = loss_and_gradient(made), made.starts(range(1))[0].numpy()
    begin, process = time.perf_counter(), time.process_time()
    optimize.basinhopping(both, start, niter=SCIPY_ROUNDS, T=0.01, minimizer_kwargs={"jac": True, **local})
    taken = time.perf_counter() - begin, time.process_time() - process
    return Seconds(*(seconds / (SCIPY_ROUNDS + 1) for seconds in taken))


def descending(both: Callable[[Any], tuple[float, Any]]) -> Callable[..., Any]:
    """Gradient descent of `STEPS` steps, as a minimiser of scipy's."""

    def descent(f: Any, start: Any, args: Any = (), **unused: Any) -> Any:
        for _ in range(STEPS):
            start = start - 0.5 * both(start)[1]
        return optimize.OptimizeResult(x=start, fun=both(start)[0], success=True)

    return descent


def main() -> None:
    """Measure in turns, print, and rewrite the table in the docs."""
    alike = study(100, steps=STEPS, learning_rate=0.5, tolerance=0, records=1)
    arriving = study(1, name="lbfgs", steps=1_000, tolerance=TOLERANCE)
    same = {"method": descending(loss_and_gradient(alike))}
    own = {"method": "L-BFGS-B", "options": {"gtol": TOLERANCE, "ftol": 0.0}}
    turns = [(ours(alike), scipy_s(alike, same), ours(arriving), scipy_s(arriving, own)) for _ in range(REPEATS)]
    plain, penalised = ours(usual(0.0)), ours(usual(1e-3))

    def ratio(one: int, other: int, what: str) -> str:
        return f"{statistics.median(getattr(t[other], what) / getattr(t[one], what) for t in turns):,.0f}×"

    lines = [
        "a round of basin hopping on XOR, scipy : basinet | wall time | processor time",
        "--- | --- | ---",
        f"{STEPS} steps of gradient descent each | {ratio(0, 1, 'wall')} | {ratio(0, 1, 'process')}",
        f"L-BFGS of either, to {TOLERANCE:g} | {ratio(2, 3, 'wall')} | {ratio(2, 3, 'process')}",
        "",
        f"Beyond its descent a round takes {plain.beyond:.0%} of a descent by default, on XOR as it is, and "
        f"{penalised.beyond:.0%} with penalties of 1e-3; {statistics.median(t[0].beyond for t in turns):.0%} of one of "
        f"{STEPS} steps, {statistics.median(t[2].beyond for t in turns):.0%} of one by L-BFGS to {TOLERANCE:g}.",
    ]
    print("\n".join(lines), flush=True)
    replace_section("escapes", lines)


if __name__ == "__main__":
    main()
