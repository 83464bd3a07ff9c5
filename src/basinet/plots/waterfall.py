"""The final losses of a condition in ascending order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from basinet.analysis import bottoms, plot_data
from basinet.plots import style

_ROOM = 0.1  # of the axis, above and below
_WRITTEN = 0.02  # the smallest share that is written beside its plateau


@style.styled
def waterfall(restarts: pd.DataFrame, title: str) -> Figure:
    """The final losses of all restarts of a condition in ascending order: plateaus are levels, as long as their share.

    Colours count the bottoms' losses from the lowest (`basinet.analysis.bottoms.ends`), as in other figures; what has
    ended at no bottom is black. It draws `plot_data.waterfall`; diverged restarts are counted in the legend.
    """
    kept = restarts if restarts.empty else plot_data.waterfall(restarts)
    if reason := style.why_empty(len(restarts), len(kept)):
        return style.sentence(reason, title)
    every, drawn = style.share_drawn(len(kept))
    figure, axes = style.one_panel(title)
    axes.set(xlabel="restart, by final loss", ylabel="final loss f")
    style.scale(axes.yaxis, kept["loss"])
    axes.set_ylim(style.limits(kept["loss"], _ROOM))
    rank = _ranks(kept)
    handles = [_dots(axes, *end, every) for end in _groups(kept, rank)]
    for share, rows in _plateaus(kept, rank, len(restarts)):
        _write(axes, share, rows)
    axes.set_xlim(0, len(kept) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.legend_beside(figure, handles, f"{style.count(len(restarts), lost=len(restarts) - len(kept))}\n{drawn}")
    return figure


def _groups(kept: pd.DataFrame, rank: Any) -> list[tuple[str, Any, pd.DataFrame]]:
    """What is told apart by colour: a name, the colour, and the restarts."""
    kind = kept["kind"].astype(str).to_numpy()
    groups: list[tuple[str, Any, pd.DataFrame]] = []
    for number in sorted({min(value, style.RANKS) for value in rank[rank >= 0].tolist()}):
        mine = (rank == number) if number < style.RANKS else rank >= style.RANKS
        name = "higher losses" if number == style.RANKS else f"f = {kept['loss'][mine].median():.3g}"
        kinds = ", ".join(style.kind_name(one) for one in style.KIND_COLOURS if one in kind[mine])
        groups.append((f"{name}: {kinds}", style.rank_colour(number), kept[mine]))
    for name in style.KIND_COLOURS:
        mine = (rank < 0) & (kind == name)
        if mine.any():
            groups.append((f"at no bottom: {style.kind_name(name)}", style.COLOURS[7], kept[mine]))
    return groups


def _ranks(kept: pd.DataFrame) -> Any:
    if "minimum" not in kept:
        return np.full(len(kept), -1)
    return kept["minimum"].map(bottoms.rank_of(kept)).fillna(-1).to_numpy(np.int64)


def _dots(axes: Any, name: str, colour: Any, rows: pd.DataFrame, every: int) -> Line2D:
    axes.plot(rows["rank"][::every], style.drawable(rows["loss"])[::every], ".", ms=3.5, color=colour, rasterized=True)
    return style.dot(colour, f"{name} ({style.count(len(rows))})")


def _plateaus(kept: pd.DataFrame, rank: Any, restarts: int) -> list[tuple[float, pd.DataFrame]]:
    """The share of all restarts that ends at each loss, and its rows."""
    levels = (kept[rank == number] for number in np.unique(rank[rank >= 0]))
    return [(len(rows) / restarts, rows) for rows in levels if len(rows) >= _WRITTEN * restarts]


def _write(axes: Any, share: float, rows: pd.DataFrame) -> None:
    place = (float(rows["rank"].median()), float(style.drawable(rows["loss"].median())))
    small: dict[str, Any] = {"fontsize": 7, "ha": "center", "va": "bottom", "textcoords": "offset points"}
    written = axes.annotate(style.percent(round(share, 3)), place, (0, 3), **small)
    written.set_path_effects([withStroke(linewidth=1.5, foreground="white")])
