"""Entries of the page's tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from basinet.reporting.document import Cell


def setting(value: Any) -> Cell:
    """The value of a setting; numbers are sorted as numbers."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return Cell("-" if np.isnan(value) else f"{value:g}", number(value))
    return Cell("-" if pd.isna(value) else str(value))


def number(value: Any) -> float | None:
    """What a cell is sorted by; nothing where nothing is known."""
    known = float(value)
    return None if np.isnan(known) else known
