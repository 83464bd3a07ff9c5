"""What a person sees of a run in MLflow beside its numbers: a note, figures, a page to point at restarts in, minima."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from basinet import plots, reporting
from basinet.analysis import wording
from basinet.analysis.bottoms import objectives, rank_of
from basinet.analysis.spread import Summary
from basinet.pipeline.gather import Findings
from basinet.plots.style import rank_colour
from basinet.reporting import provenance
from basinet.reporting.data import Material
from basinet.reporting.document import Report, Section
from basinet.reporting.headline import shares
from basinet.reporting.html import render
from basinet.reporting.points import points
from basinet.reporting.portraits import portraits
from basinet.study.study import Study
from basinet.tracking.address import default_uri
from basinet.tracking.find import SHORT
from basinet.tracking.minima_runs import MinimumRun, group_minima, write_minima
from basinet.tracking.origin import Origin
from basinet.tracking.record import OpenRun, write_note
from basinet.tracking.view import CONDITIONS, GROUPED, MINIMA, links_to_views

_PAGE = "figures/restarts.html"
_GRAPH = "figures/disconnectivity.png"
_MINIMA_SHOWN = 20
_NOTE_MAX = 6000  # characters of a note's table: what follows has to fit, too
_TRAINING = "?workflowType=machine_learning"  # else MLflow shows its pages for language models
_SMALL = ".small.png"  # of a figure within a note: how its name ends
_ROOM_OF = {"waterfall": (480, 480), "final_losses": (800, 400)}  # there, in pixels: width and height
_WEIGHTS_MAX = 60  # parameters that a note writes down
_ROOM = "&nbsp;&nbsp;"  # MLflow leaves none between the columns of a note's table


def exhibit_condition(written: OpenRun, findings: Findings, spread: pd.DataFrame, *, drawn: bool) -> None:
    """Write a condition's note and, where they are `drawn`, its figures and the page of its restarts.

    Args:
        written: its run.
        findings: what came out.
        spread: its spread table, one row, with the column `condition`.
        drawn: whether there are to be figures.
    """
    if drawn:
        page = restarts_page(findings.restarts, spread, written.id, _elsewhere(written.store.uri))
        with written.store.writing(written.run) as folder:
            plots.save(_figures(findings, _title(findings, spread)), (folder / _PAGE).parent)
            _make_thumbnail(folder, "waterfall")
            if page is not None:
                (folder / _PAGE).write_text(page, encoding="utf-8")
    links = {"every restart, to be pointed at": _PAGE} if drawn else {}
    links |= {"the disconnectivity graph": _GRAPH} if drawn and findings.landscape is not None else {}
    links |= {"the table of minima": "minima.csv"} if len(findings.minima) else {}
    between = "" if findings.landscape is None else f"\n\nBetween the minima: {findings.landscape.sentence}."
    image = _thumbnail(written, "waterfall") if drawn else ""
    note = condition_note(spread.iloc[0], findings.minima, findings.symmetry, image)
    write_note(written, f"{note}{between}\n\n{_links(written, links)}")


def _title(findings: Findings, spread: pd.DataFrame) -> str:
    """What stands above figures: the condition; of a large one, also of which restarts they are."""
    name, shown = str(spread["condition"].iloc[0]), len(findings.restarts)
    return name if shown >= findings.count else f"{name}: {wording.restarts_drawn(shown, findings.count)}"


def _figures(findings: Findings, title: str) -> dict[str, Any]:
    """Those of `plots.condition_figures` that say most for their time: of each, it is the writing that takes it."""
    found = findings.landscape
    return {
        "loss_fan": plots.loss_fan(findings.quantiles, title),
        "waterfall": plots.waterfall(findings.restarts, title),
        "fans_by_minimum": plots.fans(findings.curves, findings.restarts, "minimum", title),
        "rank_abundance": plots.rank_abundance(findings.minima, title),
        **portraits(findings.study, findings.restarts, findings.minima, findings.parameters, title),
        **({} if found is None else plots.landscape_figures(found.minima, found.saddles, found.paths, title)),
    }


def _elsewhere(uri: str) -> str | None:
    """A store as a command has to name it; None for that of the working directory, which may move."""
    return None if uri == default_uri() else uri


def restarts_page(
    restarts: pd.DataFrame, spread: pd.DataFrame, run_id: str, tracking_uri: str | None = None
) -> str | None:
    """The final losses of a condition as HTML: a dot for each restart that says which it is; None if there is no dot.

    It is drawn by the script of the report: 25 kB, and 30 bytes for a restart. MLflow shows a page by itself, without
    what lies beside it, so that plotly's script would be in every file, with 4.6 MB.
    """
    nothing = pd.DataFrame()
    name = str(spread["condition"].iloc[0])
    material = Material(
        origin=Origin(run_id, "", [], []),
        by=["condition"],
        restarts=restarts.assign(run_id=run_id, condition=name),
        minima=nothing,
        curves=nothing,
        quantiles=nothing,
        spread=spread,
        bottoms=nothing,
        pairs=None,
        levels=nothing,
        held_out=nothing,
    )
    shown = points(material, provenance.replay_command("{run}", "{restart}", tracking_uri))
    if shown is None:
        return None
    shown.data["conditions"][0]["label"] = name
    return render(Report(name, [Section("restarts", name, [shown])]), {})


def exhibit_minima(written: OpenRun, findings: Findings, most: int) -> None:
    """Make a run below a condition's for each of its lowest minima, not more than `most`, with a restart's curve."""
    write_minima(written, _minima(findings, most, written.run.info.run_name, written.id))


def _minima(findings: Findings, most: int, condition: str, run_id: str) -> Iterator[MinimumRun]:
    """The curve of a minimum is that of its representative, or of the first restart there whose curve was kept.

    Its last point, one step later, is the bottom itself: where Newton's steps led.
    """
    minima = findings.minima[(findings.minima["kind"] == "minimum").to_numpy()].head(most)
    by = "record" if "time" in findings.curves else "step"  # restarts of a flow make steps of their own
    curves = findings.curves.assign(step=findings.curves[by]).set_index("restart")[["step", "loss"]]
    kept = findings.restarts[findings.restarts["restart"].isin(curves.index).to_numpy()]
    first = kept.drop_duplicates("minimum").set_index("minimum")["restart"]
    last, ranks = findings.quantiles[by].max(), rank_of(findings.restarts)
    for row in minima.to_dict("records"):
        is_kept = row["count"] > 0 and row["restart"] in curves.index  # one that only a run has visited has no restart
        restart = row["restart"] if is_kept else first.get(row["minimum"], -1)
        bottom = pd.DataFrame({"step": [last + 1], "loss": [row["loss"]]})
        curve = pd.concat([curves[curves.index == restart], bottom], ignore_index=True)
        numbers = {name: float(row[name]) for name in ("share", "count", "lambda_min", "lambda_max")}
        name = f"{minimum_name(row)} · {condition}"
        colour = rank_colour(int(ranks.get(row["minimum"], len(ranks))))
        note = minimum_note(findings.study, row, condition, run_id)
        group = f"{condition} · {_of_run(row['minimum'], 'run', run_id, row['loss'])}"
        yield MinimumRun(row["minimum"], name, group, numbers, curve, note, colour, int(row["restart"]))


def minimum_name(row: Mapping[Any, Any]) -> str:
    """What the run of a minimum is called.

    >>> minimum_name({"minimum": 3, "loss": 0.02049, "share": 0.07})
    'minimum 3 · loss 0.0205 · 7 % of starts'
    """
    return f"minimum {row['minimum']} · loss {row['loss']:.3g} · {wording.percent(row['share'])} of starts"


def exhibit_groups(parent: OpenRun, minima: pd.DataFrame, by: Sequence[str]) -> None:
    """Name the minima of a sweep in the runs of its conditions' minima: the same one is called the same everywhere.

    Args:
        parent: the sweep's run.
        minima: one row per bottom of every condition, with its settings and `sweep_minimum`.
        by: what tells conditions apart.
    """
    apart, digits = objectives(by), len(str(minima["sweep_minimum"].max()))
    groups = {}
    for _, row in minima.iterrows():
        number = f"{row['sweep_minimum']:0{digits}}"  # names are put in order as text
        words = [wording.condition_label(row, apart), _of_run(number, "sweep", parent.id, row["loss"])]
        groups[row["run_id"], row["minimum"]] = " · ".join(filter(None, words))
    group_minima(parent, groups)


def _of_run(number: int | str, kind: str, run_id: str, loss: float) -> str:
    return f"minimum {number} of {kind} {run_id[:SHORT]} · loss {loss:.3g}"


def minimum_note(study: Study, row: Mapping[Any, Any], condition: str, run_id: str) -> str:
    """What a minimum is, who ended there, and its weights, in Markdown."""
    series = pd.Series(dict(row))
    told = [
        f"A minimum of **{condition}**: loss {wording.bottom_loss(series, 6)}, reached by "
        f"{wording.with_interval(series, 'share')} of the starts; the eigenvalues of its Hessian are "
        f"{row['lambda_min']:.3g} to {row['lambda_max']:.3g}."
    ]
    if row["restart"] >= 0:
        again = f"basinet-replay {provenance.short(run_id)} {row['restart']}"
        told.append(f"Restart {row['restart']} ended here; `{again}` trains it again, with every step.")
    return "\n\n".join([*told, _weights(study, np.asarray(row["parameters"], np.float64))])


def _weights(study: Study, theta: npt.NDArray[np.float64]) -> str:
    """The parameters, layer by layer; of a larger network where they are."""
    where = f"`basinet.load_minima(…)['parameters']` has its {len(theta):,} parameters."
    if len(theta) > _WEIGHTS_MAX:
        return where
    if study.network.size != len(theta):  # no network is minimised
        return f"```\nθ = {_matrix(theta)}\n```"
    lines = []
    for number, layer in enumerate(study.network.layers(torch.from_numpy(theta).unsqueeze(0))):
        lines.append(f"W{number} =\n{_matrix(layer.weight[0].numpy())}")
        lines += [] if layer.bias is None else [f"b{number} = {_matrix(layer.bias[0].numpy())}"]
    return "```\n" + "\n".join(lines) + f"\n```\n\n{where}"


def _matrix(values: npt.NDArray[np.float64]) -> str:
    return np.array2string(values, precision=5, suppress_small=True, max_line_width=100)


def exhibit_sweep(
    parent: OpenRun, summary: Summary, restarts: pd.DataFrame, minima: pd.DataFrame, *, drawn: bool, shown: bool
) -> None:
    """Write a sweep's note and, where they are `drawn`, the figures that compare its conditions.

    Args:
        parent: its run.
        summary: what came out.
        restarts: one row per restart of every condition, with its settings.
        minima: one row per bottom of every condition, with its settings.
        drawn: whether there are to be figures.
        shown: whether minima have runs.
    """
    if shown:
        exhibit_groups(parent, minima, summary.by)
    if drawn:
        figures = plots.sweep_figures(restarts, minima, summary.spread, summary.by)
        with parent.store.writing(parent.run) as folder:
            plots.save(figures, folder / "figures")
            _make_thumbnail(folder, "final_losses")
    _write_sweep_note(parent, summary, _FIGURE_LINKS if drawn else {}, shown=shown)


def exhibit_report(parent: OpenRun, summary: Summary, *, shown: bool) -> None:
    """Put the report on a sweep that has ended among the artifacts of its run: one page that can be sent on."""
    uri = parent.store.uri
    page = reporting.page(parent.id, _elsewhere(uri))
    with parent.store.writing(parent.run) as folder:
        (folder / reporting.PAGE).write_text(page, encoding="utf-8")
    _write_sweep_note(parent, summary, {"the report": reporting.PAGE, **_FIGURE_LINKS}, shown=shown)


_FIGURE_LINKS = {"final losses": "figures/final_losses.png", "heat maps": "figures/heat.png"}


def _write_sweep_note(parent: OpenRun, summary: Summary, links: Mapping[str, str], *, shown: bool) -> None:
    links = {**links, "the table": "tables/spread.csv"}
    image = _thumbnail(parent, "final_losses") if _FIGURE_LINKS.items() <= links.items() else ""
    note = sweep_note(summary, image)
    views = links_to_views(parent.run.info.experiment_id, [CONDITIONS, *([MINIMA, GROUPED] if shown else [])])
    told = [note, _links(parent, links), f"The runs: {views}", *wording.symmetries(summary.symmetries)]
    write_note(parent, "\n\n".join(told))


def condition_note(row: pd.Series, minima: pd.DataFrame, symmetry: str = "", image: str = "") -> str:
    """What came out of a condition, in Markdown: of a long note MLflow shows the beginning only, so that tells most."""
    told = wording.minima_clause(row)
    lines = [f"{told[0].upper()}{told[1:]}."]
    if len(minima):
        rows = [wording.minimum_cells(minimum) for _, minimum in minima.head(_MINIMA_SHOWN).iterrows()]
        lines.append(_table(rows, len(minima)))
    lines += [image] if image else []
    lines.append(wording.losses_sentence(row))
    lines += [f"They ended at: {wording.spread_cells(row)['ended at']}.", *wording.symmetries([symmetry])]
    return "\n\n".join(lines)


def sweep_note(summary: Summary, image: str = "") -> str:
    """What came out of a sweep, in Markdown: a few sentences, the picture, and condition × minimum as in the report.

    The sentences stand first, as MLflow shows two lines of a note until it is unfolded.
    """
    spread, by = summary.spread, summary.by
    words = [wording.size_sentence(spread, by), wording.ended_sentence(spread), wording.best_sentence(spread, by)]
    told = [" ".join(words), *([image] if image else [])]
    if summary.ends is None or summary.ends.empty:
        return "\n\n".join(told)
    table = shares(summary.ends, spread, by)
    cells = [[f"{cell.text} {cell.below}".rstrip() for cell in row] for row in table.rows]
    rows = [dict(zip(table.headings, row, strict=True)) for row in cells]
    caption = "Share of the restarts that end in each minimum, and its loss:"
    return "\n\n".join([*told, caption, _table(rows, len(rows))])


def _table(rows: Sequence[Mapping[str, str]], there_are: int) -> str:
    """As many rows as a note has room for, in Markdown, and how many more there are."""
    lines = [_line(rows[0]), " | ".join("---" for _ in rows[0])]
    for row in rows:
        if sum(map(len, lines)) < _NOTE_MAX:
            lines.append(_line(row.values()))
    left = there_are - (len(lines) - 2)
    return "\n".join(lines) + (f"\n\nand {left:,} more" if left else "")


def _line(cells: Any) -> str:
    return " | ".join(str(cell).replace("|", "\\|") + _ROOM for cell in cells)


def _links(run: OpenRun, artifacts: Mapping[str, str]) -> str:
    """Artifacts of a run by what they are called, as links within MLflow's pages."""
    return " · ".join(f"[{title}]({_page_of(run, path)})" for title, path in artifacts.items())


def _page_of(run: OpenRun, path: str) -> str:
    """Where MLflow's pages show an artifact of a run."""
    return f"#/experiments/{run.run.info.experiment_id}/runs/{run.id}/artifacts/{path}{_TRAINING}"


def _thumbnail(run: OpenRun, name: str) -> str:
    """A small figure within a note, which leads to the large one: MLflow's pages ask the server for it."""
    address = f"get-artifact?path=figures/{name}{_SMALL}&run_uuid={run.id}"
    return f"[![{name.replace('_', ' ')}]({address})]({_page_of(run, f'figures/{name}.png')})"


def _make_thumbnail(folder: Path, name: str) -> None:
    """A figure as small as a note has room for."""
    with Image.open(folder / "figures" / f"{name}.png") as image:
        small = image.convert("RGB")
        small.thumbnail(_ROOM_OF[name], Image.Resampling.LANCZOS)
        small.save(folder / "figures" / f"{name}{_SMALL}", optimize=True)
