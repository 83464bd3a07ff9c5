"""Figures: the only module that imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.figure import Figure

from basinet.spread import KINDS

# Okabe & Ito (2008): told apart by colour-blind readers too
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000"]
KIND_COLOURS = dict(zip(KINDS, (*COLOURS[:3], COLOURS[4], COLOURS[3], COLOURS[6]), strict=True))
STYLE: dict[str, Any] = {
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 150,
}
_POINTS_MAX = 200_000  # dots of a figure: beyond, a regular share of the sorted restarts is drawn
_FLOOR, _CEILING = 1e-20, 1e100  # losses beyond are drawn there: neither zero nor 1e300 has a place on a log axis
_TICKS_MAX = 24
_INCHES_MAX = 60.0  # of a figure: a raster has at most 65,535 pixels a side


def loss_fan(quantiles: pd.DataFrame, title: str) -> Figure:
    """Quantiles of the loss over the steps of a descent, on log axes: median, quartiles, 5-95 %, extremes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4))
        axes = figure.add_subplot()
        step = quantiles["step"].clip(lower=0.7)  # the start, left of step 1
        for low, high, alpha, label in (
            ("min", "max", 0.12, "all"),
            ("q05", "q95", 0.2, "5-95 %"),
            ("q25", "q75", 0.35, "25-75 %"),
        ):
            lower, upper = _drawable(quantiles[f"loss_{low}"]), _drawable(quantiles[f"loss_{high}"])
            axes.fill_between(step, lower, upper, alpha=alpha, color=COLOURS[0], lw=0, label=label)
        marker = "o" if len(step) == 1 else None  # one point makes no line
        axes.plot(step, _drawable(quantiles["loss_median"]), color=COLOURS[0], lw=1.6, label="median", marker=marker)
        axes.set(xlabel="step", ylabel="loss f", title=title)
        if _log_losses(axes, quantiles["loss_median"]):
            axes.set_xscale("log")
        axes.legend(title=f"{int(quantiles['restarts'].iloc[0])} restarts", loc="lower left")
        return figure


