"""Notes, pages, figures and the runs of minima, against the tables of the same conditions."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import basinet
from basinet.analysis.bottoms import ends
from basinet.analysis.spread import Summary, spread
from basinet.foundation.errors import ConfigError
from basinet.pipeline.gather import Findings
from basinet.pipeline.run import run
from basinet.reporting import exhibits
from basinet.study.study import Study
from basinet.tracking.record import OpenRun, open_condition
from basinet.tracking.store import TrackingStore
from basinet.workflows.launch import TrackingSettings

Command = Callable[[str], Any]
SETTINGS = {
    "problem": {"name": "sine", "points": 24, "periods": 1.5},
    "network": {"depth": 2, "width": 3, "activation": "tanh"},
    "init": "orthogonal",
    "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
    "descent": {"name": "nesterov", "learning_rate": 0.1, "momentum": 0.95, "steps": 1500, "tolerance": 1e-7},
    "polish": {"steps": 200, "radius": 0.5},
    "engine": "torch",
}
SWEEP = (
    "-m experiment=depth init=normal,orthogonal network.depth=2 restarts=16 descent.steps=1500 engine=torch "
    "tracking.experiment=shown"
)


@pytest.fixture(scope="module")
def findings() -> Findings:
    """A condition with several minima."""
    found = run(Study.from_config({**SETTINGS, "restarts": 24}))
    assert (found.minima["kind"] == "minimum").sum() >= 2
    return found


@pytest.fixture
def store(furnish: Callable[[Path], Path], tmp_path: Path) -> TrackingStore:
    furnish(tmp_path)
    return TrackingStore.open(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def written(store: TrackingStore, findings: Findings) -> OpenRun:
    """The run of the condition, with nothing in it yet."""
    study = findings.study
    return open_condition(store, store.experiment("shown"), "depth 2", study.key, study.columns, None)


def _below(run_: OpenRun) -> list[Any]:
    experiment = run_.run.info.experiment_id
    found: list[Any] = run_.store.client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_.id}'")
    return sorted(found, key=lambda child: -child.info.start_time)


def _groups(runs: list[Any]) -> set[frozenset[tuple[str, int]]]:
    """Which runs of minima are one group: each by the run of its condition and its number there."""
    names: dict[str, set[tuple[str, int]]] = {}
    for run_ in runs:
        tags = run_.data.tags
        mine = tags["mlflow.parentRunId"], int(tags["basinet.minimum"])
        names.setdefault(tags["basinet.sweep_minimum"], set()).add(mine)
    return {frozenset(group) for group in names.values()}


def _curve(run_: OpenRun, child: Any) -> list[tuple[int, float]]:
    history = run_.store.client.get_metric_history(child.info.run_id, "loss")
    return sorted((entry.step, entry.value) for entry in history)


def test_every_minimum_has_a_run_below_its_condition_with_its_name_and_numbers(
    written: OpenRun, findings: Findings
) -> None:
    exhibits.exhibit_minima(written, findings, 20)
    minima = findings.minima[findings.minima["kind"] == "minimum"]
    children = _below(written)
    for child, row in zip(children, minima.to_dict("records"), strict=True):
        share = f"{100 * row['count'] / 24:.3g}"
        assert (
            child.info.run_name == f"minimum {row['minimum']} · loss {row['loss']:.3g} · {share} % of starts · depth 2"
        )
        assert child.info.status == "FINISHED"
        assert child.data.tags["basinet.kind"] == "minimum"
        group = f"depth 2 · minimum {row['minimum']} of run {written.id[:8]} · loss {row['loss']:.3g}"
        assert child.data.tags["basinet.sweep_minimum"] == group
        assert child.data.params == {"condition": "depth 2", "restart": str(row["restart"])}
        names = ("loss", "share", "count", "lambda_min", "lambda_max")
        assert child.data.metrics == {name: float(row[name]) for name in names}


def test_the_curve_of_a_minimum_is_that_of_a_restart_that_ended_there_and_leads_to_the_bottom(
    written: OpenRun, findings: Findings
) -> None:
    exhibits.exhibit_minima(written, findings, 20)
    for child, row in zip(_below(written), findings.minima.to_dict("records"), strict=False):
        *steps, (last, bottom) = _curve(written, child)
        mine = findings.curves[findings.curves["restart"] == row["restart"]]
        assert steps == list(zip(mine["step"], mine["loss"].astype(float), strict=True))
        assert (last, bottom) == (1501, row["loss"])


def test_where_the_representatives_curve_was_not_kept_another_restart_of_the_minimum_stands_in(
    written: OpenRun, findings: Findings
) -> None:
    """And where nobody's was, the bottom alone is shown."""
    minimum = findings.restarts.set_index("restart")["minimum"]
    in_zero = [restart for restart in minimum.index[minimum == 0] if restart != findings.minima["restart"][0]]
    kept = findings.curves[findings.curves["restart"].isin(in_zero[1:3])]
    shortened = Findings(**{**vars(findings), "curves": kept})
    exhibits.exhibit_minima(written, shortened, 2)
    first, second = _below(written)
    expected = kept[kept["restart"] == in_zero[1]]["loss"].astype(float).tolist()
    assert [value for _, value in _curve(written, first)[:-1]] == expected
    assert _curve(written, second) == [(1501, findings.minima["loss"][1])]


