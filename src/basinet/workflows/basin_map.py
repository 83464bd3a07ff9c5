"""A map of basins as a folder: a figure, tables, and an animation if one is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet import plots
from basinet.foundation.errors import require
from basinet.reporting.basins import (
    BasinMap,
    Extent,
    Section,
    lowest,
    map_of,
    names_of,
    over_axes,
    through_minima,
)
from basinet.tracking.record import write_parquet
from basinet.tracking.results import Results

ALL = Extent()
"""All that there is to be seen, at the usual resolution."""

_FILES = ("basins.png", "basins.svg", "descents.gif", "minima.csv", "minima.parquet", "paths.parquet", "pixels.parquet")


@dataclass(frozen=True)
class Place:
    """Which line or plane is wanted; all None: over the first parameters, through the lowest minimum."""

    axes: Sequence[str] | None = None  # names or numbers of one or two parameters …
    through: int | None = None  # … through this minimum; None: the lowest
    minima: Sequence[int] | None = None  # or the plane through three minima

    def __post_init__(self) -> None:
        alone = self.minima is None or (self.axes is None and self.through is None)
        require(alone, "minima are three of a plane, which has no other axes: leave --axes and --through out")
        three = self.minima is None or len(self.minima) == 3
        require(three, f"minima={','.join(map(str, self.minima or []))}: a plane goes through three")


def map_basins(run: str, place: Place = Place(), extent: Extent = ALL, *, tracking_uri: str | None = None) -> BasinMap:
    """Which minimum the gradient flow leads to, on a line or plane in the space of a condition's parameters.

    Args:
        run: the id of a condition's run, or a sweep or experiment of one condition.
        place: which line or plane.
        extent: how much of it, and how finely.
        tracking_uri: the store; the one of the working directory if None.

    Raises:
        ConfigError: if there is no such run, parameter or minimum, or it has no bottoms.
    """
    results = Results.open(run, tracking_uri)
    study, parameters = results.study(), results.parameters()
    tables = {"restarts": results.restarts, "minima": results.minima}
    if place.minima is not None:
        section: Section | None = through_minima(tables["restarts"], parameters, place.minima)
    elif place.axes is None and place.through is None:
        section = None
    else:
        section = over_axes(study, place.axes or names_of(study)[:2], _point(tables["minima"], place.through))
    return map_of(study, tables, parameters, section, extent)


def _point(minima: pd.DataFrame, through: int | None) -> npt.NDArray[np.float64]:
    """Where a minimum is; the lowest one if none is named."""
    if through is None:
        return lowest(minima)
    chosen = minima[(minima["minimum"] == through).to_numpy()]
    require(len(chosen) == 1, f"there is no minimum {through}: they are 0 to {len(minima) - 1}")
    return lowest(chosen)


def write_map(found: BasinMap, title: str, folder: Path, animation: bool) -> list[Path]:
    """Write a map into a folder, which is made; an earlier map in it is replaced, and nothing half made is left.

    Raises:
        ConfigError: if the folder holds something that is no part of a map, or there is nothing to be animated.
    """
    check_folder(folder)
    shown = (found.pixels, found.minima, found.paths, found.names, title)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.absolute().parent) as beside:
        made = Path(beside) / "new"
        plots.save({"basins": plots.basins(*shown)}, made, ("png", "svg"))
        if animation:
            plots.animate(*shown, made / "descents.gif")
        for name, table in (("pixels", found.pixels), ("minima", found.minima), ("paths", found.paths)):
            write_parquet(table, made / f"{name}.parquet")
        found.minima.to_csv(made / "minima.csv", index=False)
        if folder.exists():
            folder.rename(Path(beside) / "old")
        made.rename(folder)
    return sorted(folder.iterdir())


def check_folder(folder: Path) -> None:
    """Raise `ConfigError` if there is something in the way that no map has left there."""
    if not folder.exists():
        return
    require(folder.is_dir(), f"{folder}: is there and no folder; name another one")
    for path in folder.iterdir():
        require(path.name in _FILES, f"{folder}: holds {path.name}, which is no part of a map; name another folder")
