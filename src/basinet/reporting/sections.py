"""From what is known of a sweep to its report: which words, tables and figures stand under which heading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from basinet.analysis import bottoms, wording
from basinet.analysis.advice import PAGE, advice
from basinet.analysis.groups import by_settings, within
from basinet.analysis.running_time import running_time, speedups
from basinet.foundation.large import HELD
from basinet.reporting import provenance
from basinet.reporting.between import between
from basinet.reporting.data import DRAWN_MAX, PAIRS_MAX, Material
from basinet.reporting.document import Cell, Element, Items, Part, Picture, Report, Section, Table, Terms, Text
from basinet.reporting.figures import of_condition, of_runs, overview
from basinet.reporting.glossary import GLOSSARY
from basinet.reporting.points import points

_TABLES = 6  # of networks that are not folded away
_LEVELS = 8  # losses that are shown in one table, those that most restarts of some condition end at
_ROUNDING = 1e-9  # of a sum of shares
_PAIRS = 30  # pairs of conditions that are shown, the most different ones
_ROWS = 30  # bottoms that are shown


def report(material: Material, tracking_uri: str | None = None, drawn_max: int = DRAWN_MAX) -> Report:
    """The report on an experiment, a sweep or a run.

    Args:
        material: what it is made from.
        tracking_uri: what its commands have to name, if anything.
        drawn_max: the most conditions that have figures of their own; where there are more, none has.
    """
    origin = material.origin
    pictures = overview(material) if origin.finished else {}
    first, *rest = pictures.get("spread", [None])
    sections = [_question(material), _headline(material, first)]
    if origin.finished:
        sections += [_bottoms(material, pictures.get("bottoms", []))]
        replay = provenance.replay_command("{run}", "{restart}", tracking_uri)
        sections += [_spread(material, [picture for picture in rest if picture is not None], replay)]
        if len(material.visits):
            sections += [_escaping(material)]
        sections += [between(material)]
        if "descents" in pictures:
            sections += [Section("descents", "The descents", [*pictures["descents"]])]
        if not material.is_single:
            sections += [_differences(material), _each(material, drawn_max)]
    sections += [provenance.configuration(material), provenance.how_it_was_run(material, tracking_uri), _words()]
    return Report(f"{origin.experiment}: where random restarts end", [part for part in sections if part.blocks])


def _question(material: Material) -> Section:
    study = provenance.study_comments(material.origin)
    question, *more = study or [wording.question([] if material.is_single else material.by)]
    blocks: list[Element] = [Text(question, "lead")]
    if more:
        blocks.append(Text(" ".join(more), "note"))
    return Section("question", "The question", blocks)


_SAMPLED = (
    f"Counts and shares are of all restarts. Figures, quantiles, comparisons and medians of conditions with more than "
    f"{HELD:,} restarts are of the first {HELD:,}, which are a random sample: restarts do not know of each other."
)


def _headline(material: Material, picture: Picture | None) -> Section:
    """What came out, on one screen: the picture, which share of the restarts ends where, and what that says."""
    origin, by = material.origin, material.by
    planned = max((sweep.planned for sweep in origin.sweeps), default=0) if len(origin.sweeps) == 1 else 0
    planned = 0 if origin.name not in (origin.experiment, *(sweep.run_id for sweep in origin.sweeps)) else planned
    missing = wording.status_sentences([condition.status for condition in origin.conditions], planned)
    blocks: list[Element] = [Text(sentence, "warning") for sentence in missing]
    blocks += _failed(material)
    if not origin.finished:
        return Section("headline", "What came out", blocks)
    blocks += [] if picture is None else [picture]
    blocks.append(
        Text(f"{wording.size_sentence(material.spread, by)} {wording.ended_sentence(material.spread)}", "lead")
    )
    blocks += [] if material.is_whole else [Text(_SAMPLED, "note")]
    rows = [row for _, row in material.spread.iterrows()]
    if len(rows) > 1:
        told = _comparing(material)
        blocks.append(Items([("", sentence) for sentence in told], len(told)))
    blocks += _where(material)
    clauses = Items([(wording.condition_label(row, by), f"{wording.minima_clause(row)}.") for row in rows], len(rows))
    blocks.append(Part("Condition by condition", [clauses]) if len(rows) > 1 else clauses)
    blocks += _proved(material)
    remarks = [(wording.condition_label(row, by), remark) for row in rows if (remark := wording.remark(row))]
    blocks += [Part("To be kept in mind", [Items(remarks, len(remarks))])] if remarks else []
    advised = advice(material.spread, by, [condition.columns for condition in origin.finished])
    blocks += [Text(f"What to do about restarts that ended in no minimum ({PAGE}):")] if advised else []
    blocks += [Items([("", line) for line in advised], len(advised))] if advised else []
    return Section("headline", "What came out", blocks)


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
    shown, more = tables[:_TABLES], tables[_TABLES:]
    return [*shown, Part(f"{len(more):,} more networks", more)] if more else shown


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
        rows.append([*(_setting(condition[key]) for key in own), *(_share(number) for number in numbers)])
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


def _factors(material: Material) -> Iterator[tuple[str, pd.DataFrame, list[str]]]:
    """Each setting whose values are compared, its rows of the levels, and the settings held fixed."""
    for factor in material.levels["factor"].unique():
        table = material.levels[material.levels["factor"] == factor]
        yield factor, table, [key for key in material.by if key != factor]


def _spread(material: Material, pictures: list[Picture], replay: str) -> Section:
    shown = points(material, replay)
    spread = _frame_table(
        "One row per condition. " + wording.LEGEND, material.spread, material.by, wording.spread_cells, _SPREAD_NUMBERS
    )
    blocks: list[Element] = [*([] if shown is None else [shown]), *pictures, spread]
    return Section("spread", "The spread of the final losses", [*blocks, *_held_out(material)])


_SPREAD_NUMBERS = {
    "restarts": "restarts",
    "best loss": "loss_min",
    "median [95 %]": "loss_median",
    "worst": "loss_max",
    "minima": "minima",
    "orbits": "orbits",
    "coverage": "coverage",
    "at the best": "share_best",
    "needed": "restarts_needed",
}


def _held_out(material: Material) -> list[Element]:
    if material.held_out.empty:
        return []
    caption = "Beside the training loss: medians over the restarts that did not diverge, and quartiles."
    return [_frame_table(caption, material.held_out, material.by, wording.held_out_cells, {"median": "median"})]


def _bottoms(material: Material, pictures: list[Picture]) -> Section:
    table = material.bottoms
    if table.empty:
        told = "No restart reached a bottom that could be told from others."
        return Section("bottoms", "The bottoms", [Text(told), *pictures])
    keys = [key for key in material.by if key in table]
    shown = table.nlargest(_ROWS, "restarts").sort_index() if len(table) > _ROWS else table
    which = "" if len(shown) == len(table) else f" The {len(shown)} that most restarts reached, of {len(table):,}."
    caption = f"One row per bottom, the lowest first.{which}"
    numbers = {
        "loss": "loss",
        "restarts": "restarts",
        "share": "share",
        "conditions": "conditions",
        "λ min": "lambda_min",
        "λ max": "lambda_max",
    }
    rows = _frame_table(caption, shown, keys, wording.bottom_cells, numbers)
    symmetries = wording.symmetries([condition.symmetry for condition in material.origin.finished])
    return Section("bottoms", "The bottoms", [*map(Text, symmetries), rows, *pictures])


def _escaping(material: Material) -> Section:
    """Which way out of a minimum pays."""
    visits = material.visits
    by = [key for key in material.by if key in visits.columns]
    table, told = running_time(visits, by), list[str]()
    if visits["escape"].nunique() > 1:
        fixed = [key for key in by if not key.startswith("escape")]
        told = [f"{_upper(wording.speedup_sentence(row, fixed))}." for _, row in speedups(visits).iterrows()]
    caption = (
        "Gradients needed: the mean cost of all runs that it takes until one reaches the best known minimum of its "
        "objective (ERT of COCO), a loss alone counting as a third of a gradient."
    )
    numbers = {"runs": "runs", "reached by": "success_share", "gradients needed [95 %]": "ert"}
    rows = _frame_table(caption, table, by, wording.running_cells, numbers)
    return Section(
        "runs", "Escaping, or training again", [Items([("", one) for one in told], len(told)), rows, *of_runs(material)]
    )


def _differences(material: Material) -> Section:
    blocks: list[Element] = []
    if len(material.levels):
        explained = (
            "Does a setting matter, the others held fixed? Explained: the share of the variance of the ranks of the "
            "losses that lies between its values (ε² of Kruskal and Wallis' test)."
        )
        numbers = {
            "explained": "epsilon_squared",
            "H": "H",
            "values": "levels",
            "p (Holm)": "p_holm",
            "restarts": "restarts",
        }
        rows, headings = [], []
        for factor, table, within in _factors(material):
            for _, row in table.iterrows():
                made = wording.level_cells(row, within)
                headings = ["setting", *made]
                rows.append([Cell(factor), *_cells(row, made, numbers)])
        told = [("", wording.factor_sentence(factor, table, within)) for factor, table, within in _factors(material)]
        blocks += [Items(told, len(told)), Table(explained, headings, rows)]
    if material.pairs is None:
        blocks.append(
            Text(f"There are more than {PAIRS_MAX:,} pairs of conditions, which are not compared one by one.")
        )
    elif len(material.pairs):
        blocks += [Text(wording.pairs_sentence(material.pairs, material.by)), _pairs(material.pairs, material.by)]
    else:
        blocks.append(Text("There are no two conditions of one problem, whose losses could be compared."))
    return Section("differences", "Differences between conditions", blocks)


def _pairs(pairs: pd.DataFrame, by: Sequence[str]) -> Table:
    shown = pairs.head(_PAIRS)
    which = f"The {len(shown)} most different of {len(pairs):,} pairs" if len(shown) < len(pairs) else "All pairs"
    caption = (
        f"{which} of conditions. δ (Cliff): how much more often a restart of a ends higher than one of b, than lower. "
        "By start: both began from the same starts, so that each restart is compared with its partner (sign test, "
        "paired bootstrap); as a whole: all with all (Brunner and Munzel's test). p is corrected for the number of "
        "pairs (Holm). Diverged restarts count as the worst."
    )
    numbers = {"median of a": "median_a", "median of b": "median_b", "difference [95 %]": "difference", "δ": "delta"}
    rows = [
        _cells(row, wording.difference_cells(row, by), {**numbers, "p (Holm)": "p_holm"}) for _, row in shown.iterrows()
    ]
    return Table(caption, list(wording.difference_cells(shown.iloc[0], by)), rows)


def _each(material: Material, drawn_max: int) -> Section:
    drawn = len(material.spread) <= drawn_max
    blocks: list[Element] = []
    if not drawn:
        told = "None has figures here: basinet-report draws those of a condition, given the id of its run."
        blocks.append(Text(told))
    for (_, row), run_id in zip(material.spread.iterrows(), material.runs(), strict=True):
        name = wording.condition_label(row, material.by)
        inside: list[Element] = [Text(wording.losses_sentence(row)), Text(f"{_upper(wording.minima_clause(row))}.")]
        minima = material.of_run(material.minima, run_id)
        if len(minima):
            inside.append(_minima(minima))
        inside += of_condition(material, run_id, name) if drawn else []
        blocks.append(Part(name, [*inside, Text(f"run {run_id}", "note")]))
    return Section("conditions", "Each condition", blocks)


def _minima(minima: pd.DataFrame) -> Table:
    shown = minima.head(_ROWS)
    which = f"The {len(shown)} lowest of {len(minima):,} bottoms" if len(shown) < len(minima) else "Its bottoms"
    numbers = {
        "loss": "loss",
        "restarts": "count",
        "share [95 %]": "share",
        "λ min": "lambda_min",
        "λ max": "lambda_max",
    }
    return _frame_table(f"{which}, the lowest first.", shown, [], wording.minimum_cells, numbers)


def _frame_table(
    caption: str,
    frame: pd.DataFrame,
    keys: Sequence[str],
    cells: Callable[[pd.Series], dict[str, str]],
    numbers: Mapping[str, str],
) -> Table:
    """A table of the page: settings, and what `cells` makes of each row; `numbers` are the columns to sort by."""
    rows, headings = [], list(keys)
    for _, row in frame.iterrows():
        made = cells(row)
        headings = [*keys, *made]
        rows.append([*(_setting(row[key]) for key in keys), *_cells(row, made, numbers)])
    return Table(caption, headings, rows)


def _cells(row: pd.Series, made: Mapping[str, str], numbers: Mapping[str, str]) -> list[Cell]:
    return [Cell(text, _number(row[numbers[name]]) if name in numbers else None) for name, text in made.items()]


def _setting(value: Any) -> Cell:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return Cell("-" if np.isnan(value) else f"{value:g}", _number(value))
    return Cell("-" if pd.isna(value) else str(value))


def _number(value: Any) -> float | None:
    number = float(value)
    return None if np.isnan(number) else number


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _words() -> Section:
    return Section("words", "What the words mean", [Part("The glossary", [Terms(GLOSSARY)])])
