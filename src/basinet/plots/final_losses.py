"""Where restarts end against a setting: the spread of the minima by initialisation × depth, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from basinet.analysis import bottoms, plot_data
from basinet.analysis.groups import by_settings
from basinet.analysis.wording import condition_label
from basinet.plots import style

_FILLED = 0.86  # of the distance between two values of x is filled
_FULL = 0.9  # of a column is as wide as a bar that all restarts end at
_LEAST = 0.04  # of a column: a bar that can still be seen
_TRACK = "#e4e4e4"
_GAP = 0.012  # of a column, between bars side by side …
_APART = 12  # … of which there are no more: of many, gaps would be most of them
_GOLDEN = 0.6180339887
_BAR = 5.0  # points, the height of a bar
_ROOM = 0.09  # of the axis, above and below
_LABEL = 9.0  # points, the height of a share that is written, and some room
_WRITTEN = 0.005  # the smallest share that is written beside its bar
_HEIGHT = 2.9  # inches, of a panel
_COLUMN = 0.38  # inches: a share in small print
_COLUMNS_MAX = 60  # in a panel: with more there is no room for shares
_MOST = 0.5  # of the restarts: where fewer end at bottoms, the median says more


@style.styled
def final_losses(
    restarts: pd.DataFrame, x: str, panels: Sequence[str], title: str, colour: str | None = None
) -> Figure:
    """At which losses restarts end, against `x` (usually the depth), and which share of them at each bottom.

    A bar is a bottom at its loss, and as wide as its share of the condition's restarts, of which the pale track is all;
    bottoms of one loss stand side by side, and very many that lie close make a histogram on its side. Its colour is the
    rank of its loss among those of its network, from the lowest; hollow bars lie at infinity. Dots are restarts that
    ended at no bottom, spread sideways by their rank. Where those are most, a line is the median of all, a thick one
    its 95 % interval, a thin one the quartiles. Diverged restarts are counted in the title. It draws
    `basinet.analysis.bottoms.ends` and `plot_data.medians`.

    Args:
        restarts: one row per restart with `loss status kind minimum` and the settings that the other arguments name.
        x: the setting across.
        panels: settings with a panel for each combination; may be empty.
        title: what stands above everything.
        colour: a setting (usually the init) whose values stand side by side at each value of x; none if None.
    """
    kept = 0 if restarts.empty else len(plot_data.finished(restarts))
    if reason := style.why_empty(len(restarts), kept):
        return style.sentence(reason, title)
    drawing = _drawing(restarts.reset_index(drop=True), x, panels, colour)
    cells = style.panels(drawing.restarts, panels)
    down, across = style.panel_shape(len(cells))
    width = max(0.9 + _COLUMN * min(len(drawing.columns), _COLUMNS_MAX), 2.4)
    every, drawn = style.share_drawn(len(drawing.loose))
    heading = f"{title} ({style.count(len(restarts), lost=len(restarts) - kept)}{_of_dots(every, drawn)})"
    figure = style.new_figure(width * across + style.LEGEND, _HEIGHT * down + 0.7, heading, beside=style.LEGEND)
    grid = style.panel_grid(figure, len(cells))
    style.scale(grid.all[0].yaxis, plot_data.finished(restarts)["loss"])
    grid.all[0].set_ylim(style.limits(plot_data.finished(restarts)["loss"], _ROOM))
    grid.all[0].set_xlim(-0.6, len(drawing.ticks) - 0.4)  # the axes are shared
    for axes, (caption, rows) in zip(grid.all, cells.items(), strict=True):
        part = drawing.of(rows)
        _dots(axes, part, every)
        _marks(axes, part)
        _bars(axes, part)
        axes.set_title(style.wrapped(caption, width))
    _name(grid, drawing)
    grid.label(x if colour is None else f"{colour}, {x}", "final loss f")
    style.legend_beside(figure, _entries(drawing), "")
    style.describe(figure, _description(restarts, [key for key in (x, *panels, colour) if key]))
    return figure


def _description(restarts: pd.DataFrame, by: Sequence[str]) -> str:
    """What is drawn in words, a line for each condition: `network.depth=2 init=normal: 40 % at 0.0291 (minimum), …`.

    Where most restarts end at no bottom, `… median 0.1073, half between 0.1066 and 0.1083`.
    """
    by = list(dict.fromkeys(by))
    placed = restarts if "minimum" in restarts else restarts.assign(minimum=-1, kind="unfinished")
    table = bottoms.ends(placed, by)
    lines: dict[str, list[str]] = {}
    for _, row in table[(table["share"] >= _WRITTEN).to_numpy()].iterrows():
        told = f"{100 * row['share']:.3g} % at {row['loss']:.3g} ({style.kind_name(row['kind'])})"
        lines.setdefault(condition_label(row, sorted(by)), []).append(told)
    for key, mine in by_settings(placed, by):
        if (mine["minimum"] < 0).mean() > _MOST:
            row = plot_data.medians(mine, []).iloc[0]
            told = f"median {row['median']:.4g}, half between {row['q25']:.4g} and {row['q75']:.4g}"
            lines.setdefault(condition_label(key, sorted(by)), []).append(told)
    return "\n".join(f"{name}: {', '.join(bars)}" for name, bars in lines.items())


def _of_dots(every: int, drawn: str) -> str:
    return "" if every == 1 else f"; of dots, {drawn}"


@dataclass(frozen=True)
class _Drawing:
    """What is drawn, and where."""

    ticks: list[str]  # labels of x
    columns: dict[float, str]  # at each place, what stands below it
    slot: float  # the width of a column
    restarts: pd.DataFrame  # one row per restart with `place`
    ends: pd.DataFrame  # `bottoms.ends`, with `place` and `panel`

    @property
    def loose(self) -> pd.DataFrame:
        """Restarts that have a loss and are at no bottom."""
        kept = plot_data.finished(self.restarts)
        return kept[(kept["minimum"] < 0).to_numpy()]

    @property
    def share_loose(self) -> pd.Series:
        """Which share of the restarts at each place is at no bottom."""
        return (self.restarts["minimum"] < 0).groupby(self.restarts["place"]).mean()

    def of(self, rows: Any) -> _Drawing:
        """The same of one panel's restarts, which are at these rows."""
        part = self.restarts.iloc[rows]
        mine = self.ends["panel"].isin(part["panel"].unique())
        return _Drawing(self.ticks, self.columns, self.slot, part, self.ends[mine.to_numpy()])


