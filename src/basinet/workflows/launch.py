"""What is asked of a launch beside its studies, and whether a run has it: imports nothing that computes or draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from basinet.foundation.errors import require, unknown
from basinet.study.convert import fill
from basinet.study.defaults import BUDGET, unnamed, usual_columns
from basinet.study.resolve import Resolved
from basinet.tracking.address import check_work_folder
from basinet.tracking.integrity import damage
from basinet.tracking.store import TrackingStore

if TYPE_CHECKING:
    from basinet.study.study import Study

_FIGURES = ("condition", "sweep", "none")
_RERUN = ("failed", "none", "all")
_MANY_CONDITIONS = 50
_MINIMA_RUNS = 20


@dataclass(frozen=True)
class TrackingSettings:
    """Where and how much is kept."""

    uri: str | None
    experiment: str | None
    curves_max: int
    figures: str | None
    minima_runs: int | None
    rerun: str

    def __post_init__(self) -> None:
        if self.rerun not in _RERUN:
            raise unknown("rerun", self.rerun, _RERUN)
        require(self.curves_max >= 0, f"tracking.curves_max={self.curves_max}: must be 0 or more")
        if self.figures is not None and self.figures not in _FIGURES:
            raise unknown("tracking.figures", self.figures, _FIGURES)
        few = self.minima_runs is None or self.minima_runs >= 0
        require(few, f"tracking.minima_runs={self.minima_runs}: must be 0 or more")
        check_work_folder(self.uri)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> TrackingSettings:
        """Checked settings of the group `tracking`, and `rerun`."""
        group = config["tracking"]
        whole = {**group, "rerun": config["rerun"]} if isinstance(group, Mapping) else group
        return fill(TrackingSettings, whole, "tracking")

    def draws(self, where: str, conditions: int) -> bool:
        """Whether figures are drawn for each `condition`, or for the `sweep`."""
        chosen = self.figures or ("condition" if conditions <= _MANY_CONDITIONS else "sweep")
        return chosen in ("condition", where)

    def shows(self, conditions: int) -> int:
        """For how many minima of each condition a run is made."""
        if self.minima_runs is not None:
            return self.minima_runs
        return _MINIMA_RUNS if conditions <= _MANY_CONDITIONS else 0


def condition_name(columns: Mapping[str, Any], varied: Sequence[str]) -> str:
    """The name of a condition's run: the settings in which it differs from the others of its sweep."""
    known = {**usual_columns(), **columns}
    unusual = [key for key in ("objective",) if key in columns]
    keys = [key for key in varied if key in known] or ["problem", *unusual, "init", "network.depth"]
    return " ".join(f"{key}={known[key]}" for key in keys)


def asked_for(study: Study | Resolved) -> dict[str, str]:
    """How much of a condition was asked for, which its key does not say: tags of its run."""
    asked = {key: str(getattr(study.execution, key)) for key in ("restarts", "restarts_max")}
    asked |= {} if study.execution.budget is None else {BUDGET: repr(study.execution.budget)}
    return asked | {f"landscape.{key}": str(value) for key, value in unnamed(study.settings["landscape"]).items()}


def is_whole(store: TrackingStore, run: Any, study: Study | Resolved) -> bool:
    """Whether a run of a condition has as many restarts and searches as are asked for, and runs of that budget.

    Raises:
        ConfigError: if a later version of this package has made it.
    """
    tags = asked_for(study)
    if not study.execution.is_auto:
        del tags["restarts_max"]
    same = all(run.data.tags.get(key) == value for key, value in tags.items())
    return run.info.status == "FINISHED" and same and damage(store, run) is None
