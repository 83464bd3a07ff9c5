"""Functions to be minimised: one file per objective."""

from __future__ import annotations

from basinet.objectives.empirical_risk import RiskSettings
from basinet.objectives.population import PopulationSettings
from basinet.objectives.test_function import TestFunctionSettings
from basinet.protocols import ObjectiveFamily

OBJECTIVES: dict[str, type[ObjectiveFamily]] = {
    "empirical_risk": RiskSettings,
    "population": PopulationSettings,
    "test_function": TestFunctionSettings,
}

__all__ = ["OBJECTIVES"]
