"""Which minimum the gradient flow leads to, as a map: over two parameters a plane, over one a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from basinet.plots import style

_LEVELS = 12  # contour lines
_TINTS = (0.45, 0.72, 0.2, 0.85)  # how much white, of minima of one loss, and of copies of one, one after the other
_ON_MAP = 1e-6
_ROLLING = 12  # starts on a line that are shown …
_LANES = 4  # … so many above each other …
_ABOVE = 1.06  # … by this factor
_SHOWN = 12  # entries of the legend
_NOWHERE = (0.9, 0.9, 0.9)


@style.styled
def basins(pixels: pd.DataFrame, minima: pd.DataFrame, paths: pd.DataFrame, names: Sequence[str], title: str) -> Figure:
    """Basins of attraction, with minima (stars), contour lines of the loss, and the flow from some starts (rings).

    A minimum has the colour of its loss, as in all figures; those that share it, and symmetric copies, have other
    tints of it. Over one parameter the loss is drawn as a curve in the colours of the basins.

    Args:
        pixels: `x y minimum copy loss`, as `basinet.reporting.basins` makes all three.
        minima: `minimum copy kind loss rank x y distance share`.
        paths: `start minimum copy time x y loss`, in the order of time.
        names: what the axes show, one or two.
        title: what stands above everything.
    """
    if not np.isfinite(pixels["loss"]).any():
        return style.sentence("the loss is finite nowhere on this map", title)
    kept = on_map(paths)
    start = Line2D([], [], ls="", marker="o", mfc="white", mec="black", label="start")
    figure, axes = draw(pixels, minima, names, title, [start] if len(kept) else [])
    for number, (_, path) in enumerate(kept.groupby("start")):
        colour = ink(minima, path.iloc[0])
        if len(names) == 2:
            axes.plot(path["x"], path["y"], color=colour, lw=0.9, alpha=0.9, zorder=4)
            axes.plot(path["x"].iloc[0], path["y"].iloc[0], "o", ms=4.5, mfc="white", mec=colour, mew=1.2, zorder=5)
        elif number < _ROLLING:
            _rolls(axes, path, colour, number)
    return figure


def on_map(paths: pd.DataFrame) -> pd.DataFrame:
    """The flows that never leave the map: of others a projection says nothing."""
    farthest = paths.groupby("start")["distance"].transform("max").to_numpy(np.float64)
    kept: pd.DataFrame = paths[farthest <= _ON_MAP]
    return kept


def draw(
    pixels: pd.DataFrame, minima: pd.DataFrame, names: Sequence[str], title: str, marks: Sequence[Any] = ()
) -> tuple[Figure, Any]:
    """The map without flows, and its panel; `marks` are what the legend explains besides."""
    figure, axes = style.one_panel(title, 4.2 + style.LEGEND + 0.4, 4.4 if len(names) == 2 else 3.6)
    labelled = _labels(pixels, minima)
    if len(names) == 2:
        _plane(axes, pixels, labelled, minima)
        axes.set(xlabel=names[0], ylabel=names[1])
    else:
        _line(axes, pixels, labelled, minima)
        axes.set(xlabel=names[0], ylabel="loss f")
    axes.grid(visible=False)
    _stars(axes, minima, len(names))
    style.legend_beside(figure, [*_entries(pixels, minima), *marks], "the flow leads to")
    return figure, axes


def tint(minima: pd.DataFrame, row: int) -> tuple[float, float, float]:
    """The colour of a bottom's basin: that of its loss with so much white that neighbours are told apart."""
    rank = int(minima["rank"].iloc[row])
    again = int((minima["rank"].iloc[:row] == rank).sum())
    white = _TINTS[again % len(_TINTS)]
    red, green, blue = (white + (1 - white) * part for part in to_rgb(style.rank_colour(rank)))
    return red, green, blue


def ink(minima: pd.DataFrame, of: pd.Series) -> Any:
    """The full colour of a bottom, for lines."""
    found = minima[(minima["minimum"] == of["minimum"]).to_numpy()]
    return style.rank_colour(int(found["rank"].iloc[0])) if len(found) else style.COLOURS[7]


def _labels(pixels: pd.DataFrame, minima: pd.DataFrame) -> Any:
    """The row of each pixel's bottom in the table of minima, `[pixel]`; -1 where there is none."""
    rows = pd.Series(range(len(minima)), index=pd.MultiIndex.from_frame(minima[["minimum", "copy"]]))
    return rows.reindex(pd.MultiIndex.from_frame(pixels[["minimum", "copy"]])).fillna(-1).to_numpy(np.int64)


