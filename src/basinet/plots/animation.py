"""Restarts going down, as an animation: on a map of basins, or on the curve of a loss of one parameter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.animation import PillowWriter

from basinet.foundation.errors import require
from basinet.plots import style
from basinet.plots.basins import draw, ink, on_map

_SECOND = 12  # frames
_STAYS = 12  # frames for which the end is shown
_DPI = 90
_TAIL = 10  # frames of its way that a start draws behind it


def animate(
    pixels: pd.DataFrame, minima: pd.DataFrame, paths: pd.DataFrame, names: Sequence[str], title: str, path: Path
) -> None:
    """Write the flow from some starts as a GIF: one frame for each time of `paths`.

    Arguments are those of `basinet.plots.basins`, and the file to write.

    Raises:
        ConfigError: if no flow stays on the map, so that there is nothing to be followed on it.
    """
    kept = on_map(paths)
    require(len(kept) > 0, "no flow stays on this map; an animation needs one over all parameters of a network")
    height = "y" if len(names) == 2 else "loss"
    ways = [way for _, way in kept.groupby("start")]
    x, y = (np.stack([way[name].to_numpy(np.float64) for way in ways]) for name in ("x", height))  # [start, time]
    times = ways[0]["time"].to_numpy(np.float64)
    colours = [ink(minima, way.iloc[0]) for way in ways]
    with mpl.rc_context({**style.STYLE, "savefig.dpi": _DPI}):
        figure, axes = draw(pixels, minima, names, title)
        balls = axes.scatter(x[:, 0], y[:, 0], s=30, c=colours, edgecolors="black", linewidths=0.7, zorder=8)
        tails = [axes.plot([], [], color=colour, lw=1.1, zorder=7)[0] for colour in colours]
        clock = axes.text(0.02, 0.97, "", transform=axes.transAxes, va="top", fontsize=9, zorder=9)
        writer = PillowWriter(fps=_SECOND)
        with writer.saving(figure, str(path), _DPI):
            for frame in [*range(len(times)), *[len(times) - 1] * _STAYS]:
                balls.set_offsets(np.stack([x[:, frame], y[:, frame]], axis=1))
                first = max(frame - _TAIL, 0)
                for tail, along, across in zip(tails, x, y, strict=True):
                    tail.set_data(along[first : frame + 1], across[first : frame + 1])
                clock.set_text(f"t = {times[frame]:.2g}")
                writer.grab_frame()
                figure.set_layout_engine("none")  # laid out once
