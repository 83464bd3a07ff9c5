"""Two ways from one minimum to another: over the saddle between them, and straight."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinet.plots import style

_NAMES = {"straight": "straight, as they were found", "aligned": "straight, after alignment"}


@style.styled
def barrier(paths: pd.DataFrame, title: str) -> Figure:
    """The loss along the gradient flow on both sides of a saddle, and on straight lines between its two minima.

    Args:
        paths: `way x loss saddle minimum_a minimum_b`, as `basinet.pipeline.paths.paths` makes it.
        title: what stands above it.
    """
    if paths.empty:
        return style.sentence("no saddle joins two different minima", title)
    figure = style.new_figure(6.0 + style.LEGEND, 3.2, title, beside=style.LEGEND)
    over, straight = figure.subplots(1, 2, sharey=True)
    flow = paths[(paths["way"] == "flow").to_numpy()]
    top = float(flow["loss"].max())
    over.plot(flow["x"], flow["loss"], color=style.COLOURS[0], lw=1.6)
    over.plot([0], [top], "o", ms=5, color=style.COLOURS[0])
    over.set(xlabel="length of the way from the saddle", ylabel="loss f")
    handles = [Line2D([], [], color=style.COLOURS[0], label="along the gradient flow")]
    for colour, (way, name) in zip(style.COLOURS[1:3], _NAMES.items(), strict=True):
        curve = paths[(paths["way"] == way).to_numpy()]
        straight.plot(curve["x"], curve["loss"], color=colour, lw=1.6)
        height = float(curve["loss"].max()) - _higher(curve)
        handles.append(Line2D([], [], color=colour, label=f"{name}\n(barrier {height:.3g})"))
    straight.axhline(top, color=style.GREY, lw=0.8, ls=":")
    straight.set_xlabel("share of the straight line")
    handles.append(Line2D([], [], color=style.GREY, ls=":", label=f"the saddle ({top - _higher(flow):.3g})"))
    one, other, saddle = (int(paths[name].iloc[0]) for name in ("minimum_a", "minimum_b", "saddle"))
    style.scale(over.yaxis, paths["loss"])
    style.legend_beside(figure, handles, f"minimum {one} to minimum {other},\nover saddle {saddle}")
    return figure


def _higher(curve: pd.DataFrame) -> float:
    """The loss of the higher one of its two ends."""
    return float(max(curve["loss"].iloc[0], curve["loss"].iloc[-1]))
