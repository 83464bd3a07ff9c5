"""What the minima of a condition are, as figures: what they answer, their weights, and their basins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from basinet import plots
from basinet.analysis.bottoms import rank_of
from basinet.foundation.errors import ConfigError
from basinet.reporting.answers import answers, weights
from basinet.reporting.basins import Extent, map_of
from basinet.reporting.data import Material
from basinet.reporting.document import Element, Part, Picture, Section, Text
from basinet.reporting.separating import separating
from basinet.study.study import Study
from basinet.tracking.origin import Condition
from basinet.tracking.results import Results

_CONDITIONS = 6  # of a report that are shown
_PLANE = 2  # parameters of which a map shows all
_ONCE = (
    f"A minimum that several conditions have found is shown once, with the condition of its network that has found "
    f"most; of up to {_CONDITIONS} conditions."
)
_EXTENT = Extent(resolution=121)

CAPTIONS = {
    "answers": "What each of the lowest minima computes: a curve over one input with the samples as dots, a map over "
    "two inputs with the samples in the colours of their targets, else the answer to each sample beside its target. "
    "Above each stands a restart that ends there, as basinet-replay takes it.",
    "weights": "The weights of each of the lowest minima, layer by layer: a row for each unit, its bias on the right. "
    "Beside each stands a restart that ends there.",
    "basins": "Which minimum the gradient flow leads to from every point; rings are starts, stars minima.",
}


def portraits(
    study: Study,
    restarts: pd.DataFrame,
    minima: pd.DataFrame,
    parameters: Mapping[str, npt.NDArray[np.floating]],
    title: str,
) -> dict[str, Figure]:
    """The figures of what a condition's minima are, by name; none where its objective is of no network.

    A map of the basins is among them where a network has one or two parameters, so that it shows everything.

    Args:
        study: the condition.
        restarts: its tables, as `basinet.run` makes them or `basinet.load_restarts` and `load_minima` read them.
        minima: see `restarts`.
        parameters: `initial` and `final`, `[restart, parameter]` each; needed only where basins are mapped.
        title: what stands above every figure.
    """
    table = answers(study, minima)
    if table.empty:
        return {}
    drawn = {
        "answers": plots.answers(table, rank_of(restarts), title),
        "weights": plots.weights(weights(study, minima), title),
    }
    if is_mapped(study):
        found = map_of(study, {"restarts": restarts, "minima": minima}, parameters, extent=_EXTENT)
        drawn["basins"] = plots.basins(found.pixels, found.minima, found.paths, found.names, title)
    return drawn


def is_mapped(study: Study) -> bool:
    """Whether a map of the basins shows everything."""
    return study.network.size <= _PLANE


def section(material: Material, tracking_uri: str | None) -> Section:
    """What the minima are, each of them once; of a condition that cannot be made again it says why."""
    conditions = material.origin.finished
    results = Results.open(material.origin.name, tracking_uri)
    single, chosen = len(conditions) == 1, shown(material.minima, [one.run_id for one in conditions])
    blocks: list[Element] = [] if single else [Text(_ONCE, "note")]
    for condition in [one for one in conditions if one.run_id in chosen][:_CONDITIONS]:
        inside = _of_condition(material, results, condition, chosen[condition.run_id], single=single)
        blocks += inside if single or not inside else [Part(condition.name, inside)]
    return Section("portraits", "What the minima are", blocks)


def shown(minima: pd.DataFrame, run_ids: Sequence[str]) -> dict[str, list[int]]:
    """In which conditions minima are shown, so that each minimum of a sweep is shown once.

    Args:
        minima: `run_id minimum sweep_minimum` of every condition; a `sweep_minimum` below 0 is of no other condition.
        run_ids: the conditions, in the order of the page.

    Returns:
        The minima of each condition that are shown there. Conditions with many minima are asked first, and
        those that have none of their own have no entry.

    >>> found = pd.DataFrame({"run_id": list("abbc"), "minimum": [0, 0, 1, 0], "sweep_minimum": [5, 5, 7, 9]})
    >>> shown(found, ["a", "b", "c"])
    {'b': [0, 1], 'c': [0]}
    """
    seen: set[int] = set()
    chosen: dict[str, list[int]] = {}
    counts = minima["run_id"].value_counts()
    for run_id in sorted(run_ids, key=lambda one: -int(counts.get(one, 0))):
        mine = minima[(minima["run_id"] == run_id).to_numpy()]
        own = mine[~mine["sweep_minimum"].isin(seen).to_numpy()]
        seen.update(int(number) for number in own["sweep_minimum"] if number >= 0)
        if len(own):
            chosen[run_id] = own["minimum"].tolist()
    return chosen


def _of_condition(
    material: Material, results: Results, condition: Condition, chosen: list[int], *, single: bool
) -> list[Element]:
    """Some of a condition's minima, and what tells from a start where it ends."""
    run_id = condition.run_id
    try:
        study = results.study(run_id)
    except ConfigError as error:  # arrays from Python, or a file that is not there any more
        return [Text(f"What its minima compute cannot be shown: {error}.", "note")]
    restarts, minima = (material.of_run(frame, run_id) for frame in (material.restarts, material.minima))
    minima = minima if is_mapped(study) else minima[minima["minimum"].isin(chosen).to_numpy()]
    parameters = results.parameters(run_id) if is_mapped(study) else {}
    figures = portraits(study, restarts, minima, parameters, condition.name)
    prefix = "" if single else f"{run_id[:8]}_"
    pictures = [Picture(f"{prefix}{kind}", figure, CAPTIONS[kind]) for kind, figure in figures.items()]
    return [*pictures, *separating(study, restarts)]