def test_only_so_many_minima_have_a_run_and_the_lowest_come_first(written: OpenRun, findings: Findings) -> None:
    exhibits.exhibit_minima(written, findings, 0)
    assert _below(written) == []
    exhibits.exhibit_minima(written, findings, 1)
    assert [child.data.metrics["loss"] for child in _below(written)] == [findings.minima["loss"].min()]


def test_writing_the_minima_again_adds_nothing(written: OpenRun, findings: Findings) -> None:
    exhibits.exhibit_minima(written, findings, 20)
    before = {child.info.run_id: _curve(written, child) for child in _below(written)}
    exhibits.exhibit_minima(written, findings, 20)
    assert {child.info.run_id: _curve(written, child) for child in _below(written)} == before


@pytest.mark.slow
def test_in_the_order_of_time_minima_come_after_all_conditions_of_their_sweep(sweeps: Command) -> None:
    """MLflow shows the newest hundred runs first: these are to be the conditions."""
    assert sweeps(f"{SWEEP} tracking.figures=none").code == 0
    client = TrackingStore.open(f"sqlite:///{Path.cwd()}/mlflow.db").client
    experiment = client.get_experiment_by_name("shown").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    kinds = [run_.data.tags["basinet.kind"] for run_ in runs]
    assert kinds[:3] == ["condition", "condition", "sweep"]
    assert set(kinds[3:]) == {"minimum"}


@pytest.mark.slow
def test_loading_by_experiment_sweep_and_run_is_not_confused_by_the_runs_of_minima(sweeps: Command) -> None:
    assert sweeps(f"{SWEEP} tracking.figures=none").code == 0
    runs = basinet.load_runs("shown")
    assert len(runs) == 2
    assert len(basinet.load_runs(runs["sweep_id"][0])) == 2
    for load in (basinet.load_restarts, basinet.load_minima, basinet.load_curves, basinet.load_parameters):
        whole = load("shown")
        assert set(whole["run_id"]) == set(runs["run_id"])
        assert len(load(runs["sweep_id"][0])) == len(whole)
        assert len(load(runs["run_id"][0])) == (whole["run_id"] == runs["run_id"][0]).sum()


@pytest.mark.slow
def test_the_id_of_a_minimums_run_means_its_condition(sweeps: Command) -> None:
    assert sweeps(f"{SWEEP} tracking.figures=none").code == 0
    store = TrackingStore.open(f"sqlite:///{Path.cwd()}/mlflow.db")
    experiment = store.client.get_experiment_by_name("shown").experiment_id
    (minimum, *_) = store.client.search_runs([experiment], "tags.`basinet.kind` = 'minimum'")
    restarts = basinet.load_restarts(minimum.info.run_id)
    assert set(restarts["run_id"]) == {minimum.data.tags["mlflow.parentRunId"]}


@pytest.mark.slow
def test_a_sweep_that_is_launched_again_has_no_run_twice(sweeps: Command) -> None:
    for _ in range(2):
        assert sweeps(f"{SWEEP} tracking.figures=none").code == 0
    store = TrackingStore.open(f"sqlite:///{Path.cwd()}/mlflow.db")
    experiment = store.client.get_experiment_by_name("shown").experiment_id
    children = store.client.search_runs([experiment], "tags.`basinet.kind` = 'minimum'")
    below = [(child.data.tags["mlflow.parentRunId"], child.info.run_name) for child in children]
    assert len(below) == len(set(below)) == (basinet.load_minima("shown")["kind"] == "minimum").sum()


