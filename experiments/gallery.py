"""Draws every figure of docs/gallery.md from small studies: `python experiments/gallery.py [folder]`."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import basinet
from basinet import plots
from basinet.analysis.spread import spread
from basinet.reporting.plane import View, landscape
from basinet.reporting.portraits import portraits

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "gallery"
SEEN = 24  # of 255: a colour that is off by more can be taken for another one …
FEW = 0.002  # … but for so many pixels, those where lines fade into the ground
PENALTY = {"l2_weights": 1e-3, "l2_biases": 1e-3}
NESTEROV = {"name": "nesterov", "momentum": 0.95, "steps": 4000, "tolerance": 1e-7}
XOR = {
    "problem": "xor",
    "network": {"width": 2},
    "init": {"name": "normal", "std": 2.0},
    "objective": PENALTY,
    "descent": {**NESTEROV, "learning_rate": 0.5},
    "restarts": 1000,
}
XOR_RELU = {
    "problem": "xor",
    "network": {"width": 2, "activation": "relu"},
    "descent": {"learning_rate": 0.5, "steps": 3000},
    "restarts": 1000,
}
NEURON = {
    "problem": {"name": "neuron", "dimension": 2},
    "network": {"depth": 1, "bias": False},
    "init": {"name": "uniform", "bound": 20.0},
    "descent": {"learning_rate": 80.0, "steps": 3000},
    "restarts": 400,
}
NEURON_8 = {
    **NEURON,
    "problem": {"name": "neuron", "dimension": 8},
    "init": {"name": "uniform", "bound": 40.0},
    "descent": {"learning_rate": 320.0, "steps": 3000},
}


ESCAPING = {**XOR, "descent": {"learning_rate": 0.5, "steps": 1000, "tolerance": 1e-6}, "restarts": 100}
METHODS = ("restart", "basin_hopping", "annealing")
BUDGET = 40_000


BETWEEN = {
    "problem": "xor",
    "network": {"width": 1, "activation": "logistic", "output": "logistic"},
    "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
    "descent": {"learning_rate": 10.0},
    "restarts": 200,
    "landscape": {"name": "saddles", "searches": 512, "indices": "all"},
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    xor, relu, neuron, wide = (run(settings) for settings in (XOR, XOR_RELU, NEURON, NEURON_8))
    figures = condition(xor, "XOR, two logistic units, penalties")
    by_kind = condition(relu, "XOR, two ReLU units, no penalties")
    figures |= {name: by_kind[name] for name in ("waterfall", "fans_by_kind")}
    figures["rarefaction"] = condition(wide, "one logistic neuron on 8 axes, 256 minima")["rarefaction"]
    figures |= {f"sweep_{name}": figure for name, figure in sweep().items()}
    for name, title, found in (
        ("landscape", "XOR, two logistic units", xor),
        ("landscape_2d", "one logistic neuron, two weights", neuron),
    ):
        view = landscape(found.study, found.restarts, found.parameters, view=View(others=24))
        figures[name] = plots.landscape(view.grid, view.paths, view.points, title)
    visits = pd.concat([run({**ESCAPING, "escape": {"name": name, "budget": BUDGET}}).visits.assign(escape=name)
                        for name in METHODS])  # fmt: skip
    figures["hit_shares"] = plots.hit_shares(visits, [], "XOR, two logistic units: runs at the best minimum")
    figures["running_times"] = plots.running_times(visits, [], "XOR, two logistic units")
    figures |= between()
    figures |= of_minima(xor, neuron)
    for path in plots.save(figures, folder):
        shrink(path)


def shrink(path: Path) -> None:
    """Write a figure with a palette, a third of the size, where its colours stay what they are to the eye.

    What it says of itself in words stays in it.
    """
    with Image.open(path) as image:
        words, full = PngInfo(), image.convert("RGB")
        for key, told in image.text.items():
            words.add_itxt(key, told)
    few = full.quantize(256, dither=Image.Dither.NONE)
    off = np.abs(np.asarray(full, dtype=np.int16) - np.asarray(few.convert("RGB"), dtype=np.int16)).max(axis=2)
    (few if (off > SEEN).mean() <= FEW else full).save(path, optimize=True, pnginfo=words)


def run(settings: dict[str, Any]) -> basinet.Findings:
    return basinet.run(basinet.Study.from_config(settings))


def condition(found: basinet.Findings, title: str) -> dict[str, Any]:
    return plots.condition_figures(found.restarts, found.minima, found.curves, found.quantiles, title)


def between() -> dict[str, Any]:
    """What lies between the minima of XOR with one hidden unit."""
    found = run(BETWEEN)
    return plots.landscape_figures(
        found.minima, found.landscape.saddles, found.landscape.paths, "XOR, one logistic unit"
    )


def of_minima(xor: basinet.Findings, neuron: basinet.Findings) -> dict[str, Any]:
    """What minima compute, of XOR; and the basins of neurons with two weights and with one."""
    one = run(
        {**NEURON, "problem": {"name": "neuron", "dimension": 1}, "descent": {"learning_rate": 40.0, "steps": 3000}}
    )
    figures = portraits(xor.study, xor.restarts, xor.minima, xor.parameters, "XOR, two logistic units, penalties")
    for name, title, found in (
        ("basins_1d", "one logistic neuron, one weight", one),
        ("basins_2d", "one logistic neuron, two weights", neuron),
    ):
        figures[name] = portraits(found.study, found.restarts, found.minima, found.parameters, title)["basins"]
    return figures


def sweep() -> dict[str, Any]:
    """Problem × init × depth, without a store: the settings are put beside the tables by hand."""
    varied = ["problem", "init", "network.depth"]
    problems = {"xor": {"name": "xor"}, "sine": {"name": "sine", "points": 24, "periods": 1.5}}
    restarts, minima = [], []
    for problem, init, depth in itertools.product(problems, ("normal", "xavier_normal", "orthogonal"), (2, 3, 4)):
        settings = {
            "problem": problems[problem],
            "network": {"depth": depth, "width": 3, "activation": "tanh"},
            "init": init,
            "objective": PENALTY,
            "descent": {**NESTEROV, "learning_rate": 0.1},
            "polish": {"steps": 200, "radius": 0.5},
            "restarts": 300,
        }
        found, names = run(settings), dict(zip(varied, (problem, init, depth), strict=True))
        restarts.append(found.restarts.assign(**names))
        minima.append(found.minima.assign(**names))
    table = pd.concat(restarts, ignore_index=True)
    return plots.sweep_figures(table, pd.concat(minima, ignore_index=True), spread(table, varied), varied)


if __name__ == "__main__":
    main()