def waterfall(restarts: pd.DataFrame, title: str) -> Figure:
    """The final losses of all restarts of a condition in ascending order, coloured by kind: plateaus are levels."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4))
        axes = figure.add_subplot()
        kept = restarts[restarts["status"] != "diverged"].sort_values("loss", ignore_index=True)
        every = max(1, -(-len(kept) // _POINTS_MAX))
        rank = np.arange(1, len(kept) + 1)
        for kind, colour in KIND_COLOURS.items():
            chosen = (kept["kind"] == kind).to_numpy()
            if chosen.any():
                x, y = rank[chosen][::every], _drawable(kept["loss"][chosen])[::every]
                label = f"{kind.replace('_', ' ')} ({chosen.sum()})"
                axes.plot(x, y, ".", ms=3, color=colour, label=label, rasterized=True)
        axes.set(xlabel="restart, by final loss", ylabel="final loss f", title=title)
        _log_losses(axes, kept["loss"])
        handles, _ = axes.get_legend_handles_labels()
        axes.legend(handles=handles, title=f"{len(restarts)} restarts, {len(restarts) - len(kept)} diverged")
        return figure


def final_losses(restarts: pd.DataFrame, x: str, panels: Sequence[str], title: str) -> Figure:
    """Every restart's final loss against `x` (usually the depth), one panel per combination of `panels` (the init …).

    Dots are restarts, spread sideways by their rank; the bar is the median, the thin line the quartiles. Diverged
    restarts are counted in the title and not drawn.
    """
    kept = restarts[restarts["status"] != "diverged"]
    levels, position = _levels(restarts[x])
    drawn = _panels(restarts, panels)
    columns = min(len(drawn), 4)
    rows = -(-len(drawn) // columns)
    every = max(1, -(-len(kept) // _POINTS_MAX))
    size = (max(1.1 + 0.5 * len(levels), 2.4) * columns + 0.6, 2.7 * rows + 0.4)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(min(size[0], _INCHES_MAX), min(size[1], _INCHES_MAX)))
        grid = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False)
        for axes, (caption, index) in zip(grid.flat, drawn.items(), strict=False):
            losses = kept["loss"].loc[kept.index.intersection(index)]
            for place, group in losses.groupby(position):
                _column_of_restarts(axes, float(place), group, every)
            axes.set_title(caption, fontsize=9)
            ticks = range(0, len(levels), -(-len(levels) // _TICKS_MAX))
            axes.set_xticks(ticks, [levels[index] for index in ticks])
            axes.set(xlim=(-0.6, len(levels) - 0.4))
        _log_losses(grid[0, 0], kept["loss"])  # the axes are shared
        for axes in grid.flat[len(drawn) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel(x)
        for axes in grid[:, 0]:
            axes.set_ylabel("final loss f")
        shown = "every restart" if every == 1 else f"one in {every} restarts"
        lost = f", {len(restarts) - len(kept):,} diverged" if len(kept) < len(restarts) else ""
        figure.suptitle(f"{title} (n = {len(restarts):,}{lost}; {shown} drawn)", fontsize=10)
        return figure


def _levels(values: pd.Series) -> tuple[list[str], pd.Series]:
    """The labels of an axis in order, and where on it each restart belongs."""
    codes, found = pd.factorize(values, use_na_sentinel=False)
    order = sorted(range(len(found)), key=lambda code: _sort_key(found[code]))
    return [_label(found[code]) for code in order], pd.Series(np.argsort(order)[codes], index=values.index)


def _panels(restarts: pd.DataFrame, by: Sequence[str]) -> dict[str, pd.Index]:
    """What stands above each panel, and the index of the restarts in it."""
    if not by:
        return {"": restarts.index}
    groups = restarts.groupby(list(by), observed=True, dropna=False)
    pairs = ((zip(by, values, strict=True), group.index) for values, group in groups)
    return {", ".join(f"{key} {_label(value)}" for key, value in titles): index for titles, index in pairs}


def _label(value: Any) -> str:
    return "-" if pd.isna(value) else str(value)


def _log_losses(axes: Any, losses: pd.Series) -> bool:
    """A log axis for losses, or, where every restart has diverged, a word about it: such an axis cannot be drawn."""
    if np.isfinite(losses).any():
        axes.set_yscale("log")
        return True
    axes.text(0.5, 0.5, "every restart diverged", ha="center", va="center", transform=axes.transAxes)
    return False


def _column_of_restarts(axes: Any, position: float, losses: pd.Series, every: int) -> None:
    ordered = np.sort(losses.to_numpy(dtype=np.float64))
    drawn = ordered[::every]
    golden = (np.arange(len(drawn)) * 0.6180339887) % 1 - 0.5  # even sideways scatter without random numbers
    axes.plot(position + 0.7 * golden, _drawable(drawn), ".", ms=1.5, alpha=0.4, color=COLOURS[0], rasterized=True)
    low, middle, high = _drawable(np.quantile(ordered, [0.25, 0.5, 0.75]))
    axes.plot([position, position], [low, high], color="black", lw=1)
    axes.plot([position - 0.3, position + 0.3], [middle, middle], color=COLOURS[1], lw=2)


def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write figures as PNG into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1])
    return paths


def sweep_axes(varied: Sequence[str]) -> tuple[str, list[str]]:
    """What to draw on the x axis and what in panels, for a sweep over the columns `varied`.

    >>> sweep_axes(["descent", "network.depth", "init"])
    ('network.depth', ['descent', 'init'])
    """
    x = "network.depth" if "network.depth" in varied else next(iter(varied), "network.depth")
    return x, [column for column in varied if column != x]


def _drawable(values: Any) -> Any:
    return np.clip(np.asarray(values, dtype=np.float64), _FLOOR, _CEILING)


def _sort_key(value: object) -> tuple[bool, float, str]:
    number = isinstance(value, int | float | np.number)
    return (not number, float(value) if number else 0.0, str(value))  # type: ignore[arg-type]