@pytest.mark.slow
def test_the_same_minimum_of_several_conditions_is_called_the_same_also_after_another_sweep(sweeps: Command) -> None:
    for sweep in (SWEEP, SWEEP.replace("init=", "init=lecun_normal,")):
        assert sweeps(f"{sweep} tracking.figures=none").code == 0
        store = TrackingStore.open(f"sqlite:///{Path.cwd()}/mlflow.db")
        experiment = store.client.get_experiment_by_name("shown").experiment_id
        runs = store.client.search_runs([experiment], "tags.`basinet.kind` = 'minimum'")
        minima = basinet.load_minima("shown").query("kind == 'minimum'")
        expected = minima.groupby("sweep_minimum")[["run_id", "minimum"]].apply(
            lambda rows: frozenset(rows.itertuples(index=False, name=None))
        )
        assert max(map(len, expected)) > 1
        assert _groups(runs) == set(expected)
        sweep_id = basinet.load_runs("shown")["sweep_id"].iloc[0]
        assert all(f"of sweep {sweep_id[:8]} ·" in run_.data.tags["basinet.sweep_minimum"] for run_ in runs)


def _tracking(**settings: Any) -> TrackingSettings:
    given = {"uri": None, "experiment": None, "curves_max": 1, "figures": None, "minima_runs": None, "rerun": "failed"}
    return TrackingSettings(**{**given, **settings})


@pytest.mark.parametrize(
    ("asked", "conditions", "runs"), [(None, 1, 20), (None, 50, 20), (None, 51, 0), (7, 1, 7), (7, 1000, 7), (0, 1, 0)]
)
def test_beyond_fifty_conditions_minima_have_runs_only_where_that_is_asked_for(
    asked: int | None, conditions: int, runs: int
) -> None:
    assert _tracking(minima_runs=asked).shows(conditions) == runs


def test_a_negative_number_of_runs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^tracking\.minima_runs=-1: must be 0 or more$"):
        _tracking(minima_runs=-1)


def test_a_condition_has_figures_a_page_and_a_note_that_leads_to_them(written: OpenRun, findings: Findings) -> None:
    table = spread(findings.restarts.assign(condition="depth 2"), ["condition"])
    exhibits.exhibit_condition(written, findings, table, drawn=True)
    assert written.folder is not None
    files = {path.name: path.read_bytes() for path in (written.folder / "figures").iterdir()}
    pictures = {
        "loss_fan.png",
        "waterfall.png",
        "waterfall.small.png",
        "fans_by_minimum.png",
        "rank_abundance.png",
        "answers.png",
        "weights.png",
    }
    assert set(files) == {*pictures, "restarts.html"}
    assert all(files[name].startswith(b"\x89PNG") for name in pictures)
    note = written.store.client.get_run(written.id).data.tags["mlflow.note.content"]
    place = f"#/experiments/{written.run.info.experiment_id}/runs/{written.id}/artifacts/"
    training = "?workflowType=machine_learning"
    small = f"get-artifact?path=figures/waterfall.small.png&run_uuid={written.id}"
    links = [f"{place}figures/restarts.html{training}", f"{place}minima.csv{training}"]
    assert f"[![waterfall]({small})]({place}figures/waterfall.png{training})" in note
    assert re.findall(r" ?\[[^]!]+\]\((\S+)\)", note.rpartition("\n\n")[2]) == links
    with Image.open(written.folder / "figures" / "waterfall.small.png") as image:
        assert max(image.size) == 480


def test_without_figures_there_is_still_a_note(written: OpenRun, findings: Findings) -> None:
    table = spread(findings.restarts.assign(condition="depth 2"), ["condition"])
    exhibits.exhibit_condition(written, findings, table, drawn=False)
    assert written.folder is not None
    assert not written.folder.exists()
    note = written.store.client.get_run(written.id).data.tags["mlflow.note.content"]
    assert "24 random restarts: best loss" in note
    assert "restarts.html" not in note


def _rows(markdown: str) -> list[list[str]]:
    """The rows of the one table of a note, as a reader of Markdown sees them."""
    lines = [line for line in markdown.splitlines() if " | " in line]
    assert set(lines[1]) <= set("-| ")
    return [[cell.replace("&nbsp;", "").strip() for cell in line.split(" | ")] for line in lines[:1] + lines[2:]]


def test_the_note_of_a_condition_begins_with_its_headline_and_has_a_row_for_every_minimum(findings: Findings) -> None:
    row = spread(findings.restarts.assign(condition="depth 2"), ["condition"]).iloc[0]
    note = exhibits.condition_note(row, findings.minima)
    count = (findings.minima["kind"] == "minimum").sum()
    assert note.startswith(f"{count} distinct minima cover ")
    headings, *rows = _rows(note)
    assert headings[:5] == ["minimum", "orbit", "kind", "loss", "restarts"]
    assert [cells[0] for cells in rows] == [str(minimum) for minimum in findings.minima["minimum"]]
    assert [cells[1] for cells in rows] == [str(orbit).replace("-1", "-") for orbit in findings.minima["orbit"]]
    assert [int(cells[4]) for cells in rows] == findings.minima["count"].tolist()


