"""What each minimum computes: its outputs over the data, and its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from basinet.plots import style

_MAP = "PuOr"  # two colours that colour-blind readers tell apart, white between them
_WRITTEN_MAX = 6  # rows and columns of a matrix whose numbers are written
_SIDE = 2.1  # inches of a panel
_LINE = 0.15  # inches: a second line above it


@style.styled
def answers(table: pd.DataFrame, rank: pd.Series, title: str) -> Figure:
    """One panel for each minimum: a curve over one input, a map over two, else what is answered against the target.

    Above it stand its id, its loss, and a restart that ends there.

    Args:
        table: `minimum loss restart output sample x1 (x2) target answer`, as `basinet.reporting.answers` makes it.
        rank: of each minimum by its loss, which decides the colour (`analysis.bottoms.rank_of`).
        title: what stands above everything.
    """
    if table.empty:
        return style.sentence("there is no minimum of a network", title)
    minima = list(table["minimum"].unique())
    rows, columns = style.panel_shape(len(minima))
    bar = 0.9 if "x2" in table else 0.0
    figure = style.new_figure(_SIDE * columns + 0.8 + bar, (_SIDE + _LINE) * rows + 0.9, title)
    panels = style.panel_grid(figure, len(minima))
    draw = _map if "x2" in table else _curve if "x1" in table else _against
    image = None
    for axes, minimum in zip(panels.all, minima, strict=True):
        part = table[(table["minimum"] == minimum).to_numpy()]
        image = draw(axes, part, style.rank_colour(int(rank.get(minimum, -1))), table)
        axes.set_title(_name(part, ", "), fontsize=8)
    if image is not None:
        figure.colorbar(image, ax=panels.all, label="output" if table["output"].max() == 0 else "output 0")
    names = {_map: ("x₁", "x₂"), _curve: ("x", "output"), _against: ("target", "output")}
    panels.label(*names[draw])
    return figure


def _curve(axes: Any, part: pd.DataFrame, colour: Any, table: pd.DataFrame) -> None:
    for output, one in part.groupby("output"):
        line = one[(one["sample"] < 0).to_numpy()].sort_values("x1")
        axes.plot(line["x1"], line["answer"], color=colour, lw=1.5, ls=style.DASHES[int(str(output)) % 4])
        axes.plot(one["x1"], one["target"], ".", color="black", ms=4)


def _map(axes: Any, part: pd.DataFrame, colour: Any, table: pd.DataFrame) -> Any:
    """The first output; samples are discs in the colour of their targets."""
    every = table.loc[(table["output"] == 0).to_numpy(), ["answer", "target"]].to_numpy(np.float64)
    limits = {"vmin": float(np.nanmin(every)), "vmax": float(np.nanmax(every)), "cmap": _MAP}
    one = part[(part["output"] == 0).to_numpy()]
    between = one[(one["sample"] < 0).to_numpy()].pivot_table(index="x2", columns="x1", values="answer")
    x, y = between.columns.to_numpy(np.float64), between.index.to_numpy(np.float64)
    image = axes.pcolormesh(x, y, between.to_numpy(), shading="nearest", rasterized=True, **limits)
    samples = one[(one["sample"] >= 0).to_numpy()]
    axes.scatter(samples["x1"], samples["x2"], c=samples["target"], edgecolors="black", s=28, **limits)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=2.0)
    return image


def _against(axes: Any, part: pd.DataFrame, colour: Any, table: pd.DataFrame) -> None:
    ends = [float(table["target"].min()), float(table["target"].max())]
    axes.plot(ends, ends, color="black", lw=0.8, ls="--")
    size = 7 if len(part) < 100 else 3
    axes.plot(part["target"], part["answer"], ".", color=colour, ms=size, alpha=0.6, rasterized=True)


@style.styled
def weights(table: pd.DataFrame, title: str) -> Figure:
    """The weights of each minimum as matrices, layer by layer: a row for each unit, its bias on the right.

    Beside them stand its id, its loss, and a restart that ends there.

    Args:
        table: `minimum loss restart layer unit source weight`, as `basinet.reporting.answers` makes it.
        title: what stands above everything.
    """
    if table.empty:
        return style.sentence("there is no minimum of a network", title)
    minima, layers = list(table["minimum"].unique()), list(table["layer"].unique())
    figure = style.new_figure(_SIDE * len(layers) + 1.3, 1.25 * len(minima) + 0.7, title)
    grid = figure.subplots(len(minima), len(layers), squeeze=False)
    largest = max(float(table["weight"].abs().max()), 1e-300)
    image: Any = None
    for across, minimum in zip(grid, minima, strict=True):
        for axes, layer in zip(across, layers, strict=True):
            part = table[((table["minimum"] == minimum) & (table["layer"] == layer)).to_numpy()]
            image = _matrix(axes, part, largest)
            axes.set_title(f"layer {layer}" if minimum == minima[0] else "", fontsize=8)
        across[0].set_ylabel(_name(table[(table["minimum"] == minimum).to_numpy()], "\n"), fontsize=8)
    figure.colorbar(image, ax=grid.ravel().tolist(), label="weight\n(right of the line: bias)")
    return figure


def _name(part: pd.DataFrame, between: str) -> str:
    """A minimum by its id and its loss, and a restart that ends there; -1 stands for one that none has reached."""
    row = part.iloc[0]
    leads = f"\nrestart {row['restart']}" if row["restart"] >= 0 else ""
    return f"minimum {row['minimum']}{between}f = {row['loss']:.3g}{leads}"


def _matrix(axes: Any, part: pd.DataFrame, largest: float) -> Any:
    sources = int(part["source"].max()) + 1
    column = part["source"].where(part["source"] >= 0, sources)
    matrix = part.assign(column=column).pivot_table(index="unit", columns="column", values="weight").to_numpy()
    image = axes.imshow(matrix, cmap=_MAP, vmin=-largest, vmax=largest, aspect="auto")
    if matrix.shape[1] > sources:
        axes.axvline(sources - 0.5, color="black", lw=1.0)
    if max(matrix.shape) <= _WRITTEN_MAX:
        for (unit, place), entry in np.ndenumerate(matrix):
            ink = "white" if abs(entry) > 0.6 * largest else "black"
            axes.text(place, unit, _number(entry, largest), ha="center", va="center", fontsize=7, color=ink)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    return image


def _number(entry: float, largest: float) -> str:
    return "0" if abs(entry) < 1e-6 * largest else f"{entry:.2g}"
