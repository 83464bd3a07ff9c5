"""The first screen of a report: the question, the picture, which share ends where, and what that says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from basinet.analysis import bottoms, wording
from basinet.analysis.advice import PAGE, advice
from basinet.analysis.groups import by_settings, within
from basinet.foundation.large import HELD
from basinet.plots.style import RANKS, rank_colour, rank_name
from basinet.reporting import provenance
from basinet.reporting.cells import setting
from basinet.reporting.data import Material
from basinet.reporting.document import Cell, Element, Glance, Items, Part, Picture, Section, Table, Text

_LEVELS = 8  # losses that are shown in one table, those that most restarts of some condition end at
_ROUNDING = 1e-9  # of a sum of shares
_ROWS = 12  # bottoms of a single condition that are shown at a glance
_SAID = 40  # conditions whose shares are told in the words that stand for the picture


def question(material: Material) -> Section:
    """What was asked: the first comment of the study, or what was varied."""
    study = provenance.study_comments(material.origin)
    asked, *more = study or [wording.question([] if material.is_single else material.by)]
    blocks: list[Element] = [Text(asked, "lead")]
    if more:
        blocks.append(Part("More on the question", [Text(" ".join(more), "note")]))
    return Section("question", "The question", blocks)


def headline(material: Material, picture: Picture | None) -> Section:
    """What came out, on one screen, and folded below it what there is to say of each condition."""
    origin, by = material.origin, material.by
    planned = max((sweep.planned for sweep in origin.sweeps), default=0) if len(origin.sweeps) == 1 else 0
    planned = 0 if origin.name not in (origin.experiment, *(sweep.run_id for sweep in origin.sweeps)) else planned
    missing = wording.status_sentences([condition.status for condition in origin.conditions], planned)
    blocks: list[Element] = [Text(sentence, "warning") for sentence in missing]
    blocks += _failed(material)
    if not origin.finished:
        return Section("headline", "What came out", blocks)
    ending = _shares(material)
    told = Items([("", sentence) for sentence in _sentences(material)], 3)
    beside: list[Element] = [*([] if ending is None else [ending]), told]
    blocks += beside if picture is None else [Glance(_told(picture, ending), beside)]
    rows = [row for _, row in material.spread.iterrows()]
    clauses = Items([(wording.condition_label(row, by), f"{wording.minima_clause(row)}.") for row in rows], len(rows))
    blocks.append(Part("Condition by condition", [clauses]) if len(rows) > 1 else clauses)
    blocks += [] if material.is_whole else [Text(_SAMPLED, "note")]
    losses = _where(material)
    blocks += [Part("Loss by loss", losses)] if losses else []
    blocks += _proved(material)
    remarks = [(wording.condition_label(row, by), remark) for row in rows if (remark := wording.remark(row))]
    blocks += [Part("To be kept in mind", [Items(remarks, len(remarks))])] if remarks else []
    advised = advice(material.spread, by, [condition.columns for condition in origin.finished])
    if advised:
        lines = Items([("", line) for line in advised], len(advised))
        blocks.append(Part(f"What to do about restarts that ended in no minimum ({PAGE})", [lines]))
    return Section("headline", "What came out", blocks)


_SAMPLED = (
    f"Counts and shares are of all restarts. Figures, quantiles, comparisons and medians of conditions with more than "
    f"{HELD:,} restarts are of the first {HELD:,}, which are a random sample: restarts do not know of each other."
)


def _sentences(material: Material) -> list[str]:
    """Three at most: where the restarts ended, how many minima there are, and from where the best is reached."""
    ended = f"{wording.size_sentence(material.spread, material.by)} {wording.ended_sentence(material.spread)}"
    return [ended, *([] if material.is_single else _comparing(material))]


def _told(picture: Picture, table: Table | None) -> Picture:
    """The picture with its numbers in words, for those who do not see it."""
    if table is None:
        return picture
    rows = [", ".join(_named(table.headings, row)) for row in table.rows[:_SAID]]
    return replace(picture, alternative=f"{picture.caption} {'; '.join(rows)}.")


def _named(headings: Sequence[str], row: Sequence[Cell]) -> list[str]:
    told = zip(headings, row, strict=True)
    return [f"{heading} {cell.text} {cell.below}".rstrip() for heading, cell in told if cell.text != "-"]


def _shares(material: Material) -> Table | None:
    """Condition × minimum, in the colours of the picture; of a single condition minimum by minimum."""
    by = [] if material.is_single else material.by
    table = bottoms.ends(material.restarts, by, material.alike)
    if table.empty:
        return None
    return _of_one(table) if material.is_single else shares(table, material.spread, material.by)


def _of_one(table: pd.DataFrame) -> Table:
    shown = table.nlargest(_ROWS, "share").sort_index()
    rows = [
        [
            Cell(wording.bottom_loss(row), float(row["loss"]), rank_colour(int(row["rank"]))),
            Cell(str(row["kind"]).replace("_", " ")),
            Cell(wording.percent(row["share"]), float(row["share"])),
        ]
        for _, row in shown.iterrows()
    ]
    which = f" The {len(shown)} that most end at, of {len(table):,}." if len(shown) < len(table) else ""
    return Table(f"Share of the restarts that end at each bottom.{which}", ["loss", "kind", "share"], rows)


def shares(table: pd.DataFrame, spread: pd.DataFrame, by: Sequence[str]) -> Table:
    """Condition × minimum: which share of a condition's restarts ends there, and at which loss.

    Args:
        table: one row per condition and bottom (`basinet.analysis.bottoms.ends`).
        spread: one row per condition; each is a row.
        by: what tells conditions apart.
    """
    ranked = table.assign(rank=table["rank"].clip(upper=RANKS))
    groups = ranked.groupby([*by, "rank"], observed=True, dropna=False)
    merged = groups.agg(loss=("loss", "min"), share=("share", "sum")).reset_index()
    ranks = sorted(merged["rank"].unique())
    rows = []
    for _, condition in spread.iterrows():
        mine = within(merged, {key: condition[key] for key in by}).set_index("rank")
        cells = [_share_at(mine, rank) for rank in ranks]
        left = max(1 - float(mine["share"].sum()), 0.0)
        rows.append([*(setting(condition[key]) for key in by), *cells, _share(left if left > _ROUNDING else 0.0)])
    names = ["lowest", *(rank_name(rank) for rank in ranks if rank > 0)] if 0 in ranks else map(rank_name, ranks)
    caption = "Share of the restarts that end in each minimum, and its loss; colours as in the picture."
    return Table(caption, [*by, *names, "elsewhere"], rows)


def _share_at(mine: pd.DataFrame, rank: int) -> Cell:
    if rank not in mine.index:
        return Cell("-", 0.0)
    share, loss = (float(mine[column][rank]) for column in ("share", "loss"))
    return Cell(wording.percent(share), share, rank_colour(rank), f"at {loss:.3g}")


def _proved(material: Material) -> list[Element]:
    """What is proved of the minima of conditions, where anything is."""
    if "proved" not in material.minima:
        return []
    told = []
    for (_, row), run_id in zip(material.spread.iterrows(), material.runs(), strict=True):
        minima = material.of_run(material.minima, run_id)
        if minima["proved"].any():
            counts = int(minima["proved"].sum()), int((minima["kind"] == "minimum").sum())
            told.append((wording.condition_label(row, material.by), f"{wording.proved_sentence(*counts)}."))
    return [Text("Proved by interval arithmetic:"), Items(told, len(told))] if told else []


def _where(material: Material) -> list[Element]:
    """Condition × bottom: the share of the restarts at each loss; one table for each objective."""
    if material.minima.empty:
        return []
    tables: list[Element] = []
    by = material.by
    apart = bottoms.objectives(by)
    for key, conditions in by_settings(material.spread, apart, sort=False):
        mine = bottoms.levels(within(material.minima, key), by)
        if len(mine):
            tables.append(_ends(mine, conditions, by, wording.condition_label(key, apart)))
    return tables


def _ends(levels: pd.DataFrame, conditions: pd.DataFrame, by: Sequence[str], where: str) -> Table:
    wide = bottoms.shares(levels, conditions, by)
    most = wide.max().nlargest(_LEVELS).index
    shown = wide[[column for column in wide.columns if column in most]]
    own = [key for key in by if conditions[key].nunique(dropna=False) > 1] or list(by)[:1]
    headings = [
        *own,
        *(wording.level_heading(float(end[0]), str(end[1])) for end in shown.columns),
        "elsewhere",
    ]
    rows = []
    for (_, condition), (_, row) in zip(conditions.iterrows(), shown.iterrows(), strict=True):
        left = max(1 - float(row.sum()), 0.0)
        numbers = [*row.tolist(), left if left > _ROUNDING else 0.0]
        rows.append([*(setting(condition[key]) for key in own), *(_share(number) for number in numbers)])
    caption = "Share of the restarts that end at each loss" + (f", {where}." if where else ".")
    return Table(caption, headings, rows)


def _share(number: float) -> Cell:
    return Cell("-" if number == 0 else wording.percent(number), number)


def _comparing(material: Material) -> list[str]:
    """What there is to say of the conditions together."""
    told = [wording.networks_sentence(material.spread, material.by)]
    told.append(wording.best_sentence(material.spread, material.by))
    return [sentence for sentence in told if sentence]


def _failed(material: Material) -> list[Element]:
    lost = [condition for condition in material.origin.conditions if not condition.is_finished]
    rows = [[Cell(one.name), Cell(one.status), Cell(one.run_id), Cell(one.error or "-")] for one in lost]
    return [Table("Conditions without results", ["condition", "status", "run", "error"], rows)] if rows else []