def test_a_note_names_the_symmetries_of_the_problem(findings: Findings) -> None:
    row = spread(findings.restarts.assign(condition="depth 2"), ["condition"]).iloc[0]
    told = "inputs 1 and 2 exchanged (2 in all)"
    assert f"\n\nProblem symmetries: {told}." in exhibits.condition_note(row, findings.minima, told)
    assert "ymmetries:" not in exhibits.condition_note(row, findings.minima)


def test_a_note_of_many_minima_shows_twenty_and_says_how_many_more_there_are(findings: Findings) -> None:
    row = spread(findings.restarts.assign(condition="depth 2"), ["condition"]).iloc[0]
    many = pd.concat([findings.minima] * 50, ignore_index=True).assign(minimum=lambda frame: frame.index)
    note = exhibits.condition_note(row, many)
    assert len(_rows(note)) == 1 + 20
    assert f"\n\nand {len(many) - 20:,} more\n\n" in note


def _summary(restarts: pd.DataFrame) -> Summary:
    """Of conditions that differ in init."""
    return Summary(spread(restarts, ["init"]), pd.DataFrame(), ["init"], "run", None, ends=ends(restarts, ["init"]))


def test_the_note_of_a_sweep_says_which_share_of_each_condition_ends_in_which_minimum() -> None:
    restarts = pd.DataFrame({"init": [*"aaaa", *"bbbb"], "loss": [1.0, 1.0, 2.0, 9.0, 2.0, 2.0, 2.0, 2.0]})
    restarts = restarts.assign(status="arrived", steps=1, kind="minimum", minimum=[0, 0, 1, -1, 0, 0, 0, 0])
    restarts.loc[3, "kind"] = "unfinished"
    assert _rows(exhibits.sweep_note(_summary(restarts))) == [
        ["init", "lowest", "2nd lowest", "elsewhere"],
        ["a", "50 % at 1", "25 % at 2", "25 %"],
        ["b", "-", "100 % at 2", "-"],
    ]


def test_where_no_restart_ended_in_a_minimum_the_note_of_a_sweep_says_where_they_ended() -> None:
    restarts = pd.DataFrame({"init": [*"ab"], "loss": 1.0, "status": "budget", "kind": "unfinished", "minimum": -1})
    note = exhibits.sweep_note(_summary(restarts.assign(steps=1)))
    assert "They ended at: unfinished 100 %." in note
    assert " | " not in note


def test_the_note_of_a_large_sweep_ends_with_a_whole_row_and_fits_into_a_tag() -> None:
    conditions = pd.DataFrame({"init": [f"init {number:03}" for number in range(300)]})
    restarts = conditions.loc[conditions.index.repeat(2)].assign(
        loss=[1.0, 2.0] * 300, status="arrived", kind="minimum", minimum=[0, 1] * 300, steps=1
    )
    note = exhibits.sweep_note(_summary(restarts))
    assert len(note) < 6700  # of 8,000: picture, links and symmetries are beside it
    headings, *rows = _rows(note)
    assert headings[0] == "init"
    assert {len(cells) for cells in rows} == {len(headings)}
    (more,) = re.findall(r"^and (\d+) more$", note, re.M)
    assert len(rows) + int(more) == 300


def test_a_name_with_a_bar_in_it_does_not_break_the_table() -> None:
    restarts = pd.DataFrame({"init": ["a|b", "c"], "loss": [1.0, 2.0], "status": "arrived", "kind": "minimum"})
    note = exhibits.sweep_note(_summary(restarts.assign(minimum=0, steps=1)))
    assert _rows(note)[1][0] == r"a\|b"
    assert len({len(cells) for cells in _rows(note)}) == 1


def _packed(page: str, name: str, form: str) -> np.ndarray[Any, Any]:
    (data,) = re.findall(r'<script type="application/json" id="points-data">(.*?)</script>', page, re.S)
    return np.frombuffer(base64.b64decode(json.loads(data)[name]), form)


def test_the_page_of_a_condition_holds_every_restart_and_needs_nothing_from_elsewhere(findings: Findings) -> None:
    table = spread(findings.restarts.assign(condition="depth <2>"), ["condition"])
    page = exhibits.restarts_page(findings.restarts, table, "run7")
    assert page is not None
    restart, loss = _packed(page, "restart", "<u4"), _packed(page, "loss", "<f8")
    by_restart = findings.restarts.set_index("restart")["loss"]
    assert sorted(restart) == by_restart.index.tolist()
    np.testing.assert_array_equal(loss, by_restart[restart])
    assert "basinet-replay {run} {restart}" in page
    assert "depth &lt;2&gt;" in page
    assert "depth <2>" not in page
    assert re.findall(r"(?:src|href)=\"?(?!#)", page) == []
    assert len(page) < 40_000