def _drawing(restarts: pd.DataFrame, x: str, panels: Sequence[str], colour: str | None) -> _Drawing:
    if "minimum" not in restarts:
        restarts = restarts.assign(minimum=-1, kind="unfinished")
    ticks, place = plot_data.positions(restarts[x])
    shades, shade = plot_data.positions(restarts[colour]) if colour else ([""], place * 0)
    slot = _FILLED / len(shades)
    middle = (len(shades) - 1) / 2
    by = [*panels, x, *([colour] if colour else [])]
    panel = restarts.groupby(list(panels), observed=True, dropna=False).ngroup() if panels else place * 0
    placed = restarts.assign(place=place + (shade - middle) * slot, panel=panel)
    where = placed.groupby(by, observed=True, dropna=False)[["place", "panel"]].first().reset_index()
    ends = bottoms.ends(restarts, by).merge(where, on=by, how="left")
    columns = {
        number + (beside - middle) * slot: shades[beside]
        for number in range(len(ticks))
        for beside in range(len(shades))
    }
    return _Drawing(ticks, columns, slot, placed, ends)


def _dots(axes: Any, part: _Drawing, every: int) -> None:
    loose = part.loose.sort_values(["place", "loss"])
    rank = loose.groupby("place").cumcount().to_numpy()
    shown, rank = loose[rank % every == 0], rank[rank % every == 0] // every
    sideways = (rank * _GOLDEN) % 1 - 0.5  # an even scatter without random numbers
    if len(shown):
        x = shown["place"] + _FULL * part.slot * sideways
        dots: dict[str, Any] = {"ms": 1.8, "alpha": 0.5, "color": style.GREY, "rasterized": True}
        axes.plot(x, style.drawable(shown["loss"]), ".", **dots)


def _marks(axes: Any, part: _Drawing) -> None:
    """Medians and quartiles where most restarts end at no bottom."""
    loose = part.share_loose
    chosen = part.restarts["place"].isin(loose.index[loose > _MOST])
    marks = plot_data.medians(part.restarts[chosen.to_numpy()], ["place"]).dropna()
    y = {name: style.drawable(marks[name]) for name in ("q25", "median", "q75", "median_low", "median_high")}
    place, half = marks["place"], 0.5 * _FULL * part.slot
    axes.vlines(place, y["q25"], y["q75"], color="black", lw=0.8, zorder=3)
    axes.vlines(place, y["median_low"], y["median_high"], color="black", lw=2.4, zorder=3)
    axes.hlines(y["median"], place - half, place + half, color="black", lw=1.6, zorder=3)


def _bars(axes: Any, part: _Drawing) -> None:
    """A bar for each bottom; those of one column whose losses cannot be told apart stand side by side."""
    for place in sorted(part.ends["place"].unique().tolist()):
        column = part.ends[(part.ends["place"] == place).to_numpy()]
        level = _levels(_points(axes, column["loss"]))
        groups = [column[level == number] for number in range(level[-1] + 1)]
        heights = [float(style.drawable(together["loss"]).mean()) for together in groups]
        tops = _points(axes, pd.Series(heights))
        for number, (y, together) in enumerate(zip(heights, groups, strict=True)):
            _level(axes, (place, y), together, part.slot)
            _write_share(axes, (place, y), float(together["share"].sum()), _room(tops, number))


