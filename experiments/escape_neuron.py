"""How the cost of the best of 2^d minima grows with d, and what tuning changes (experiments/escape.md).

The loss of the neuron is a mean over axes, so that its best minimum is known: every axis in the deeper of its two
valleys. Here a descent that has ended there has reached it; nothing is certified, which makes large d cheap.

python experiments/escape_neuron.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from basinet.analysis.running_time import running_time
from basinet.pipeline.solve import solve
from basinet.study.study import Study

BLOCK = {"block_inputs": [40.0, 4.0], "block_targets": [0.75, 0.75]}
RUNS = 200
BUDGET = 3_000.0
DIMENSIONS = (2, 5, 10, 20)
Settings = dict[str, float]
TEMPERATURES: dict[str, Settings] = {  # times d, since of d axes each has a d-th of the loss
    "T default": {},
    **{f"T = {t} / d": {"temperature": t} for t in (1e-2, 3e-3, 1e-3)},
}
STEPS: dict[str, Settings] = {
    "s adapted": {},
    **{f"s = {s}": {"step_size": s, "factor": 1.0} for s in (0.2, 0.5, 1.0)},
}
WALKS: dict[str, Settings] = {f"{moves} moves": {"moves": moves, "temperatures": 10} for moves in (2, 5, 10)}
TUNED = {  # methods, each with the settings that are tried
    "basin_hopping": {f"{t}, {s}": {**TEMPERATURES[t], **STEPS[s]} for t in TEMPERATURES for s in STEPS},
    "annealing": {f"{t}, {w}": {**TEMPERATURES[t], **WALKS[w]} for t in TEMPERATURES for w in WALKS},
}
TUNED_AT, TUNED_ON, JUDGED_ON = 10, 1, 0  # dimension; seeds


def best() -> float:
    """The loss of one axis at the bottom of its deeper valley, which is at w < 0.1."""

    def loss(w: float) -> float:
        answers = 1 / (1 + np.exp(-w * np.array(BLOCK["block_inputs"])))
        return float(np.square(answers - BLOCK["block_targets"]).mean() / 2)

    return float(minimize_scalar(loss, bounds=(0.0, 0.1), method="bounded", options={"xatol": 1e-12}).fun)


def visits(dimension: int, seed: int, method: str, **settings: Any) -> pd.DataFrame:
    """Where runs of a method have been, with the losses at which their descents ended."""
    if "temperature" in settings:
        settings["temperature"] /= dimension
    made = Study.from_config(
        {
            "problem": {"name": "neuron", "dimension": dimension, **BLOCK},
            "network": {"depth": 1, "bias": False},
            "init": {"name": "uniform", "bound": 1.0},
            "descent": {"name": "lbfgs", "steps": 1000, "tolerance": 1e-6},
            "escape": {"name": method, "budget": BUDGET, "visits": 0, **settings},
            "polish": "none",
            "restarts": RUNS,
            "seed": seed,
        }
    )
    block = solve(made, range(RUNS))
    if block.visits is None or block.life is None:
        raise AssertionError("a method that goes on has visits")
    been = block.visits
    columns = {name: getattr(been, name).numpy() for name in ("restart", "round", "gradients", "loss")}
    return pd.DataFrame({**columns, "minimum": 0, "spent": block.life.spent.numpy()[been.restart.numpy()]})


def times(frames: dict[Any, pd.DataFrame], by: str) -> pd.DataFrame:
    """Expected gradients until the best minimum, by what the frames are called."""
    named = [frame.assign(**{by: str(name)}) for name, frame in frames.items()]
    table = running_time(pd.concat(named, ignore_index=True), by, target=best())
    return table[[by, "runs", "successes", "ert", "ert_low", "ert_high"]]


def tuned(method: str) -> Settings:
    """Of the settings of a method those that take the fewest gradients, on runs that it is not judged by."""
    tried = {name: visits(TUNED_AT, TUNED_ON, method, **own) for name, own in TUNED[method].items()}
    table = times(tried, "setting")
    chosen = str(table.set_index("setting")["ert"].idxmin())
    print(f"{method}, d = {TUNED_AT}, seed {TUNED_ON}", _written(table), f"chosen: {chosen}\n", sep="\n", flush=True)
    return TUNED[method][chosen]


def main() -> None:
    chosen = {method: tuned(method) for method in TUNED}
    print(f"judged on seed {JUDGED_ON}")
    for dimension in DIMENSIONS:
        frames = {"restart": visits(dimension, JUDGED_ON, "restart")}
        for method, settings in chosen.items():
            frames[method] = visits(dimension, JUDGED_ON, method)
            frames[f"{method}, tuned"] = visits(dimension, JUDGED_ON, method, **settings)
        print(f"\nd = {dimension}", _written(times(frames, "method")), sep="\n", flush=True)


def _written(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format="{:,.3g}".format)


if __name__ == "__main__":
    main()
