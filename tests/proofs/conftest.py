"""XOR 2-1-1 under a penalty, whose critical points are all known, and what is proved of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from known_critical_points import MINIMA, SADDLES, XOR


@pytest.fixture(scope="session")
def xor_verdicts() -> list[Any]:
    """What is proved of the 9 minima and 8 saddles of XOR 2-1-1."""
    from basinet.proofs.theorem import Point, verdicts

    points = [Point(number, "minimum", theta) for number, theta in enumerate(MINIMA)]
    points += [Point(number, "saddle", theta) for number, theta in enumerate(SADDLES)]
    return verdicts(XOR, points)


@pytest.fixture(scope="session")
def xor_text(xor_verdicts: list[Any]) -> str:
    """`proofs.json` of them."""
    from basinet.proofs.document import document

    return document(XOR, xor_verdicts, {})


@pytest.fixture
def xor_proofs(xor_text: str) -> dict[str, Any]:
    """What stands in it about four of the minima and a saddle, to be changed at will."""
    content: dict[str, Any] = json.loads(xor_text)
    content["points"] = [content["points"][number] for number in (0, 2, 3, 4, 9)]
    return content


@pytest.fixture(scope="session")
def neuron() -> Callable[[int], tuple[dict[str, Any], list[list[float]]]]:
    """One logistic neuron on d axes (Auer, Herbster & Warmuth): what is minimised, and its 2^d minima."""

    def call(d: int) -> tuple[dict[str, Any], list[list[float]]]:
        inputs = [[x if i == axis else 0.0 for i in range(d)] for axis in range(d) for x in (1.0, 0.1)]
        shape = {"widths": [d, 1], "bias": False, "activation": "logistic", "output": "logistic"}
        targets = [[0.75]] * (2 * d)
        statement = {
            "loss": "squared",
            **shape,
            "l2_weights": 0.0,
            "l2_biases": 0.0,
            "inputs": inputs,
            "targets": targets,
        }
        valleys = itertools.product((1.276434037816, 10.973944982897), repeat=d)
        return statement, [list(valley) for valley in valleys]

    return call
