"""From what is known of a sweep to its report: which words, tables and figures stand under which heading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from basinet.analysis import wording
from basinet.analysis.running_time import running_time, speedups
from basinet.reporting import provenance
from basinet.reporting.between import between
from basinet.reporting.cells import number, setting
from basinet.reporting.data import DRAWN_MAX, PAIRS_MAX, Material
from basinet.reporting.document import Cell, Element, Items, Part, Picture, Report, Section, Table, Terms, Text
from basinet.reporting.figures import of_condition, of_runs, overview
from basinet.reporting.glossary import GLOSSARY
from basinet.reporting.headline import headline, question
from basinet.reporting.points import points
from basinet.reporting.portraits import section as portraits

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
    sections = [question(material), headline(material, first)]
    if origin.finished:
        sections += [_bottoms(material, pictures.get("bottoms", []))]
        replay = provenance.replay_command("{run}", "{restart}", tracking_uri)
        sections += [_spread(material, [picture for picture in rest if picture is not None], replay)]
        if len(material.visits):
            sections += [_escaping(material)]
        sections += [between(material)]
        sections += [portraits(material, tracking_uri)] if drawn_max else []
        if "descents" in pictures:
            sections += [Section("descents", "The descents", [*pictures["descents"]])]
        if not material.is_single:
            sections += [_differences(material), _each(material, drawn_max)]
    sections += [provenance.configuration(material), provenance.how_it_was_run(material, tracking_uri), _words()]
    return Report(f"{origin.experiment}: where random restarts end", [part for part in sections if part.blocks])


def _factors(material: Material) -> Iterator[tuple[str, pd.DataFrame, list[str]]]:
    """Each setting whose values are compared, its rows of the levels, and the settings held fixed."""
    for factor in material.levels["factor"].unique():
        table = material.levels[material.levels["factor"] == factor]
        yield factor, table, [key for key in material.by if key != factor]


def _spread(material: Material, pictures: list[Picture], replay: str) -> Section:
    shown = points(material, replay)
    caption, folded = "One row per condition. " + wording.LEGEND, _folded("The table", len(material.spread))
    spread = _frame_table(caption, material.spread, material.by, wording.spread_cells, _SPREAD_NUMBERS, folded)
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
    folded = _folded("Beside the training loss", len(material.held_out))
    numbers = {"median": "median"}
    return [_frame_table(caption, material.held_out, material.by, wording.held_out_cells, numbers, folded)]


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
    rows = _frame_table(caption, shown, keys, wording.bottom_cells, numbers, _folded("The table", len(shown)))
    symmetries = wording.symmetries([condition.symmetry for condition in material.origin.finished])
    return Section("bottoms", "The bottoms", [*map(Text, symmetries), *pictures, rows])


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
        blocks += [
            Items(told, len(told)),
            Table(explained, headings, rows, _folded("How much each setting explains", len(rows))),
        ]
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
    headings = list(wording.difference_cells(shown.iloc[0], by))
    return Table(caption, headings, rows, _folded("Pair by pair", len(rows)))


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
    folded: str = "",
) -> Table:
    """A table of the page: settings, and what `cells` makes of each row; `numbers` are the columns to sort by."""
    rows, headings = [], list(keys)
    for _, row in frame.iterrows():
        made = cells(row)
        headings = [*keys, *made]
        rows.append([*(setting(row[key]) for key in keys), *_cells(row, made, numbers)])
    return Table(caption, headings, rows, folded)


def _cells(row: pd.Series, made: Mapping[str, str], numbers: Mapping[str, str]) -> list[Cell]:
    return [Cell(text, number(row[numbers[name]]) if name in numbers else None) for name, text in made.items()]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _folded(what: str, rows: int) -> str:
    """What stands for a table that is folded away."""
    return f"{what}: {rows:,} row{'s' * (rows != 1)}"


def _words() -> Section:
    return Section("words", "What the words mean", [Part("The glossary", [Terms(GLOSSARY)])])