def _plane(axes: Any, pixels: pd.DataFrame, labelled: Any, minima: pd.DataFrame) -> None:
    x, y = np.unique(pixels["x"]), np.unique(pixels["y"])
    image = labelled.reshape(len(y), len(x))
    colours = ListedColormap([_NOWHERE, *(tint(minima, row) for row in range(len(minima)))])
    limits = {"vmin": -1.5, "vmax": len(minima) - 0.5}
    axes.pcolormesh(x, y, image, cmap=colours, shading="nearest", rasterized=True, **limits)
    loss = pixels["loss"].to_numpy(np.float64).reshape(len(y), len(x))
    finite = np.sort(loss[np.isfinite(loss)])
    levels = np.unique(finite[np.linspace(0, len(finite) - 1, _LEVELS + 2).astype(np.int64)][1:-1])
    if len(levels) > 1:
        axes.contour(x, y, loss, levels=levels, colors="black", linewidths=0.4, alpha=0.45, zorder=2)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))


def _line(axes: Any, pixels: pd.DataFrame, labelled: Any, minima: pd.DataFrame) -> None:
    """The loss as a curve, and below it the basins as bands."""
    x, loss = pixels["x"].to_numpy(np.float64), pixels["loss"].to_numpy(np.float64)
    ends = np.flatnonzero(np.diff(labelled)) + 1
    for piece in np.split(np.arange(len(x)), ends):
        row = int(labelled[piece[0]])
        band = _NOWHERE if row < 0 else tint(minima, row)
        right = x[min(piece[-1] + 1, len(x) - 1)]
        axes.axvspan(x[piece[0]], right, color=band, lw=0, alpha=0.6, zorder=0)
    axes.plot(x, style.drawable(loss), color="black", lw=1.4, zorder=2)
    style.scale(axes.yaxis, loss)
    axes.set(xlim=(x[0], x[-1]))


def _rolls(axes: Any, path: pd.DataFrame, colour: Any, number: int) -> None:
    """A start on a line and its way down, above the curve, so that those of other starts do not hide it."""
    height = style.drawable(path["loss"]) * _ABOVE ** (1 + number % _LANES)
    x = path["x"].to_numpy(np.float64)
    axes.plot(x, height, color=colour, lw=1.0, alpha=0.9, zorder=4)
    way = {"arrowstyle": "-|>", "color": colour, "lw": 1.0}
    moved = np.flatnonzero(np.abs(x - x[-1]) > 0.02 * float(np.ptp(axes.get_xlim())))
    if len(moved):
        last = moved[-1]
        axes.annotate("", (x[-1], height[-1]), (x[last], height[last]), arrowprops=way, zorder=4)
    axes.plot(x[0], height[0], "o", ms=5.5, mfc="white", mec=colour, mew=1.3, zorder=5)


def _stars(axes: Any, minima: pd.DataFrame, dimensions: int) -> None:
    for _, point in minima[(minima["distance"] <= _ON_MAP).to_numpy()].iterrows():
        height = point["y"] if dimensions == 2 else point["loss"]
        marked: dict[str, Any] = {"mfc": style.rank_colour(int(point["rank"])), "mec": "black", "mew": 0.8}
        marker = "*" if str(point["kind"]) == "minimum" else "D"
        axes.plot(point["x"], height, marker, ms=13 if marker == "*" else 8, zorder=6, clip_on=True, **marked)
        beside: dict[str, Any] = {"textcoords": "offset points", "xytext": (7, 5), "fontsize": 8, "zorder": 7}
        axes.annotate(str(point["minimum"]), (point["x"], height), annotation_clip=True, **beside)


def _entries(pixels: pd.DataFrame, minima: pd.DataFrame) -> list[Any]:
    """Bottoms that the map shows, those with the largest basins; what leads nowhere; and what marks mean."""
    seen = minima[(minima["share"] > 0).to_numpy()].nlargest(_SHOWN, "share").sort_index()
    entries: list[Any] = [
        Patch(facecolor=tint(minima, place), edgecolor="black", lw=0.4, label=_entry(row))
        for place, (_, row) in zip(seen.index.to_numpy(np.int64).tolist(), seen.iterrows(), strict=True)
    ]
    more = int((minima["share"] > 0).sum()) - len(seen)
    entries += [Patch(alpha=0, label=f"and {more:,} more")] if more else []
    lost = float((pixels["minimum"] < 0).mean())
    if lost > 0:
        entries.append(Patch(facecolor=_NOWHERE, edgecolor="black", lw=0.4, label=f"no minimum: {style.percent(lost)}"))
    return entries


def _entry(row: pd.Series) -> str:
    copy = f", copy {row['copy']}" if row["copy"] else ""
    name = f"{style.kind_name(row['kind'])} {row['minimum']}{copy}"
    return f"{name}, f = {row['loss']:.3g}\n({100 * row['share']:.1f} % of the map)"
