"""What `proofs.json` says of the minima of a condition: columns of their table, without a need for python-flint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from basinet.foundation.errors import require
from basinet.tracking.integrity import reading

PROOFS = "proofs.json"
PROVED = "basinet.proved"  # the tag of a condition whose bottoms were to be proved: what came of it, in a sentence
COLUMNS = ("proved", "radius")


def are_asked_for(columns: Sequence[str] | None, runs: Sequence[Any]) -> bool:
    """Whether a table of minima is to have them: where they are named, or where there are proofs of one of the runs."""
    if columns is not None:
        return any(name in columns for name in COLUMNS)
    return any(PROVED in run.data.tags for run in runs)


def with_proofs(minima: pd.DataFrame, path: Path | None) -> pd.DataFrame:
    """The minima of one condition with the columns `proved` and `radius` (of the box; NaN where nothing is proved).

    Args:
        minima: with the column `minimum`.
        path: its `proofs.json`, None if there is none.

    Raises:
        ConfigError: if that cannot be read.
    """
    radii = {} if path is None else _radii(path)
    radius = minima["minimum"].map(radii).to_numpy(np.float64)
    return minima.assign(proved=~np.isnan(radius), radius=radius)


def _radii(path: Path) -> dict[int, float]:
    """The radii of the minima that are proved."""
    with reading(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        require(isinstance(content, dict) and isinstance(content.get("points"), list), f"{path}: is no file of proofs")
        proved = [point for point in content["points"] if (point["kind"], point["verdict"]) == ("minimum", "proved")]
        return {int(point["id"]): float.fromhex(point["radius"]) for point in proved}
