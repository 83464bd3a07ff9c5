"""What it takes to reach the best known minimum: expected running times by method and setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from basinet.analysis import wording
from basinet.analysis.running_time import running_time
from basinet.plots import style


@style.styled
def running_times(visits: pd.DataFrame, panels: Sequence[str], title: str, method: str = "escape") -> Figure:
    """Expected running times with their 95 % intervals, one dot per method, one row of dots per other setting.

    It draws `basinet.analysis.running_time.running_time`. An arrow is a lower bound: no run has been there.

    Args:
        visits: one row per visit, with the settings that the other arguments name.
        panels: the other settings that differ; may be empty.
        title: what stands above everything.
        method: the setting whose values are compared.
    """
    table = running_time(visits, [*panels, method])
    labels = [wording.condition_label(row, [*panels, method]) for _, row in table.iterrows()]
    figure, axes = style.one_panel(title, height=1.2 + 0.28 * len(table))
    names = sorted(table[method].astype(str).unique())
    colours = dict(zip(names, style.level_colours(names), strict=True))
    for place, (_, row) in enumerate(table[::-1].iterrows()):
        colour = colours[str(row[method])]
        if np.isinf(row["ert"]):
            axes.plot(row["ert_low"], place, ">", color=colour, ms=6)
            continue
        high = row["ert_high"] if np.isfinite(row["ert_high"]) else row["ert"] * 10
        axes.hlines(place, row["ert_low"], high, color=colour, lw=1.6)
        axes.plot(row["ert"], place, "o", color=colour, ms=5)
    axes.set_xscale("log")
    axes.set_yticks(range(len(table)), labels[::-1])
    axes.set_ylim(-0.6, len(table) - 0.4)
    axes.set_xlabel("expected gradients until the best known minimum (> : at least)")
    return figure
