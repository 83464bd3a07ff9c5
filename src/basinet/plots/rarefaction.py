"""How many distinct minima there are to be found."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from basinet.analysis import plot_data
from basinet.plots import style


@style.styled
def rarefaction(minima: pd.DataFrame, title: str) -> Figure:
    """How many distinct minima so many restarts find, and what the sample says about those not seen.

    It draws `plot_data.rarefaction` and `plot_data.unseen`. `minima` is the table of one condition.
    """
    table = plot_data.rarefaction(minima) if len(minima) else pd.DataFrame()
    if table.empty:
        return style.sentence("no restart was certified as a minimum", title)
    about = plot_data.unseen(minima).iloc[0]
    figure, axes = style.one_panel(title)
    inside, beyond = table[~table["extrapolated"]], table[table["extrapolated"]]
    colour, other = style.COLOURS[:2]
    axes.plot(inside["restarts"], inside["minima"], color=colour, lw=1.6, label="expected among n")
    if len(beyond):
        on = pd.concat([inside.tail(1), beyond])
        axes.plot(on["restarts"], on["minima"], color=colour, ls="--", label="expected up to 2 N, at least")
    axes.plot([about["restarts"]], [about["minima"]], "o", color=colour, label=f"found: {about['minima']:,.0f}")
    if about["minima_chao1"] > about["minima"]:
        text = f"Chao1's estimate: {about['minima_chao1']:,.1f}"
        axes.axhline(about["minima_chao1"], color=other, ls="-.", label=text)
    text = f"there are at least {about['minima_low']:,.1f}\n(Chao1's lower end, 95 %)"
    axes.axhline(about["minima_low"], color=other, ls=":", label=text)
    axes.set(xlabel="restarts that reached a minimum, n", ylabel="distinct minima")
    style.scale(axes.xaxis, table["restarts"], "{:,g}".format)
    axes.set_ylim(0, None)
    handles, _ = axes.get_legend_handles_labels()
    share, low, high = (style.percent(round(about[f"coverage{end}"], 3)) for end in ("", "_low", "_high"))
    seen = f"coverage {share} [{low}, {high}]\n{_of_whom(about['share_minimum'])}"
    style.legend_beside(figure, handles, f"N = {about['restarts']:,.0f}\n{seen}")
    return figure


def _of_whom(share_minimum: float) -> str:
    """What coverage is a share of."""
    if np.isnan(share_minimum):
        return "of the starts that end in a minimum"
    return f"of the {style.percent(round(share_minimum, 3))} of the restarts\nthat ended in a minimum"
