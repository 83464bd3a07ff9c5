"""Which share of the runs has reached the best known minimum, against the gradients that each has spent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinet.analysis.running_time import hit_shares as shares_of
from basinet.plots import style

_BANDS_MAX = 4  # lines of a panel that still have their bands drawn


@style.styled
def hit_shares(visits: pd.DataFrame, panels: Sequence[str], title: str, lines: str = "escape") -> Figure:
    """An empirical distribution of running times, one line per method, with Wilson's 95 % band, as COCO draws it.

    It draws `basinet.analysis.running_time.hit_shares`: further left and up is better. A line ends where the budget of
    some run does.

    Args:
        visits: one row per visit, with the settings that the other arguments name.
        panels: settings with a panel for each combination; may be empty.
        title: what stands above everything.
        lines: the setting whose values are lines.
    """
    visits = visits.reset_index(drop=True)
    names = [str(name) for name in sorted(visits[lines].astype(str).unique())]
    colours = style.level_colours(names)
    cells = style.panels(visits, panels)
    down, across = style.panel_shape(len(cells))
    width = 4.2 if len(cells) == 1 else 2.4
    height = (3.2 if len(cells) == 1 else 2.4) * down + 0.5
    figure = style.new_figure(width * across + style.LEGEND, height, title, beside=style.LEGEND)
    grid = style.panel_grid(figure, len(cells))
    for axes, (caption, rows) in zip(grid.all, cells.items(), strict=True):
        axes.set_title(style.wrapped(caption, width))
        table = shares_of(visits.iloc[rows], lines)
        for number, name in enumerate(names):
            line = style.thinned(table[(table[lines].astype(str) == name).to_numpy()])
            x = line["gradients"].to_numpy(np.float64)
            axes.plot(
                x, line["share"], drawstyle="steps-post", color=colours[number], ls=style.DASHES[number % 4], lw=1.4
            )
            if len(names) <= _BANDS_MAX:
                band = {"color": colours[number], "alpha": 0.15, "lw": 0}
                axes.fill_between(x, line["share_low"], line["share_high"], step="post", **band)
    grid.all[0].set_ylim(0, 1.02)
    grid.all[0].set_xlim(left=0)
    grid.label("gradients spent by the run", "share of runs at the best known minimum")
    conditions = [name for name in ("run_id",) if name in visits.columns]
    runs = visits.drop_duplicates([*conditions, "restart", lines])[lines].astype(str).value_counts()
    entries = [
        Line2D(
            [], [], color=colour, ls=style.DASHES[number % 4], label=style.plain(f"{name} ({int(runs[name]):,} runs)")
        )
        for number, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]
    style.legend_beside(figure, entries, lines)
    return figure
