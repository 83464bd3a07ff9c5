"""The final losses of restarts as data for the script of the page, where each can be pointed at."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis import plot_data, wording
from basinet.analysis.bottoms import ends
from basinet.plots.style import COLOURS, KIND_COLOURS, RANKS, drawable, kind_name, rank_colour, rank_name
from basinet.reporting.data import Material
from basinet.reporting.document import Points

POINTS_MAX = 100_000
"""Restarts that can be pointed at: with more, the page would become slow and its file large."""

_GOLDEN = 0.6180339887
_HALF = 0.42  # of the distance between two conditions is filled, to either side
_HALF_DECADE = 10**0.5  # losses that span less stand on a linear axis


def points(material: Material, replay: str) -> Points | None:
    """The restarts that have a final loss, condition by condition; None if there are none.

    Of more than `POINTS_MAX` the first ones of each condition are taken: restarts do not know of each other, so that
    they are a random sample. `replay` is the command for one restart, with `{run}` and `{restart}` in it.
    """
    restarts = material.restarts
    kept = plot_data.finished(restarts)
    if kept.empty:
        return None
    runs = material.runs()
    order = {run_id: place for place, run_id in enumerate(runs)}
    place = kept["run_id"].astype(str).map(order).to_numpy(np.int64)
    number = kept.groupby(place).cumcount().to_numpy()
    most = _per_condition(np.bincount(place), POINTS_MAX)
    shown = kept.assign(place=place, number=number)[number < most]
    losses = drawable(shown["loss"])
    places = _ends(shown, material)
    if material.is_single:
        shown = shown.assign(x=shown["loss"].rank(method="first"))
    else:
        shown = shown.assign(
            x=shown["place"] + _HALF * places["width"].to_numpy() * (2 * (shown["number"] * _GOLDEN % 1) - 1)
        )
    labels = [wording.condition_label(row, material.by) for _, row in material.spread.iterrows()]
    data: dict[str, Any] = {
        "conditions": [
            {"label": label, "short": _short(label), "run": run} for label, run in zip(labels, runs, strict=True)
        ],
        "kinds": [{"name": kind_name(kind)} for kind in KIND_COLOURS],
        "groups": [{"name": name, "colour": colour} for name, colour in _groups()],
        "columns": not material.is_single,
        "axis": "restarts, by final loss" if material.is_single else " · ".join(material.by),
        "log": bool(losses.max() > _HALF_DECADE * losses.min()),
        "replay": replay,
        "x": _packed(shown["x"], "<f4"),
        "loss": _packed(losses, "<f8"),  # those of restarts on their way to infinity are beyond single precision
        "place": _packed(shown["place"], "<u2"),
        "kind": _packed(_kinds(shown["kind"]), "u1"),
        "group": _packed(places["group"], "u1"),
        "minimum": _packed(shown["minimum"], "<i4"),
        "restart": _packed(shown["restart"], "<u4"),
    }
    caption = _caption(len(shown), len(kept), len(restarts), most, single=material.is_single)
    return Points(data, f"{caption}{_of_which(material)}")


def _caption(shown: int, kept: int, restarts: int, most: int, *, single: bool) -> str:
    stands = (
        "Restarts from the lowest final loss to the highest: a level is as long as its share."
        if single
        else "Every column is a condition; a level is as wide as its share of the condition's restarts."
    )
    which = f"All {kept:,} restarts with a final loss are shown"
    if shown < kept:
        each = "" if single else " of each condition"
        which = f"Of {kept:,} restarts with a final loss, the first {most:,}{each} are shown ({shown:,})"
    lost = f"; {restarts - kept:,} have none" if restarts > kept else ""
    return (
        f"{stands} Point at a restart to see which it is; click it for the command that trains it again. "
        f"Drag to zoom, double-click to go back; the legend hides and shows levels. {which}{lost}."
    )


def _of_which(material: Material) -> str:
    """Of which restarts that is said, where they are not all."""
    return "" if material.is_whole else f" That is said of {material.counted(material.restarts)}."


def _short(label: str) -> str:
    """The values of a condition alone, for below a column."""
    return " · ".join(word.partition("=")[2] for word in label.split(" "))


def _per_condition(counts: npt.NDArray[np.int64], most: int) -> int:
    """The largest number L such that the first L of each condition are not more than `most` together.

    >>> _per_condition(np.array([10, 100, 100]), 110)
    50
    """
    low, high = 1, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= most else (low, middle - 1)
    return low


def _groups() -> list[tuple[str, str]]:
    """What is told apart by colour: levels from the lowest, then kinds of restarts at no bottom."""
    levels = [(rank_name(rank), rank_colour(rank)) for rank in range(RANKS + 1)]
    return [*levels, *((f"at no bottom: {kind_name(kind)}", COLOURS[7]) for kind in KIND_COLOURS)]


def _ends(shown: pd.DataFrame, material: Material) -> pd.DataFrame:
    """For each restart its `group`, and as which share of a column its level is drawn."""
    loose = (shown["minimum"] < 0).to_numpy()
    if loose.all():
        return pd.DataFrame({"group": RANKS + 1 + _kinds(shown["kind"]), "width": 1.0})
    by = [] if material.is_single else list(material.by)
    table = ends(material.restarts, by, material.alike)
    table["width"] = table.groupby([*by, "rank"], observed=True, dropna=False)["share"].transform("sum")
    found = shown[[*by, "minimum"]].merge(table, on=[*by, "minimum"], how="left")
    group = np.where(loose, RANKS + 1 + _kinds(shown["kind"]), found["rank"].fillna(0).clip(upper=RANKS))
    return pd.DataFrame({"group": group.astype(np.int64), "width": found["width"].fillna(1.0)})


def _kinds(kinds: pd.Series) -> npt.NDArray[np.int64]:
    numbers = {kind: number for number, kind in enumerate(KIND_COLOURS)}
    return kinds.astype(str).map(numbers).to_numpy().astype(np.int64)


def _packed(values: Any, form: str) -> str:
    """Numbers as base64 of their little-endian bytes: a typed array of the script."""
    return base64.b64encode(np.asarray(values).astype(form).tobytes()).decode()
