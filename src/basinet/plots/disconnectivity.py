"""Which minima are separated by which barriers: the disconnectivity graph."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinet.analysis.disconnectivity import branches
from basinet.plots import style

_NAMED_MAX = 16  # minima with their numbers below them
_MARKED_MAX = 60  # minima with a dot at their end
_UNSEEN = style.COLOURS[1]  # minima that no restart has reached
_ROOM = 0.06  # of the height, above the highest saddle


@style.styled
def disconnectivity(
    minima: pd.DataFrame, saddles: pd.DataFrame, title: str, axis: Literal["linear", "log"] = "linear"
) -> Figure:
    """The disconnectivity graph: every line that ends is a minimum, and two meet at the lowest saddle between them.

    It draws `basinet.analysis.disconnectivity.branches`. The darker a line, the more restarts have ended there; dashed
    are minima that only searches for saddles have found.

    Args:
        minima: of one condition, as `basinet.load_minima` returns them.
        saddles: of the same condition, as `basinet.load_saddles` returns them.
        title: what stands above it.
        axis: of the loss.
    """
    tree = branches(minima, saddles)
    leaves = tree[tree["minimum"] >= 0]
    if leaves.empty:
        return style.sentence("there are no minima", title)
    figure, axes = style.one_panel(title, width=7.2, height=4.0)
    axes.set(yscale=axis, ylabel="loss f", xlim=(-0.7, len(leaves) - 0.3))
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter("{x:g}")
    if axis == "log":
        axes.yaxis.set_minor_formatter("{x:g}")
    ceiling = _ceiling(tree, axis)
    colours = _colours(leaves)
    for row in tree.to_dict("records"):
        _branch(axes, row, colours.get(row["node"], style.GREY), ceiling, len(leaves))
    below = tree[tree["parent"] >= 0].groupby("parent").agg(low=("x", "min"), high=("x", "max"), level=("top", "first"))
    axes.hlines(below["level"], below["low"], below["high"], color=style.GREY, lw=_width(len(leaves)))
    _ends(axes, leaves, colours)
    seen = leaves[leaves["count"] > 0]
    handles = _handles(seen)
    unseen = len(leaves) - len(seen)
    if unseen:
        handles.append(Line2D([], [], color=_UNSEEN, ls="--", label=f"no restart ({unseen:,})"))
    style.legend_beside(figure, handles, f"{len(leaves):,} minima\nshare of the restarts")
    return figure


def _ceiling(tree: pd.DataFrame, axis: str) -> float:
    """Where the lines of roots end."""
    low, high = float(tree["loss"].min()), float(tree["loss"].max())
    if axis == "log" and low > 0:
        return high * (high / low) ** _ROOM if high > low else 1.1 * high
    return high + _ROOM * (high - low if high > low else max(abs(high), 1.0))


def _colours(leaves: pd.DataFrame) -> dict[int, Any]:
    """The colour of each minimum, by its node."""
    seen = leaves[leaves["count"] > 0]
    shades = _shades(seen["share"].to_numpy(np.float64))
    return dict.fromkeys(leaves["node"], _UNSEEN) | dict(zip(seen["node"], shades, strict=True))


def _shades(shares: np.ndarray[Any, Any]) -> list[Any]:
    if len(shares) == 0:
        return []
    norm = LogNorm(min(float(shares.min()), 0.5 * float(shares.max())), float(shares.max()))
    return [mpl.colormaps["viridis_r"](0.12 + 0.88 * float(norm(share))) for share in shares]


def _handles(seen: pd.DataFrame) -> list[Any]:
    """The largest share, the middle one and the smallest."""
    shares = np.sort(seen["share"].to_numpy(np.float64))[::-1]
    chosen = sorted({0, len(shares) // 2, len(shares) - 1}) if len(shares) else []
    shades = _shades(shares)
    return [Line2D([], [], color=shades[rank], lw=2, label=style.percent(round(shares[rank], 4))) for rank in chosen]


def _branch(axes: Any, row: dict[Any, Any], colour: Any, ceiling: float, leaves: int) -> None:
    top = row["top"] if np.isfinite(row["top"]) else ceiling
    is_unseen = row["minimum"] >= 0 and row["count"] == 0
    line = {"ls": "--"} if is_unseen else {}
    axes.plot([row["x"], row["x"]], [row["loss"], top], color=colour, lw=_width(leaves), **line)


def _width(leaves: int) -> float:
    return 1.6 if leaves <= _MARKED_MAX else 0.8


def _ends(axes: Any, leaves: pd.DataFrame, colours: dict[int, Any]) -> None:
    if len(leaves) <= _MARKED_MAX:
        axes.scatter(leaves["x"], leaves["loss"], s=14, c=[colours[node] for node in leaves["node"]], zorder=3)
    if len(leaves) > _NAMED_MAX:
        axes.set_xticks([])
        axes.set_xlabel("minima, the lower branch on the left")
        return
    ordered = leaves.sort_values("x")
    axes.set_xticks(ordered["x"], [str(number) for number in ordered["minimum"]])
    axes.set_xlabel("minimum")
