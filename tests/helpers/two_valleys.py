"""One logistic neuron with two valleys along each of its two weights, between which the border is known."""

from __future__ import annotations

from typing import Any

BORDER = 4.167237823105  # of each weight's two valleys (Auer, Herbster & Warmuth, 1995)

NEURON: dict[str, Any] = {
    "problem": {"name": "neuron", "dimension": 2},
    "network": {"depth": 1, "bias": False},
    "init": {"name": "uniform", "bound": 20.0},
    "descent": {"name": "gradient_flow"},
}
