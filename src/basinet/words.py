"""Tables and notes as a person reads them: the same wording in the terminal and in MLflow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from basinet.spread import KINDS

_MINIMA_SHOWN = 20


def spread_cells(row: pd.Series) -> dict[str, str]:
    """A row of the spread table by the headings a person reads."""
    shares = {name.replace("_", " "): row[f"share_{name}"] for name in (*KINDS, "diverged")}
    return {
        "restarts": f"{int(row['restarts']):,}",
        "best loss": f"{row['loss_min']:.3g}",
        "median [95 %]": f"{row['loss_median']:.3g} [{row['median_low']:.3g}, {row['median_high']:.3g}]",
        "worst": f"{row['loss_max']:.3g}",
        "ended at": ", ".join(f"{name} {_percent(share)}" for name, share in shares.items() if share > 0),
        "minima": _number(row["minima"], "d"),
        "coverage": _percent(row["coverage"]),
        "at the best": _percent(row["share_best"]),
        "needed": _number(row["restarts_needed"], ".0f"),
    }


def condition_note(name: str, row: pd.Series, minima: pd.DataFrame) -> str:
    """What came out of a condition, in Markdown: the headline and its bottoms."""
    lines = [
        f"**{name}**",
        "",
        f"{int(row['restarts']):,} random restarts: best loss {row['loss_min']:.4g}, median {row['loss_median']:.4g} "
        f"[{row['median_low']:.4g}, {row['median_high']:.4g}], worst {row['loss_max']:.4g}.",
        "",
        f"They ended at: {spread_cells(row)['ended at']}.",
    ]
    if row["minima"] > 0:
        lines += [
            "",
            f"{int(row['minima'])} distinct minima cover {_percent(row['coverage'])} "
            f"[{_percent(row['coverage_low'])}, {_percent(row['coverage_high'])}] of what the initialisation leads to; "
            f"the best is reached by {_percent(row['share_best'])} "
            f"[{_percent(row['share_best_low'])}, {_percent(row['share_best_high'])}] of the restarts.",
        ]
    if len(minima):
        lines += ["", *_minima_lines(minima)]
    return "\n".join(lines)


def _minima_lines(minima: pd.DataFrame) -> list[str]:
    lines = ["minimum | kind | loss | restarts | share [95 %] | λ min | λ max", " | ".join(["---"] * 7)]
    for _, row in minima.head(_MINIMA_SHOWN).iterrows():
        what = [str(row["minimum"]), str(row["kind"]).replace("_", " "), f"{row['loss']:.6g}", f"{row['count']:,}"]
        share = f"{_percent(row['share'])} [{_percent(row['share_low'])}, {_percent(row['share_high'])}]"
        lines.append(" | ".join([*what, share, f"{row['lambda_min']:.3g}", f"{row['lambda_max']:.3g}"]))
    if len(minima) > _MINIMA_SHOWN:
        lines += ["", f"and {len(minima) - _MINIMA_SHOWN:,} more in `minima.csv`"]
    return lines


def sweep_note(table: pd.DataFrame, by: Sequence[str]) -> str:
    """The spread of a sweep, in Markdown."""
    rows = [{**{key: str(row[key]) for key in by}, **spread_cells(row)} for _, row in table.iterrows()]
    headings = list(rows[0])
    lines = [" | ".join(headings), " | ".join("---" for _ in headings)]
    lines += [" | ".join(row.values()) for row in rows]
    return "\n".join(["Where random restarts end.", "", *lines, "", LEGEND])


LEGEND = (
    "minima: distinct ones found; coverage: share of the initialisation's probability that leads to them "
    "(Good-Turing); at the best: share of the restarts in the lowest minimum; needed: restarts to reach it with 95 %."
)


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.3g} %"


def _number(value: float, form: str) -> str:
    if np.isnan(value):
        return "-"
    return "∞" if np.isinf(value) else format(int(value) if form == "d" else np.ceil(value), "," + form.lstrip(","))
