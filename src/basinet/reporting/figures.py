"""The figures of a report, each with what is to be seen in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.figure import Figure

from basinet import plots
from basinet.analysis import wording
from basinet.analysis.spread import OBJECTIVE
from basinet.reporting.data import Material
from basinet.reporting.document import Picture

_CAPTIONS = {
    "final_losses": "Where restarts end: a bar is a bottom at its loss, as wide as its share of the restarts; "
    "bottoms of one loss stand side by side. The lower, the better. Dots are restarts at no bottom.",
    "distribution": "Which share of the restarts ended at or below a loss. A step is a level on which many restarts "
    "end; of two lines, the one further left and up is better.",
    "heat": "How likely one restart is to reach its condition's best minimum, and how many distinct minima were found. "
    "Grey: none.",
    "sharpness": "Every dot is a bottom. The further right, the more sharply curved: are low minima flat?",
    "loss_fan": "How the loss falls: the line is the median, half of the restarts lie in the darkest band.",
    "waterfall": "All restarts from the lowest final loss to the highest: a plateau is a level, its length the share "
    "of the restarts that end on it.",
    "fans_by_kind": "How the loss falls, apart for restarts that ended at bottoms of different kinds.",
    "fans_by_minimum": "How the loss falls, apart for restarts that ended in different bottoms: where do they part?",
    "trajectories": "A few descents into each of the commonest bottoms; the dashed line is the loss of the bottom.",
    "rank_abundance": "Which share of the restarts each bottom draws, from the commonest to the rarest: where the "
    "tail is long, more restarts would find more.",
    "hit_shares": "Which share of the runs has been at the best known minimum when each had spent so many gradients, "
    "with 95 % bands. Further left and up is better.",
    "running_times": "The gradients that it takes until some run is there: the mean cost of all runs that are needed, "
    "with 95 % intervals (bootstrap over runs).",
    "rarefaction": "How many distinct minima so many restarts find. Where the line is flat, hardly any are left.",
}

_NAME_MAX = 80  # characters of a condition that are in the names of its files

ESCAPES = ("hit_shares", "running_times")
"""Figures of runs that escape."""

SINGLE = {
    "spread": ("waterfall", "distribution"),
    "bottoms": ("rank_abundance", "rarefaction", "sharpness"),
    "descents": ("fans_by_minimum", "trajectories", "fans_by_kind", "loss_fan"),
}
"""Sections of a report on one condition, and their figures."""

SEVERAL = {"spread": ("final_losses", "distribution"), "bottoms": ("heat", "sharpness")}
"""Sections of a report on several conditions, and their figures."""

EACH = ("waterfall", "fans_by_minimum", "rank_abundance")
"""Figures of each of several conditions."""


def overview(material: Material) -> dict[str, list[Picture]]:
    """The figures of all conditions together, by section."""
    if material.is_single:
        title = wording.condition_label(material.spread.iloc[0], material.by)
        figures = plots.condition_figures(
            material.restarts, material.minima, material.curves, material.quantiles, title
        )
        return _placed(figures, SINGLE, material)
    figures = plots.sweep_figures(material.restarts, material.minima, material.spread, material.by)
    return _placed(figures, SEVERAL, material)


def of_runs(material: Material) -> list[Picture]:
    """The figures of runs that escape from their bottoms."""
    visits = material.visits
    panels = [key for key in material.by if key in visits.columns and key.partition(".")[0] in OBJECTIVE]
    drawn = {
        "hit_shares": plots.hit_shares(visits, panels, "Runs at the best known minimum"),
        "running_times": plots.running_times(visits, panels, "Gradients until the best known minimum"),
    }
    told = f"{len(visits):,} visits."
    return [Picture(name, drawn[name], f"{_CAPTIONS[name]} {told}") for name in ESCAPES]


def of_condition(material: Material, run_id: str, title: str) -> list[Picture]:
    """The figures of one of several conditions, which are many: they are not drawn twice."""
    restarts = material.of_run(material.restarts, run_id)
    drawn = {
        "waterfall": plots.waterfall(restarts, title),
        "fans_by_minimum": plots.fans(material.of_run(material.curves, run_id), restarts, "minimum", title),
        "rank_abundance": plots.rank_abundance(material.of_run(material.minima, run_id), title),
    }
    counted = _counted(material, restarts)
    return [_picture(f"{file_name(title, run_id)}_{name}", name, drawn[name], counted) for name in EACH]


def file_name(title: str, run_id: str) -> str:
    """A condition as a part of a file's name: `network.width=2_init=normal`; of a long one the beginning and its run.

    >>> file_name("init=normal network.width=3", "0123456789abcdef")
    'init=normal_network.width=3'
    """
    name = re.sub(r"[^\w.=+-]+", "_", title)
    return name if len(name) <= _NAME_MAX else f"{name[:_NAME_MAX]}_{run_id[:8]}"


def _placed(
    figures: Mapping[str, Figure], sections: Mapping[str, Iterable[str]], material: Material
) -> dict[str, list[Picture]]:
    """Figures by section; one that no section asks for stands at the end of the last."""
    counted = _counted(material, material.restarts)
    asked = {name for names in sections.values() for name in names}
    last = list(sections)[-1]
    placed = {}
    for section, names in sections.items():
        chosen = [*names, *(name for name in figures if section == last and name not in asked)]
        placed[section] = [_picture(name, name, figures[name], counted) for name in chosen if name in figures]
    return placed


def _picture(file: str, name: str, figure: Figure, counted: str) -> Picture:
    return Picture(file, figure, f"{_CAPTIONS.get(name, name.replace('_', ' '))} {counted}.")


def _counted(material: Material, restarts: pd.DataFrame) -> str:
    """How many restarts are drawn."""
    lost = int((restarts["status"] == "diverged").sum())
    return f"n = {material.counted(restarts)}" + (f", {lost:,} of which diverged" if lost else "")
