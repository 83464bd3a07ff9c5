"""What a report says of the landscape between the minima: in words, figures, and saddle by saddle."""

from __future__ import annotations

import pandas as pd

from basinet import plots
from basinet.reporting.data import Material
from basinet.reporting.document import Cell, Element, Items, Picture, Section, Table
from basinet.reporting.figures import file_name

_DRAWN_MAX = 6  # conditions with figures of their landscapes
_ROWS = 30  # saddles that are shown, the lowest
_SHOWN = 12  # conditions that are not folded away

CAPTIONS = {
    "disconnectivity": "Every line that ends is a minimum, and two lines meet at the loss of the lowest saddle between "
    "them: what lies below is separated by barriers. The darker, the more restarts ended there.",
    "saddle_index": "Every line is a critical point above the number of directions in which the loss falls from it: "
    "minima on the left, then the saddles between them. Are saddles with more such directions higher?",
    "barrier": "Two ways from the lowest minimum to a neighbour: on the left along the gradient flow over the saddle "
    "between them, on the right straight, to the minimum as it was found and to its nearest symmetric copy.",
}


def between(material: Material) -> Section:
    """The section on saddles and barriers; empty if no condition was asked for them."""
    asked = [condition for condition in material.origin.finished if condition.landscape is not None]
    if not asked:
        return Section("landscape", "Between the minima", [])
    single = len(asked) == 1
    told = [("" if single else condition.name, f"{condition.landscape}.") for condition in asked]
    blocks: list[Element] = [Items(told, _SHOWN)]
    for condition in asked[:_DRAWN_MAX]:
        run_id = condition.run_id
        minima, saddles = material.of_run(material.minima, run_id), material.of_run(material.saddles, run_id)
        figures = plots.landscape_figures(minima, saddles, material.of_run(material.paths, run_id), condition.name)
        prefix = "" if single else f"{file_name(condition.name, run_id)}_"
        blocks += [Picture(f"{prefix}{name}", figure, CAPTIONS[name]) for name, figure in figures.items()]
        if single and len(saddles):
            blocks.append(_table(saddles))
    return Section("landscape", "Between the minima", blocks)


def _table(saddles: pd.DataFrame) -> Table:
    """The lowest saddles of index 1."""
    first = saddles[(saddles["index"] == 1).to_numpy()].sort_values("loss", kind="stable")
    shown = first.head(_ROWS)
    which = f"The {len(shown)} lowest of {len(first):,} saddles" if len(shown) < len(first) else "The saddles"
    headings = ["saddle", "loss", "between minima", "barrier from the lower", "from the higher", "copies", "searches"]
    rows = [
        [
            Cell(str(row["saddle"]), float(row["saddle"])),
            Cell(f"{row['loss']:.6g}", row["loss"]),
            Cell(_joined(row["minimum_a"], row["minimum_b"])),
            _number(row["barrier_a"]),
            _number(row["barrier_b"]),
            _number(row["orbit_size"]),
            Cell(f"{row['count']:,}", float(row["count"])),
        ]
        for row in shown.to_dict("records")
    ]
    return Table(f"{which} of index 1, the lowest first.", headings, rows)


def _joined(one: int, other: int) -> str:
    names = ["unknown" if end < 0 else str(end) for end in (one, other)]
    return f"two copies of {one}" if one == other >= 0 else " and ".join(names)


def _number(value: float) -> Cell:
    return Cell("-", None) if pd.isna(value) else Cell(f"{value:.4g}", float(value))
