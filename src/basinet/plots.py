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

# Okabe & Ito (2008): told apart by colour-blind readers too
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000"]
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
_FLOOR = 1e-20  # losses below are drawn here: zero has no place on a log axis


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
        axes.plot(step, _drawable(quantiles["loss_median"]), color=COLOURS[0], lw=1.6, label="median")
        axes.set(xscale="log", yscale="log", xlabel="step", ylabel="loss f", title=title)
        axes.legend(title=f"{int(quantiles['restarts'].iloc[0])} restarts", loc="lower left")
        return figure


def waterfall(restarts: pd.DataFrame, title: str) -> Figure:
    """The final losses of all restarts of a condition in ascending order: plateaus are levels of minima."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4))
        axes = figure.add_subplot()
        finite = restarts[np.isfinite(restarts["loss"])].sort_values("loss", ignore_index=True)
        every = max(1, -(-len(finite) // _POINTS_MAX))
        rank = np.arange(1, len(finite) + 1)
        for colour, status in zip(COLOURS, ("arrived", "budget"), strict=False):
            chosen = (finite["status"] == status).to_numpy()
            if chosen.any():
                label = f"{status} ({chosen.sum()})"
                x, y = rank[chosen][::every], _drawable(finite["loss"][chosen])[::every]
                axes.plot(x, y, ".", ms=3, color=colour, label=label, rasterized=True)
        axes.set(yscale="log", xlabel="restart, by final loss", ylabel="final loss f", title=title)
        axes.legend(title=f"{len(finite)} of {len(restarts)} restarts finite")
        return figure


def final_losses(restarts: pd.DataFrame, x: str, panel: str | None, title: str) -> Figure:
    """Every restart's final loss against `x` (usually the depth), one panel per value of `panel` (usually the init).

    Dots are restarts, spread sideways by their rank; the bar is the median, the thin line the quartiles.
    """
    panels = [None] if panel is None else sorted(restarts[panel].unique(), key=str)
    values = sorted(restarts[x].unique(), key=_sort_key)
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    every = max(1, -(-len(restarts) // _POINTS_MAX))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(1.1 + 0.5 * len(values), 2.4) * columns + 0.6, 2.7 * rows + 0.4))
        grid = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False)
        for axes, value in zip(grid.flat, panels, strict=False):
            frame = restarts if panel is None else restarts[restarts[panel] == value]
            for position, level in enumerate(values):
                _column_of_restarts(axes, position, frame.loc[frame[x] == level, "loss"], every)
            axes.set_title("" if panel is None else f"{panel} {value}", fontsize=9)
            axes.set_xticks(range(len(values)), [str(level) for level in values])
            axes.set(yscale="log", xlim=(-0.6, len(values) - 0.4))
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel(x)
        for axes in grid[:, 0]:
            axes.set_ylabel("final loss f")
        shown = "every restart" if every == 1 else f"one in {every} restarts"
        figure.suptitle(f"{title} (n = {len(restarts):,}; {shown} drawn)", fontsize=10)
        return figure


def _column_of_restarts(axes: Any, position: float, losses: pd.Series, every: int) -> None:
    finite = np.sort(losses[np.isfinite(losses)].to_numpy(dtype=np.float64))
    if len(finite) == 0:
        return
    drawn = finite[::every]
    golden = (np.arange(len(drawn)) * 0.6180339887) % 1 - 0.5  # even sideways scatter without random numbers
    axes.plot(position + 0.7 * golden, _drawable(drawn), ".", ms=1.5, alpha=0.4, color=COLOURS[0], rasterized=True)
    low, middle, high = _drawable(np.quantile(finite, [0.25, 0.5, 0.75]))
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


def sweep_axes(varied: Sequence[str]) -> tuple[str, str | None]:
    """What to draw on the x axis and what in panels, for a sweep over the columns `varied`."""
    x = "network.depth" if "network.depth" in varied else next(iter(varied), "network.depth")
    others = [column for column in varied if column != x]
    return x, "init" if "init" in others else next(iter(others), None)


def _drawable(values: Any) -> Any:
    return np.maximum(np.asarray(values, dtype=np.float64), _FLOOR)


def _sort_key(value: object) -> tuple[bool, float, str]:
    number = isinstance(value, int | float | np.number)
    return (not number, float(value) if number else 0.0, str(value))  # type: ignore[arg-type]
