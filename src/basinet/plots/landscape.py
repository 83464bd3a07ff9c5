"""The loss on a plane, and the descents that end on it."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinet.plots import style

_LEVELS = 14
_DECADES = 6  # of the loss that contours can tell apart
_FAINTEST = 0.15  # of a path far from the plane


@style.styled
def landscape(grid: pd.DataFrame, paths: pd.DataFrame, points: pd.DataFrame, title: str) -> Figure:
    """The loss on the plane through three minima, and descents projected on it: different starts, different minima.

    Contours are log-spaced. A path is the fainter the farther it is from the plane, where the loss is another one than
    the contours say.

    Args:
        grid: `x y loss`, as `basinet.reporting.plane` makes all three.
        paths: `restart minimum step x y distance`, each path from its start to its end.
        points: `minimum kind restart x y loss`; a star is a minimum, a diamond a point of a set of another kind.
        title: what stands above everything.
    """
    if grid.empty or not np.isfinite(grid["loss"]).any():
        return style.sentence("there is no plane through three minima", title)
    figure, axes = style.one_panel(title, 3.9 * _aspect(grid) + 1.3 + style.LEGEND, 4.6)
    image = _contours(axes, grid)
    bar = figure.colorbar(image, ax=axes, label="loss f on the plane", pad=0.02, shrink=0.8)
    style.scale(bar.ax.yaxis, image.norm.inverse(np.array([0.0, 1.0])))
    colours = {minimum: style.COLOURS[number % 6] for number, minimum in enumerate(points["minimum"])}
    size = _size(points)
    for _, path in paths.groupby("restart"):
        _path(axes, path, colours, size)
    for _, point in points.iterrows():
        marked: dict[str, Any] = {
            "ms": 13 if _is_minimum(point) else 8,
            "mfc": colours[point["minimum"]],
            "mec": "black",
            "mew": 0.8,
        }
        axes.plot([point["x"]], [point["y"]], _marker(point), zorder=6, **marked)
    axes.set(xlabel="distance along the plane", ylabel="distance across")
    axes.set(xlim=(grid["x"].min(), grid["x"].max()), ylim=(grid["y"].min(), grid["y"].max()), aspect="equal")
    axes.grid(visible=False)
    style.legend_beside(figure, _entries(paths, points, colours), _caption(paths, size))
    return figure


def _aspect(grid: pd.DataFrame) -> float:
    """Width by height, within what a page has room for."""
    return float(np.clip(np.ptp(grid["x"]) / max(np.ptp(grid["y"]), 1e-300), 0.6, 1.6))


def _contours(axes: Any, grid: pd.DataFrame) -> Any:
    """Log-spaced levels of the loss, dark where it is low."""
    table = grid.pivot(index="y", columns="x", values="loss")
    loss = style.drawable(table.to_numpy(np.float64))
    finite = loss[np.isfinite(loss)]
    low, high = max(finite.min(), finite.max() / 10**_DECADES), finite.max()
    greys = ListedColormap(mpl.colormaps["Greys_r"](np.linspace(0.35, 0.97, 256)))
    levels = np.geomspace(low, max(high, low * 1.001), _LEVELS)
    x, y = table.columns.to_numpy(), table.index.to_numpy()
    if levels[-1] <= high:  # not on a flat plane, which has none
        axes.contour(x, y, np.clip(loss, low, high), levels=levels, colors="white", linewidths=0.5, alpha=0.7)
    norm = mpl.colors.LogNorm(levels[0], levels[-1])
    return axes.pcolormesh(x, y, loss, norm=norm, cmap=greys, shading="nearest", rasterized=True)


def _path(axes: Any, path: pd.DataFrame, colours: dict[Any, str], size: float) -> None:
    """One descent: a line that fades with its distance from the plane, a ring at the start, a dot at the end."""
    colour = colours.get(path["minimum"].iloc[0], style.COLOURS[7])
    places = path[["x", "y"]].to_numpy(np.float64)
    opaque = np.clip(1 - path["distance"].to_numpy(np.float64) / size, _FAINTEST, 1.0)
    segments = np.stack([places[:-1], places[1:]], axis=1)
    shades = [to_rgba(colour, alpha) for alpha in (opaque[:-1] + opaque[1:]) / 2]
    axes.add_collection(LineCollection(list(segments), colors=shades, linewidths=1.5, zorder=4, rasterized=True))
    start, end = to_rgba(colour, opaque[0]), to_rgba(colour, opaque[-1])
    axes.plot(*places[0], "o", ms=5, mfc="white", mec=start, mew=1.3, zorder=5, alpha=max(opaque[0], 0.5))
    axes.plot(*places[-1], "o", ms=3.5, mfc=end, mec="none", zorder=5)


def _is_minimum(point: pd.Series) -> bool:
    return str(point["kind"]) == "minimum"


def _marker(point: pd.Series) -> str:
    return "*" if _is_minimum(point) else "D"


def _times(corners: pd.DataFrame) -> str:
    """Why a bottom is marked more than once: a minimum has copies, of a degenerate set these are some points."""
    if len(corners) == 1:
        return ""
    return f"; {len(corners)} {'of its copies' if _is_minimum(corners.iloc[0]) else 'points of the set'}"


def _size(points: pd.DataFrame) -> float:
    """The longest side of the triangle."""
    corners = points[["x", "y"]].to_numpy(np.float64)
    return max(float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).max(initial=0.0)), 1e-12)


def _entries(paths: pd.DataFrame, points: pd.DataFrame, colours: dict[Any, str]) -> list[Line2D]:
    ends = paths.groupby("restart")["minimum"].first()
    entries = []
    for minimum, corners in points.groupby("minimum", sort=False):
        first = corners.iloc[0]
        descents = f"{style.count(int((ends == minimum).sum()))} descents"
        text = f"{style.kind_name(first['kind'])} {minimum}, f = {first['loss']:.3g}\n({descents}{_times(corners)})"
        marked: dict[str, Any] = {
            "marker": _marker(first),
            "ms": 10 if _is_minimum(first) else 7,
            "mec": "black",
            "mew": 0.6,
        }
        entries.append(Line2D([], [], color=colours[minimum], label=text, **marked))
    others = int((~ends.isin(points["minimum"])).sum())
    if others:
        entries.append(
            Line2D([], [], color=style.COLOURS[7], label=f"another bottom\n({style.count(others)} descents)")
        )
    entries.append(Line2D([], [], ls="", marker="o", mfc="white", mec="black", label="start"))
    return entries


def _caption(paths: pd.DataFrame, size: float) -> str:
    farthest = float(paths["distance"].max()) if len(paths) else 0.0
    if farthest < 1e-6 * size:
        return "Every descent lies in the plane."
    starts = paths.groupby("restart")["distance"].first().median()
    off = f"{starts:.2g} at the start\n(median), {farthest:.2g} at most. The\nminima are {size:.2g} apart."
    return f"A path fades with its distance\nfrom the plane: {off}"
