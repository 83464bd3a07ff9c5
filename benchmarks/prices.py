"""What a Hessian and a step of the flow cost, in gradients, by the number of parameters and of samples.

The native engine on one thread, in processor time; all that is compared takes turns, the least of some repeats counts.
A gradient is a step of gradient descent. What a step of the flow takes beside its eight gradients and its Hessian is
the linear algebra: L Lᵀ, and eleven systems solved with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from basinet.descents import rosenbrock
from basinet.protocols import State
from basinet.stages.descend import descend
from basinet.study.study import Study
from report import replace_section

WIDTHS = (2, 4, 11, 40)  # of 2-w-1 networks, of which each has 4 w + 1 parameters
SAMPLES = (16, 128)
REPEATS = 3
NUMBERS = 400_000  # in the Hessians of all restarts together
STEPS = 100
STAGES = 8


def study_of(width: int, samples: int, **descent: Any) -> Study:
    size = 4 * width + 1
    return Study.from_config(
        {
            "problem": {"name": "teacher", "features": 2, "points": samples, "activation": "tanh"},
            "network": {"depth": 2, "width": width, "activation": "tanh"},
            "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
            "restarts": max(64, NUMBERS // size**2),
            "descent": {"tolerance": 0.0, "records": 1, **descent},
            "engine": "native",
            "threads": 1,
        }
    )


def last(study: Study) -> State:
    *_, state = descend(study.objective, study.descent, study.engine, study.starts(range(study.restarts)))
    return state


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def prices(width: int, samples: int) -> tuple[int, float, float]:
    """The number of parameters; what a Hessian costs, and a step of the flow, in gradients."""
    plain = study_of(width, samples, name="gradient_descent", learning_rate=0.01, steps=STEPS)
    flow = study_of(width, samples, name="gradient_flow", method="rosenbrock", time=1.0)
    size, restarts = plain.network.size, plain.restarts
    theta = plain.starts(range(restarts))
    gradients = last(flow).gradients
    assert gradients is not None
    tried = float(gradients.sum()) / rosenbrock.cost(size)
    sides = [lambda: last(plain), lambda: plain.engine.hessian(plain.objective, theta), lambda: last(flow)]
    for side in sides:
        side()
    times = [[seconds(side) for side in sides] for _ in range(REPEATS)]
    descent, hessian, followed = (min(column) for column in zip(*times, strict=True))
    gradient = descent / STEPS / restarts
    return size, hessian / restarts / gradient, followed / tried / gradient


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    torch.set_num_threads(1)
    headings = ["parameters", "samples", "a Hessian", "1 + P / 2", "a step of the flow", "of that linear algebra"]
    lines = [" | ".join(headings), " | ".join(["---"] * len(headings))]
    print("\n".join(lines), flush=True)
    for samples in SAMPLES:
        for width in WIDTHS:
            size, hessian, step = prices(width, samples)
            cells = [hessian, rosenbrock.price(size), step, step - STAGES - hessian]
            lines.append(" | ".join([str(size), str(samples), *(f"{cell:.3g}" for cell in cells)]))
            print(lines[-1], flush=True)
    replace_section("prices", lines)


if __name__ == "__main__":
    main()
