"""Methods of descent: frozen settings and pure functions, one file each; the loop is elsewhere, once."""

from __future__ import annotations

from basinet.descents.adam import Adam
from basinet.descents.budget import Budget, StepLimits
from basinet.descents.gradient_descent import GradientDescent
from basinet.descents.gradient_flow import GradientFlow
from basinet.descents.lbfgs import Lbfgs
from basinet.descents.momentum import Momentum
from basinet.descents.nesterov import Nesterov
from basinet.descents.sgd import Sgd

DESCENTS = {
    "gradient_descent": GradientDescent,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adam": Adam,
    "gradient_flow": GradientFlow,
    "lbfgs": Lbfgs,
    "sgd": Sgd,
}

__all__ = [
    "DESCENTS",
    "Adam",
    "Budget",
    "GradientDescent",
    "GradientFlow",
    "Lbfgs",
    "Momentum",
    "Nesterov",
    "Sgd",
    "StepLimits",
]
