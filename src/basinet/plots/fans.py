"""How the loss falls over the steps of a descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinet.analysis import bottoms, plot_data
from basinet.plots import style

_AXES = {"step": "step (left of 1: the start)", "time": "time (leftmost: the start)"}
_BANDS = (("q05", "q95", 0.12), ("q25", "q75", 0.22))
_WIDE_MAX = 3  # fans whose wide bands are drawn: more hide each other
_LEAVES = 0.1  # a fan ends where fewer of its restarts are left: the quantiles of a few say nothing


@style.styled
def loss_fan(quantiles: pd.DataFrame, title: str) -> Figure:
    """Quantiles of the loss over the steps of a descent, on log axes: median, quartiles, 5-95 %, extremes.

    `quantiles` has one row per record over all restarts (`basinet.load_quantiles`).
    """
    if quantiles.empty:
        return style.sentence("no steps were recorded", title)
    if not np.isfinite(quantiles["loss_median"]).any():
        return style.sentence("every restart diverged", title)
    figure, axes = style.one_panel(title)
    quantiles, clock = plot_data.clocked(quantiles)
    step = plot_data.on_log_axis(quantiles["step"])
    handles: list[Any] = []
    for low, high, alpha, label in (
        ("min", "max", 0.12, "all"),
        ("q05", "q95", 0.2, "5-95 %"),
        ("q25", "q75", 0.35, "25-75 %"),
    ):
        lower, upper = style.drawable(quantiles[f"loss_{low}"]), style.drawable(quantiles[f"loss_{high}"])
        band = axes.fill_between(step, lower, upper, alpha=alpha, color=style.COLOURS[0], lw=0, label=label)
        handles.append(band)
    marker = "o" if len(step) == 1 else None  # one point makes no line
    middle = style.drawable(quantiles["loss_median"])
    handles += axes.plot(step, middle, color=style.COLOURS[0], lw=1.6, label="median", marker=marker)
    _scales(axes, quantiles[["loss_min", "loss_max"]], clock)
    first, last = int(quantiles["restarts"].iloc[0]), int(quantiles["restarts"].iloc[-1])
    style.legend_beside(figure, handles, style.count(first, lost=first - last))
    return figure


@style.styled
def fans(curves: pd.DataFrame, restarts: pd.DataFrame, by: str, title: str) -> Figure:
    """How the loss falls over the steps, one fan for the restarts that end alike: median, quartiles, 5-95 %.

    It draws `basinet.analysis.plot_data.fans`. Of n restarts the curves are kept.

    Args:
        curves: one row per restart and record.
        restarts: one row per restart with the column `by`.
        by: `kind`, `minimum`, or any other column of the restarts.
        title: what stands above everything.
    """
    if curves.empty or restarts.empty:
        return style.sentence("no curves were kept", title)
    curves, clock = plot_data.clocked(curves)
    table = plot_data.fans(curves, restarts, by, style.RANKS if by == "minimum" else len(style.KIND_COLOURS))
    if table.empty:
        return style.sentence("no curves were kept", title)
    figure, axes = style.one_panel(title)
    shown = {value: ending for value, ending in _endings(restarts, by).items() if (table[by] == value).any()}
    few = len(shown) <= _WIDE_MAX
    bands = _BANDS if few else _BANDS[1:]
    handles = [_fan(axes, table[table[by] == value], bands, ending) for value, ending in shown.items()]
    _scales(axes, table[[bands[0][0], bands[0][1]]], clock)
    style.legend_beside(figure, handles, f"restarts by {by}: median,\n25-75 %{', 5-95 %' if few else ''}")
    return figure


class _Ending(NamedTuple):
    """What restarts that end alike are called, and how they are drawn."""

    name: str
    colour: Any
    dashes: str = "-"


def _endings(restarts: pd.DataFrame, by: str) -> dict[Any, _Ending]:
    """For each value that can have a fan; in the order of the values."""
    if by == "kind":
        return {kind: _Ending(style.kind_name(kind), colour) for kind, colour in style.KIND_COLOURS.items()}
    own = plot_data.commonest(restarts, by, style.RANKS if by == "minimum" else len(style.KIND_COLOURS))
    own = sorted(own, key=plot_data.sort_key)
    named = _minima(restarts, own) if by == "minimum" else _levels(own)
    return {**named, plot_data.OTHERS: _Ending("others", style.GREY), -1: _Ending("no minimum", style.COLOURS[7])}


def _levels(values: Sequence[Any]) -> dict[Any, _Ending]:
    return {value: _Ending(plot_data.label(value), style.COLOURS[number]) for number, value in enumerate(values)}


def _minima(restarts: pd.DataFrame, own: Sequence[Any]) -> dict[Any, _Ending]:
    """Minima have the colour of their loss, as in all figures; those that share it are dashed differently."""
    found = bottoms.ends(restarts, []).set_index("minimum").loc[list(own)]
    again = found.groupby("rank").cumcount()
    return {
        value: _Ending(
            f"minimum {value}, f = {loss:.3g}", style.rank_colour(rank), style.DASHES[number % len(style.DASHES)]
        )
        for value, loss, rank, number in zip(found.index, found["loss"], found["rank"], again, strict=True)
    }


def _fan(axes: Any, fan: pd.DataFrame, bands: Sequence[tuple[str, str, float]], ending: _Ending) -> Line2D:
    n = int(fan["restarts"].max())
    fan = fan[fan["restarts"] >= _LEAVES * n].sort_values("step")
    step = plot_data.on_log_axis(fan["step"])
    for low, high, alpha in bands:
        axes.fill_between(
            step, style.drawable(fan[low]), style.drawable(fan[high]), color=ending.colour, alpha=alpha, lw=0
        )
    line: dict[str, Any] = {"color": ending.colour, "lw": 1.6, "ls": ending.dashes}
    axes.plot(step, style.drawable(fan["median"]), marker="o" if len(step) == 1 else None, **line)
    return Line2D([], [], label=style.plain(f"{ending.name} ({style.count(n)})"), **line)


def _scales(axes: Any, losses: pd.DataFrame, clock: str) -> None:
    axes.set(xlabel=_AXES[clock], ylabel="loss f", xscale="log")
    style.scale(axes.yaxis, losses)
