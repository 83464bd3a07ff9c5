"""The rows of a frame by the settings that they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd


def by_settings(
    frame: pd.DataFrame, by: Sequence[str], *, sort: bool = True
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each combination of the settings `by`, and the rows that have it; all rows without any, none of an empty frame.

    A setting that some rows have not is one more value. Combinations are in the order of their values, or, without
    `sort`, in that of the frame.

    >>> frame = pd.DataFrame({"init": ["b", "a", "b"], "loss": [1.0, 2.0, 3.0]})
    >>> [(settings, rows["loss"].tolist()) for settings, rows in by_settings(frame, ["init"])]
    [({'init': 'a'}, [2.0]), ({'init': 'b'}, [1.0, 3.0])]
    """
    if len(frame) and not by:
        yield {}, frame
    elif len(frame):
        for key, rows in frame.groupby(list(by), observed=True, sort=sort, dropna=False):
            yield dict(zip(by, key, strict=True)), rows


def within(frame: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The rows with these settings.

    >>> within(pd.DataFrame({"init": ["b", "a"], "loss": [1.0, 2.0]}), {"init": "a"})["loss"].tolist()
    [2.0]
    """
    chosen = np.ones(len(frame), dtype=bool)
    for key, value in settings.items():
        chosen &= (frame[key].isna() if pd.isna(value) else frame[key] == value).to_numpy(bool)
    return frame[chosen]