def _levels(height: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Which bottoms stand side by side, `[bottom]`: of heights in points, ascending, those nearer than a bar.

    Where so many follow each other that they span two bars or more, they are divided into steps of equal height: a
    histogram on its side, in which none lies farther from its loss than a bar is high.

    >>> _levels(np.array([0.0, 1.0, 20.0, 24.0, 28.0, 32.0])).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    crowd = np.concatenate([[0], np.cumsum(np.diff(height) > _BAR)])
    level = np.empty(len(height), dtype=np.int64)
    used = 0
    for number in range(crowd[-1] + 1):
        mine = crowd == number
        above = height[mine] - height[mine].min()
        steps = max(int(above.max() / _BAR), 1)
        step = np.minimum(above * steps / max(above.max(), _BAR), steps - 1).astype(np.int64)
        level[mine] = used + np.unique(step, return_inverse=True)[1]
        used = int(level.max(where=mine, initial=0)) + 1
    return level


def _level(axes: Any, at: tuple[float, float], together: pd.DataFrame, slot: float) -> None:
    """Bars side by side, in the middle of a track that is as wide as all restarts."""
    place, y = at
    half = _FULL * slot / 2
    axes.hlines(y, place - half, place + half, color=_TRACK, lw=_BAR, zorder=2)
    widths = _widths(together["share"].to_numpy(np.float64), 2 * half, slot)
    edges = place - widths.sum() / 2 + np.concatenate([[0.0], np.cumsum(widths)])
    gap = _GAP * slot * (1 < len(widths) <= _APART)
    for left, right, rank, kind in zip(edges, edges[1:], together["rank"], together["kind"], strict=False):
        axes.hlines(y, left, right - gap, color=style.rank_colour(rank), lw=_BAR, zorder=2.5)
        if kind == "at_infinity":
            axes.hlines(y, left, right - gap, color="white", lw=_BAR / 2.5, zorder=2.6)


def _widths(shares: npt.NDArray[np.float64], full: float, slot: float) -> npt.NDArray[np.float64]:
    """How wide bars side by side are: wide enough to be seen, unless they are so many that they overran the track."""
    visible = np.maximum(full * shares, _LEAST * slot)
    return visible if visible.sum() <= full else full * shares


def _points(axes: Any, losses: pd.Series) -> npt.NDArray[np.float64]:
    """How high losses stand on the axis, in points."""
    to_axis = axes.yaxis.get_transform().transform
    low, high = to_axis(np.asarray(axes.get_ylim()))
    points: npt.NDArray[np.float64] = 72 * _HEIGHT * 0.8 * (to_axis(style.drawable(losses)) - low) / (high - low)
    return points


def _room(tops: npt.NDArray[np.float64], number: int) -> int:
    """1 if there is room for a share above a bar, -1 if there is below it, 0 if there is none."""
    above = tops[number + 1] - tops[number] if number + 1 < len(tops) else np.inf
    below = tops[number] - tops[number - 1] if number else np.inf
    if above >= _LABEL + _BAR:
        return 1
    return -1 if below >= 2 * _LABEL + _BAR else 0


def _write_share(axes: Any, at: tuple[float, float], share: float, side: int) -> None:
    if side and share >= _WRITTEN:
        text = {"fontsize": 6, "ha": "center", "va": "bottom" if side > 0 else "top", "color": "#333333"}
        offset = (0, side * (_BAR / 2 + 0.5))
        written = axes.annotate(f"{100 * share:.3g} %", at, offset, textcoords="offset points", zorder=4, **text)
        written.set_path_effects([withStroke(linewidth=1.5, foreground="white")])


def _name(grid: style.Panels, drawing: _Drawing) -> None:
    """The values of x below the axis; where columns stand side by side, theirs between."""
    names = list(drawing.columns.values())
    if any(names) and len(names) <= _COLUMNS_MAX:
        for axes in grid.lowest:
            # of three columns the middle one stands where the value of x does
            axes.xaxis.remove_overlapping_locs = False
            axes.set_xticks(list(drawing.columns), [style.plain(name) for name in names], minor=True)
            axes.tick_params(axis="x", which="minor", labelrotation=90, labelsize=7, length=0, pad=2)
            axes.tick_params(axis="x", which="major", length=0, pad=8 + 4.4 * max(map(len, names)))
    style.name_ticks(grid.lowest, drawing.ticks)
    for axes in grid.all:
        axes.grid(visible=False, axis="x")


def _entries(drawing: _Drawing) -> list[Line2D]:
    """One entry for each thing that is drawn, and no others."""
    ranks = sorted({min(int(rank), style.RANKS) for rank in drawing.ends["rank"]})
    bars = [Line2D([], [], color=style.rank_colour(rank), lw=_BAR, label=style.rank_name(rank)) for rank in ranks]
    if bars:
        bars.append(Line2D([], [], color=_TRACK, lw=_BAR, label="as wide as all restarts"))
    if (drawing.ends["kind"] == "at_infinity").any():
        bars.append(Line2D([], [], color=style.GREY, lw=1, marker="s", mfc="white", ms=4, label="hollow: at infinity"))
    if len(drawing.loose):
        bars.append(style.dot(style.GREY, "a restart at no bottom"))
    if drawing.share_loose.max() > _MOST:
        upright: dict[str, Any] = {"color": "black", "marker": "|", "ls": "", "ms": 9}
        bars.append(Line2D([], [], color="black", lw=1.6, label="median"))
        bars.append(Line2D([], [], mew=2.4, label="its 95 % interval", **upright))
        bars.append(Line2D([], [], mew=0.8, label="quartiles", **upright))
    return bars