def test_a_page_of_another_store_than_that_of_the_working_directory_names_it(findings: Findings) -> None:
    """Or `basinet-replay` would look for the run where it is not."""
    table = spread(findings.restarts.assign(condition="one"), ["condition"])
    page = exhibits.restarts_page(findings.restarts, table, "run7", "sqlite:////data/my.db")
    assert page is not None
    assert "basinet-replay {run} {restart} --tracking-uri sqlite:////data/my.db" in page


def test_losses_beyond_single_precision_are_on_the_page(findings: Findings) -> None:
    huge = findings.restarts.assign(loss=findings.restarts["loss"] * 1e60)
    page = exhibits.restarts_page(huge, spread(huge.assign(condition="huge"), ["condition"]), "run7")
    assert page is not None
    assert sorted(_packed(page, "loss", "<f8")) == sorted(huge["loss"])


def test_a_thousand_restarts_are_a_small_page(findings: Findings) -> None:
    """Plotly's script alone would be 4.6 MB."""
    many = pd.concat([findings.restarts] * 42, ignore_index=True)[:1000].assign(restart=range(1000))
    table = spread(many.assign(condition="many"), ["condition"])
    page = exhibits.restarts_page(many, table, "run7")
    assert page is not None
    assert len(page) < 60_000


def test_where_every_restart_diverged_there_is_no_page() -> None:
    lost = pd.DataFrame({"restart": [0, 1], "loss": np.nan, "status": "diverged", "kind": "diverged", "minimum": -1})
    table = spread(lost.assign(condition="lost", steps=3), ["condition"])
    assert exhibits.restarts_page(lost, table, "run7") is None


def run_of_the_sweep() -> tuple[Any, Path]:
    """The parent run of the sweep in the working directory, and where its artifacts lie."""
    store = TrackingStore.open(f"sqlite:///{Path.cwd()}/mlflow.db")
    parent = store.client.get_run(basinet.load_runs("shown")["sweep_id"][0])
    folder = store.artifact_folder(parent)
    assert folder is not None
    return parent, folder


def test_the_run_of_a_sweep_has_its_report_its_figures_and_a_note_that_leads_to_them(sweeps: Command) -> None:
    assert sweeps(f"{SWEEP} tracking.figures=sweep").code == 0
    parent, folder = run_of_the_sweep()
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.png" for name in ("final_losses", "distribution", "heat", "sharpness")}
    assert files >= {"report.html", "tables/spread.csv", *figures}
    report = (folder / "report.html").read_text()
    assert "32 random restarts" in report
    assert "finished" in report  # what has become of the sweep
    note = parent.data.tags["mlflow.note.content"]
    linked = re.findall(r"\]\(#/experiments/\d+/runs/\w+/artifacts/([^\s?]+)\?workflowType=machine_learning\)", note)
    assert linked[:2] == ["figures/final_losses.png", "report.html"]  # the picture leads to the large one
    assert set(linked) <= files
    assert len(_rows(note)) == 1 + 2


@pytest.mark.slow
def test_without_figures_a_sweep_has_its_tables_and_a_note_and_no_report(sweeps: Command) -> None:
    assert sweeps(f"{SWEEP} tracking.figures=none").code == 0
    parent, folder = run_of_the_sweep()
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        "spread.parquet",
        "spread.csv",
        "sweep_minima.parquet",
    }
    assert "report.html" not in parent.data.tags["mlflow.note.content"]


def test_the_run_of_a_minimum_says_where_it_is_who_ended_there_and_has_the_colour_of_the_figures(
    written: OpenRun, findings: Findings
) -> None:
    exhibits.exhibit_minima(written, findings, 2)
    colours = ["#0072B2", "#D55E00"]  # of the lowest two, after Okabe and Ito
    for child, row, colour in zip(_below(written), findings.minima.to_dict("records"), colours, strict=False):
        note = child.data.tags["mlflow.note.content"]
        assert f"`basinet-replay {written.id[:8]} {row['restart']}`" in note
        numbers = re.findall(r"-?\d+\.\d+|-?\d+\.(?=[\s\]])", note.partition("```")[2].partition("```")[0])
        written_down = np.array([float(number) for number in numbers])
        np.testing.assert_allclose(written_down, row["parameters"], atol=6e-6)  # five digits
        assert child.data.tags["mlflow.runColor"] == colour
