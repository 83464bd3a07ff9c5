"""A column of the spread table by two settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from basinet.analysis import plot_data
from basinet.plots import style
from basinet.plots.dark import ON_COLOUR

_WRITTEN_MAX = 400  # cells with their number in them
_NAMES = {
    "share_best": "share of restarts at the best minimum",
    "share_best_known": "share of restarts at the best known minimum",
    "minima": "distinct minima found",
}


@style.styled
def heat(spread: pd.DataFrame, rows: Sequence[str], columns: str, values: Sequence[str], title: str) -> Figure:
    """Columns of the spread table, one panel each, by settings: colour and number say the value.

    It draws `basinet.analysis.plot_data.heat`.

    Args:
        spread: one row per condition.
        rows: settings down, one row per combination (usually the init); may be empty.
        columns: the setting across (usually the depth).
        values: columns of the spread table; those that begin with `share` are shown as percentages.
        title: what stands above everything.
    """
    if spread.empty:
        return style.sentence("there are no conditions", title)
    tables = {value: plot_data.heat(spread, rows, columns, value) for value in values}
    down, across = next(iter(tables.values())).shape
    names = max(map(len, next(iter(tables.values())).index)) * 0.07
    counted = _restarts(spread["restarts"])
    width = max(0.55 * across + 1.0, 2.4)
    figure = style.new_figure(
        names + width * len(tables), max(0.3 * down, 0.7) + 1.3, f"{title} ({counted} per condition)"
    )
    grid = figure.subplots(1, len(tables), squeeze=False, sharey=True)
    for axes, (value, table) in zip(grid[0], tables.items(), strict=True):
        _panel(figure, axes, value, table)
        axes.set_xlabel(style.plain(columns))
        axes.set_title(style.wrapped(_NAMES.get(value, value.replace("_", " ")), width))
    return figure


def _panel(figure: Figure, axes: Any, value: str, table: pd.DataFrame) -> None:
    share = value.startswith("share")
    numbers = table.to_numpy(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low = 0.0
    high = 1.0 if share else float(finite.max(initial=1.0))
    axes.set_facecolor("#dddddd")  # what is not known
    image = axes.imshow(np.ma.masked_invalid(numbers), cmap="viridis", vmin=low, vmax=high, aspect="auto")
    axes.grid(visible=False)
    style.name_ticks([axes], [str(name) for name in table.columns])
    shown = range(0, len(table), max(-(-len(table) // 60), 1))
    axes.set_yticks(shown, [style.plain(str(table.index[row])) for row in shown])
    bar = figure.colorbar(image, ax=axes, pad=0.02, format=PercentFormatter(1, symbol=" %") if share else None)
    bar.locator = MaxNLocator(5, integer=not share)
    if numbers.size <= _WRITTEN_MAX:
        for (row, column), number in np.ndenumerate(numbers):
            dark = not np.isfinite(number) or (number - low) / (high - low) > 0.55
            place: dict[str, Any] = {"ha": "center", "va": "center", "gid": ON_COLOUR}
            axes.text(column, row, _text(number, share), fontsize=8, color="k" if dark else "w", **place)


def _text(number: float, share: bool) -> str:
    if not np.isfinite(number):
        return "-"
    if share:
        return f"{100 * number:.3g}"
    return f"{number:,.0f}" if number == round(number) else f"{number:.3g}"


def _restarts(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return style.count(low) if low == high else f"n = {low:,} to {high:,}"
