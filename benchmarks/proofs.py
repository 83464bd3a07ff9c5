"""What proofs cost: seconds of one core to prove all minima of a network and the saddles between them, and to check it.

python benchmarks/proofs.py
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from basinet import Study, run
from basinet.pipeline.gather import Findings
from basinet.proofs.check import check
from basinet.proofs.document import document
from basinet.proofs.theorem import Point, verdicts
from report import replace_section

NEURON = {"network": {"depth": 1, "bias": False, "activation": "logistic", "output": "logistic"}}
PENALTY = {"l2_weights": 1e-3, "l2_biases": 1e-3}


def neuron(axes: int) -> dict[str, Any]:
    """One logistic unit with 2^axes minima."""
    descent = {"name": "gradient_descent", "learning_rate": 40.0 * axes, "steps": 3000}
    init, restarts = {"name": "uniform", "bound": 40.0}, 20 * 2**axes
    return {**NEURON, "problem": {"name": "neuron", "dimension": axes}, "init": init, "descent": descent} | {
        "restarts": restarts
    }


def xor(width: int, activation: str) -> dict[str, Any]:
    """A penalised network with its saddles of index 1."""
    return {
        "problem": "xor",
        "network": {"width": width, "activation": activation},
        "objective": PENALTY,
        "init": {"name": "normal", "std": 4.0},
        "descent": {"name": "nesterov", "momentum": 0.95, "learning_rate": 0.5, "steps": 8000},
        "restarts": 500,
        "landscape": {"name": "saddles", "searches": 1024},
    }


CASES = {
    "one neuron on 6 axes": neuron(6),
    "one neuron on 10 axes": neuron(10),
    "XOR 2-1-1, logistic": xor(1, "logistic"),
    "XOR 2-2-1, tanh": xor(2, "tanh"),
    "XOR 2-3-1, logistic": xor(3, "logistic"),
}


class Took(NamedTuple):
    """What was proved of a condition, and the seconds of the processor for that and for the check."""

    points: int
    proved: int
    proving: float
    checking: float


def points_of(findings: Findings) -> list[Point]:
    """All minima, and the saddles where these were sought."""
    minima = findings.minima[findings.minima["kind"] == "minimum"]
    tables = [("minimum", minima["minimum"], minima["parameters"])]
    if findings.landscape is not None:
        saddles = findings.landscape.saddles
        saddles = saddles[(saddles["kind"] == "saddle") & (saddles["index"] == 1)]
        tables.append(("saddle", saddles["saddle"], saddles["parameters"]))
    return [
        Point(int(number), kind, np.asarray(theta).tolist())
        for kind, numbers, thetas in tables
        for number, theta in zip(numbers, thetas, strict=True)
    ]


def measured(findings: Findings) -> Took:
    statement, points = findings.study.exact_objective.statement(), points_of(findings)
    assert statement is not None
    begun = time.process_time()
    found = verdicts(statement, points)
    proved = time.process_time()
    text = document(statement, found, {})
    written = time.process_time()
    counts, wrong = check(text)
    assert not wrong, wrong
    return Took(len(points), sum(counts.values()), proved - begun, time.process_time() - written)


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    lines = ["network | parameters | minima and saddles found | proved | seconds | to check", " | ".join(["---"] * 6)]
    for name, settings in CASES.items():
        study = Study.from_config(settings)
        took = measured(run(study))
        seconds = f"{took.proving:.2f} | {took.checking:.2f}"
        lines.append(f"{name} | {study.network.size} | {took.points:,} | {took.proved:,} | {seconds}")
    print("\n".join(lines))
    replace_section("proofs", lines)


if __name__ == "__main__":
    main()
