"""basinet: thousands of random restarts of a small network, and the spread of the local minima they end in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from basinet.analysis.disconnectivity import disconnectivity
    from basinet.analysis.running_time import running_time
    from basinet.analysis.unseen import restarts_needed
    from basinet.mlp.textbook import forward_backward
    from basinet.mlp.trained import unflatten
    from basinet.pipeline.gather import Findings
    from basinet.pipeline.run import run
    from basinet.problems.arrays import Arrays as Problem
    from basinet.reporting import report
    from basinet.study.study import Study
    from basinet.tracking.load import (
        load_curves,
        load_evidence,
        load_minima,
        load_parameters,
        load_quantiles,
        load_restarts,
        load_runs,
        load_saddles,
        load_visits,
    )
    from basinet.tracking.load import open_results as open
    from basinet.tracking.results import Results
    from basinet.workflows.network import network
    from basinet.workflows.prove import prove
    from basinet.workflows.replay import replay
    from basinet.workflows.separation import separation

_WHERE = {
    "Study": "basinet.study.study",
    "Problem": "basinet.problems.arrays",
    "run": "basinet.pipeline.run",
    "replay": "basinet.workflows.replay",
    "separation": "basinet.workflows.separation",
    "prove": "basinet.workflows.prove",
    "network": "basinet.workflows.network",
    "unflatten": "basinet.mlp.trained",
    "report": "basinet.reporting",
    "Findings": "basinet.pipeline.gather",
    "open": "basinet.tracking.load",
    "Results": "basinet.tracking.results",
    "load_runs": "basinet.tracking.load",
    "load_minima": "basinet.tracking.load",
    "load_evidence": "basinet.tracking.load",
    "load_restarts": "basinet.tracking.load",
    "load_curves": "basinet.tracking.load",
    "load_quantiles": "basinet.tracking.load",
    "load_parameters": "basinet.tracking.load",
    "load_saddles": "basinet.tracking.load",
    "disconnectivity": "basinet.analysis.disconnectivity",
    "load_visits": "basinet.tracking.load",
    "running_time": "basinet.analysis.running_time",
    "restarts_needed": "basinet.analysis.unseen",
    "forward_backward": "basinet.mlp.textbook",
}
"""Public names and their modules, imported on first use: torch alone takes two seconds."""

_ELSEWHERE = {"open": "open_results", "Problem": "Arrays"}
"""Names that are others in their modules: there they would hide a built-in one, or what all problems are made into."""

__all__ = [
    "Findings",
    "Problem",
    "Results",
    "Study",
    "__version__",
    "disconnectivity",
    "forward_backward",
    "load_curves",
    "load_evidence",
    "load_minima",
    "load_parameters",
    "load_quantiles",
    "load_restarts",
    "load_runs",
    "load_saddles",
    "load_visits",
    "network",
    "open",
    "prove",
    "replay",
    "report",
    "restarts_needed",
    "run",
    "running_time",
    "separation",
    "unflatten",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'basinet' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), _ELSEWHERE.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)
