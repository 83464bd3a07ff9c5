"""What came out of a sweep, as a page that a stranger can read: its numbers, its form, and what it says of nothing."""

from __future__ import annotations

import base64
import json
import re
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import basinet
from basinet import reporting
from basinet.foundation.errors import ConfigError
from basinet.foundation.outcomes import KIND_NAMES
from basinet.reporting import data, points, provenance, writing
from basinet.study.study import Study
from basinet.tracking.record import OpenRun, open_condition, open_sweep, write_condition, write_parquet
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import SYMMETRY

STATUS = ["arrived", "budget", "diverged"]
VOID = {"wbr", "meta", "img", "br", "link", "input", "hr", "source"}
SECTIONS = ["question", "headline", "configuration", "spread", "bottoms", "making", "words"]
OF_SEVERAL = [*SECTIONS, "portraits", "differences", "conditions"]


class Page(HTMLParser):
    """What is in a page, and whether all that is opened is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.cells: list[list[str]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if tag == "a" else []
        self.loads += [
            value or ""
            for key, value in attributes
            if key in ("src", "srcset", "data") or (key == "href" and tag != "a")
        ]
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)
            if {"td", "th"} & set(self.open):
                self.cells[-1][-1] += data.strip()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def data(self) -> dict[str, Any]:
        """What the script of the page is given."""
        _, _, rest = self.source.partition('id="points-data">')
        found: dict[str, Any] = json.loads(rest.partition("</script>")[0])
        return found


def made(
    losses: np.ndarray, minimum: np.ndarray, kind: np.ndarray, diverged: np.ndarray, size: int
) -> dict[str, pd.DataFrame]:
    """The tables of a condition whose restarts ended so."""
    count = len(losses)
    random = np.random.default_rng(count)
    restarts = pd.DataFrame(
        {
            "restart": np.arange(count),
            "seed": 0,
            "engine": pd.Categorical(["torch"] * count, categories=["torch", "native"]),
            "status": pd.Categorical(np.where(diverged, "diverged", "arrived"), categories=STATUS),
            "kind": pd.Categorical(kind, categories=KIND_NAMES),
            "minimum": minimum,
            "steps": random.integers(10, 1000, count),
            "loss_initial": 1.0,
            "loss": losses,
            "gradient_norm": 1e-13,
            "parameter_norm": random.random(count),
            "lambda_min": 0.5,
            "lambda_max": random.random(count) + 1,
        }
    )
    found = restarts[restarts["minimum"] >= 0].groupby("minimum")
    minima = found.agg(kind=("kind", "first"), loss=("loss", "min"), count=("loss", "size"), restart=("restart", "min"))
    minima = minima.reset_index().assign(
        share=lambda frame: frame["count"] / count,
        share_low=lambda frame: frame["share"] * 0.9,
        share_high=lambda frame: 0.1 + frame["share"] * 0.9,
        lambda_min=0.5,
        lambda_max=2.0,
        trace=4.0,
        parameter_norm=1.0,
        looseness=0.0,
        parameters=[np.zeros(size)] * len(found),
        signature=[np.zeros(3)] * len(found),
    )
    steps = np.array([0, 1, 10, 100])
    shown = min(count, 50)
    curves = pd.DataFrame(
        {
            "restart": np.repeat(np.arange(shown), 4),
            "record": np.tile(np.arange(4, dtype=np.int32), shown),
            "step": np.tile(steps, shown),
            "loss": np.tile(np.float32([8, 4, 2, 1]), shown),
        }
    )
    curves = curves[~diverged[curves["restart"].to_numpy()]]
    names = ("min", "q05", "q25", "median", "q75", "q95", "max")
    fan = {f"loss_{name}": (1.0 + rank) / (1 + steps) for rank, name in enumerate(names)}
    quantiles = pd.DataFrame({"record": np.arange(4, dtype=np.int32), "step": steps, "restarts": count, **fan})
    return {"restarts": restarts, "minima": minima, "curves": curves, "quantiles": quantiles}


@dataclass(frozen=True)
class Launch:
    """Writes sweeps and conditions into a store, as if they had been run."""

    store: TrackingStore
    experiment: str = "made"

    def sweep(self, command: str = "basinet -m init=normal,orthogonal", planned: int = 2) -> OpenRun:
        """A sweep's parent run."""
        sweep = open_sweep(self.store, self.store.experiment(self.experiment), "a sweep", command)
        sweep.log(metrics={"conditions": planned})
        return sweep

    def condition(
        self,
        settings: dict[str, Any],
        losses: Sequence[float] | np.ndarray,
        *,
        kind: str | np.ndarray = "minimum",
        diverged: bool | np.ndarray = False,
        sweep: OpenRun | None = None,
        status: str | None = "FINISHED",
        measures: dict[str, np.ndarray] | None = None,
    ) -> OpenRun:
        """A condition whose restarts ended at these losses; equal losses of minima are one minimum."""
        values = np.asarray(losses, np.float64)
        study = Study.from_config({"restarts": len(values), **settings})
        lost = np.broadcast_to(diverged, len(values))
        kinds = np.where(lost, "diverged", np.broadcast_to(kind, len(values)))
        reached = np.isin(kinds, ["minimum", "degenerate", "at_infinity"])
        minimum = np.where(reached, np.unique(np.where(reached, values, np.inf), return_inverse=True)[1], -1)
        name = f"init={study.columns['init']} network.depth={study.columns['network.depth']}"
        identity = None if sweep is None else (sweep.id, 0)
        run = open_condition(
            self.store, self.store.experiment(self.experiment), name, study.key, study.columns, identity
        )
        tables = made(values, minimum, kinds, lost, study.network.size)
        tables["restarts"] = tables["restarts"].assign(**(measures or {}))
        write_condition(run, study.settings, tables, {"initial": np.zeros((1, 1)), "final": np.zeros((1, 1))})
        if status is not None:
            run.close(status)
        time.sleep(0.002)  # the times of runs are whole milliseconds
        return run

    def whole(self) -> OpenRun:
        """A sweep of two initialisations × two depths, with its bottoms merged."""
        parent = self.sweep("basinet -m init=normal,orthogonal network.depth=2,3", 4)
        rows = []
        for number, settings in enumerate(SETTINGS):
            losses, kinds, diverged = ends(number)
            run = self.condition(settings, losses, kind=kinds, diverged=diverged, sweep=parent)
            rows += [(run.id, minimum, 10 * settings["network"]["depth"] + minimum) for minimum in range(4)]
        parent.close("FINISHED")
        assert parent.folder is not None
        table = pd.DataFrame(rows, columns=["run_id", "minimum", "sweep_minimum"])
        write_parquet(table, parent.folder / "tables" / "sweep_minima.parquet")
        return parent


@pytest.fixture
def launch(furnish: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """The embedded store of the working directory, with nothing in it."""
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return Launch(TrackingStore.open(f"sqlite:///{tmp_path / 'mlflow.db'}"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are files of one pixel: to draw them is what takes time."""

    def save(figures: dict[str, Any], folder: Path, formats: Sequence[str]) -> list[Path]:
        paths = [folder / f"{name}.{form}" for name in figures for form in formats]
        for path in paths:
            Image.new("RGB", (1, 1)).save(path, "png")
        return paths

    monkeypatch.setattr(writing.plots, "save", save)


@dataclass(frozen=True)
class Stretch:
    """When a condition was being computed."""

    started: float
    ended: float


@dataclass(frozen=True)
class Shown:
    """A report, and what it is about."""

    page: Page
    folder: Path
    sweep: OpenRun
    restarts: pd.DataFrame
    uri: str

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / "tables" / f"{name}.csv")


@pytest.fixture(scope="module")
def shown(furnish: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The report on the whole sweep, drawn once."""
    folder = furnish(tmp_path_factory.mktemp("shown"))
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    sweep = Launch(TrackingStore.open(uri)).whole()
    page = basinet.report("made", folder / "report", uri)
    return Shown(Page(page), page.parent, sweep, basinet.load_restarts("made", tracking_uri=uri), uri)


def ends(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses, kinds and which diverged, of restarts that end in four minima, unfinished, or not at all."""
    random = np.random.default_rng(seed)
    losses = random.choice([0.1, 0.2, 0.4, 0.8], count, p=[0.3, 0.6, 0.09, 0.01])
    kinds = np.where(random.random(count) < 0.1, "unfinished", "minimum")
    return np.where(kinds == "unfinished", losses * 1.01, losses), kinds, random.random(count) < 0.05


SETTINGS = [{"init": init, "network": {"depth": depth}} for init in ("normal", "orthogonal") for depth in (2, 3)]


def wilson(count: int, total: int) -> tuple[float, float]:
    """The interval of a share from the formula in the textbook."""
    z, share = 1.959963984540054, count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - half, middle + half


# --- the numbers ---------------------------------------------------------------------------------------------------


def test_the_headline_of_a_condition_says_what_plain_pandas_counts(shown: Shown) -> None:
    text = shown.page.text
    for number, settings in enumerate(SETTINGS):
        losses, kinds, diverged = ends(number)
        reached = pd.Series(losses[(kinds == "minimum") & ~diverged]).value_counts()
        coverage = 1 - (reached == 1).sum() / reached.sum()
        best = int(reached[reached.index.min()])
        low, high = wilson(best, len(losses))
        name = f"network.depth={settings['network']['depth']} init={settings['init']}"
        assert f"{name} : {len(reached)} distinct minima cover {100 * coverage:.3g} %" in text
        start = text.index(f"{name} : {len(reached)}")
        sentence = text[start : text.index("ended in none", start)]
        expected = f"the best is reached by {100 * best / len(losses):.3g} % [{100 * low:.3g}, {100 * high:.3g}]"
        assert expected in sentence
        assert f"{100 * (1 - reached.sum() / len(losses)):.3g} % of them" in sentence


def test_the_headline_of_a_sweep_counts_all_its_restarts(shown: Shown) -> None:
    text = shown.page.text
    all_ends = [ends(number) for number in range(4)]
    lost = np.concatenate([diverged for _, _, diverged in all_ends])
    minimum = np.concatenate([kinds == "minimum" for _, kinds, _ in all_ends]) & ~lost
    unfinished = ~minimum & ~lost
    shares = [f"{name} {100 * of.mean():.3g} %" for name, of in
              (("minimum", minimum), ("unfinished", unfinished), ("diverged", lost))]  # fmt: skip
    assert "4 conditions (2 network.depth × 2 init) with 1,600 random restarts in all." in text
    assert f"They ended at: {', '.join(shares)}." in text
    depths = sorted({settings["network"]["depth"] for settings in SETTINGS})
    assert f"Distinct minima found: {', '.join(f'4 at network.depth={depth}' for depth in depths)}." in text


def test_the_spread_of_the_tables_is_that_of_the_restarts(shown: Shown) -> None:
    spread = shown.table("spread")
    kept = shown.restarts[shown.restarts["status"] != "diverged"].astype({"init": str})
    medians = kept.groupby(["network.depth", "init"])["loss"].median()
    pd.testing.assert_series_equal(
        spread.set_index(["network.depth", "init"])["loss_median"], medians, check_names=False
    )
    stored = pd.read_parquet(shown.folder / "tables" / "spread.parquet")
    pd.testing.assert_frame_equal(stored, spread, check_dtype=False, check_categorical=False)


def test_a_bottom_that_several_conditions_found_is_one_row(shown: Shown) -> None:
    table = shown.table("bottoms")
    assert len(table) == 8
    assert table["loss"].is_monotonic_increasing
    restarts = shown.restarts
    for row in table.to_dict("records"):
        mine = restarts[restarts["sweep_minimum"] == row["sweep_minimum"]]
        assert row["restarts"] == len(mine)
        assert row["conditions"] == mine["run_id"].nunique() == 2
        assert row["share"] == pytest.approx(len(mine) / (restarts["network.depth"] == row["network.depth"]).sum())
        one = mine[(mine["run_id"] == row["run_id"]) & (mine["restart"] == row["restart"])]
        assert one["loss"].tolist() == [row["loss"]]


def test_bottoms_of_a_sweep_that_has_not_ended_are_told_apart_by_their_condition(launch: Launch, undrawn: None) -> None:
    parent = launch.sweep()
    for init in ("normal", "orthogonal"):
        launch.condition({"init": init}, [0.1, 0.1, 0.2], sweep=parent)
    table = pd.read_csv(basinet.report(parent.id).parent / "tables" / "bottoms.csv")
    assert table[["loss", "restarts", "conditions"]].to_numpy().tolist() == [[0.1, 2, 1]] * 2 + [[0.2, 1, 1]] * 2


@pytest.mark.slow
def test_conditions_are_compared_in_pairs_within_one_problem_the_most_different_first(
    launch: Launch, undrawn: None
) -> None:
    random = np.random.default_rng(0)
    for problem in ("xor", "sine"):
        for shift, init in enumerate(("normal", "orthogonal", "uniform")):
            launch.condition({"problem": problem, "init": init}, shift + random.random(30))
    table = pd.read_csv(basinet.report("made").parent / "tables" / "comparisons.csv")
    assert len(table) == 2 * 3
    assert (table["problem_a"] == table["problem_b"]).all()
    assert set(table["better"]) == {"a"}
    assert table["delta"].abs().is_monotonic_decreasing
    levels = pd.read_csv("report-made/tables/levels.csv")
    assert set(levels["factor"]) == {"init"}
    assert set(levels["problem"]) == {"xor", "sine"}


@pytest.mark.slow
def test_the_page_shows_thirty_pairs_and_the_table_has_all(launch: Launch, undrawn: None) -> None:
    for depth in range(1, 11):
        launch.condition({"network": {"depth": depth}}, depth + np.random.default_rng(depth).random(12))
    page = Page(basinet.report("made"))
    assert "The 30 most different of 45 pairs" in page.text
    heading = next(number for number, row in enumerate(page.cells) if row[:2] == ["a", "b"])
    rows = page.cells[heading + 1 : heading + 31]
    assert all(row[0].startswith("network.depth=") for row in rows)
    assert not page.cells[heading + 31][0].startswith("network.depth=")
    assert len(pd.read_csv("report-made/tables/comparisons.csv")) == 45
    assert "Of 45 pairs of conditions, 45 differ for certain" in page.text


def test_more_pairs_than_can_be_compared_are_said_not_to_be(
    launch: Launch, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.whole()
    monkeypatch.setattr(data, "PAIRS_MAX", 5)
    page = Page(basinet.report("made"))
    assert "pairs of conditions, which are not compared one by one" in page.text
    assert not Path("report-made/tables/comparisons.csv").exists()


def test_what_was_held_out_is_told(launch: Launch, undrawn: None) -> None:
    accuracy = np.linspace(0, 1, 21)
    for init in ("normal", "orthogonal"):
        launch.condition(
            {"init": init}, np.full(21, 0.1), measures={"accuracy_holdout": accuracy, "loss_holdout": 2 * accuracy}
        )
    rows = Page(basinet.report("made")).cells
    assert ["normal", "accuracy on held-out samples", "0.5", "0.25 to 0.75"] in rows
    assert ["orthogonal", "loss on held-out samples", "1", "0.5 to 1.5"] in rows


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(shown: Shown) -> None:
    page = shown.page
    assert page.loads
    assert all(address.startswith("data:image/webp;base64,") for address in page.loads)
    assert not {"@import", "url(", "import(", "fetch(", "XMLHttpRequest"} & set(page.source.split())
    assert "url(" not in page.source.partition("</style>")[0]
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert {f"#{section}" for section in OF_SEVERAL} == set(page.links)
    for address in page.loads:
        assert base64.b64decode(address.partition(",")[2])[8:12] == b"WEBP"


def test_every_figure_has_a_caption_with_how_many_restarts_it_shows(shown: Shown) -> None:
    page = shown.page
    drawn = page.source.count("<img ")
    assert len(page.loads) == 2 * drawn  # for a light ground and for a dark one
    assert page.source.count("<figcaption>") == drawn + 1  # of the points
    assert page.text.count("n = 400 restarts, ") == 4 * 3
    of_minima = 2 * 2  # answers and weights of the minima of each network, once
    assert page.text.count("n = 1,600 restarts, ") == drawn - 4 * 3 - of_minima


def test_every_figure_is_a_file_as_png_and_as_svg_whose_name_says_its_condition(shown: Shown) -> None:
    files = [path.name for path in (shown.folder / "figures").iterdir()]
    names = {f"network.depth={depth}_init={init}_waterfall" for depth in (2, 3) for init in ("normal", "orthogonal")}
    assert names <= {name.rpartition(".")[0] for name in files}
    assert sorted(name for name in files if name.endswith(".png")) == sorted(
        f"{name[:-3]}png" for name in files if name.endswith(".svg")
    )


def test_the_first_picture_has_its_numbers_in_words_and_beside_it_in_a_table(shown: Shown) -> None:
    restarts = shown.restarts
    row = restarts[((restarts["network.depth"] == 2) & (restarts["init"] == "normal")).to_numpy()]
    share = (row["minimum"] == 0).mean()
    lowest = f"{100 * share:.3g} % at {row.loc[row['minimum'] == 0, 'loss'].iloc[0]:.3g}"
    (alternative,) = re.findall(r'alt="([^"]*network.depth 2[^"]*)"', shown.page.source)
    assert f"network.depth 2, init normal, lowest {lowest}, 2nd lowest " in alternative
    rows = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in shown.page.cells]
    assert next(row[2] for row in rows if row[:2] == ["2", "normal"]) == lowest.replace(" at", "at")


def test_the_wall_time_is_that_in_which_something_was_computed(shown: Shown) -> None:
    runs = basinet.load_runs("made", tracking_uri=shown.uri).sort_values("started")
    assert len(runs) == 4
    begun, seconds = (runs["started"] - runs["started"].min()).dt.total_seconds(), runs["wall_seconds"]
    busy = np.zeros(round(1000 * (begun + seconds).max()), dtype=bool)
    for start, length in zip(begun, seconds, strict=True):
        busy[round(1000 * start) : round(1000 * (start + length))] = True
    conditions = [Stretch(start, start + length) for start, length in zip(begun, seconds, strict=True)]
    assert provenance._covered(conditions) == pytest.approx(busy.sum() / 1000)  # type: ignore[arg-type]
    assert provenance._covered([Stretch(0, 10), Stretch(5, 7), Stretch(100, 101)]) == 11  # type: ignore[list-item]


@pytest.mark.slow
def test_the_page_of_one_condition_has_its_descents_and_compares_nothing(launch: Launch) -> None:
    losses, kinds, diverged = ends(0)
    run = launch.condition({}, losses, kind=kinds, diverged=diverged)
    for name in ("made", run.id):
        page = Page(basinet.report(name))
        assert {*SECTIONS, "descents"} <= set(page.ids)
        assert not {"differences", "conditions"} & set(page.ids)
        assert page.data["columns"] is False


def test_every_restart_with_a_loss_can_be_pointed_at(shown: Shown) -> None:
    data = shown.page.data
    kind, place = (np.frombuffer(base64.b64decode(data[key]), form) for key, form in (("kind", "u1"), ("place", "<u2")))
    points_of_page = pd.DataFrame(
        {
            "run_id": [data["conditions"][index]["run"] for index in place],
            "restart": np.frombuffer(base64.b64decode(data["restart"]), "<u4"),
            "loss": np.frombuffer(base64.b64decode(data["loss"]), "<f8"),
            "minimum": np.frombuffer(base64.b64decode(data["minimum"]), "<i4"),
            "kind": [data["kinds"][index]["name"] for index in kind],
        }
    )
    restarts = shown.restarts
    kept = restarts[restarts["status"] != "diverged"].reset_index(drop=True)
    expected = kept[list(points_of_page)].astype({"run_id": object, "kind": object})
    both = [frame.sort_values(["run_id", "restart"], ignore_index=True) for frame in (points_of_page, expected)]
    pd.testing.assert_frame_equal(*both, check_dtype=False)
    x = np.frombuffer(base64.b64decode(data["x"]), "<f4")
    assert np.array_equal(np.rint(x).astype(int), place)
    labels = [condition["label"] for condition in data["conditions"]]
    of_run = restarts.drop_duplicates("run_id").set_index("run_id")
    for condition, label in zip(data["conditions"], labels, strict=True):
        row = of_run.loc[condition["run"]]
        assert label == f"network.depth={row['network.depth']} init={row['init']}"


def test_of_too_many_restarts_the_first_of_each_condition_are_shown_and_the_page_says_so(
    launch: Launch, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.whole()
    monkeypatch.setattr(points, "POINTS_MAX", 200)
    page = Page(basinet.report("made"))
    place = np.frombuffer(base64.b64decode(page.data["place"]), "<u2")
    assert np.bincount(place).tolist() == [50] * 4
    assert "the first 50 of each condition are shown (200)" in page.text


@pytest.mark.slow
def test_a_hundred_thousand_restarts_make_a_page_of_less_than_ten_megabytes(launch: Launch) -> None:
    random = np.random.default_rng(0)
    for settings in SETTINGS:
        launch.condition(
            settings, random.choice(random.random(50), 25_000), kind=random.choice(["minimum", "kink"], 25_000)
        )
    path = basinet.report("made")
    assert path.stat().st_size < 10e6
    assert len(base64.b64decode(Page(path).data["restart"])) == 4 * 100_000


@pytest.mark.slow
def test_the_same_store_gives_the_same_page_to_the_byte(launch: Launch) -> None:
    sweep = launch.whole()
    one, other = (basinet.report(sweep.id, folder) for folder in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_names_that_look_like_html_are_written_as_they_are(launch: Launch, undrawn: None) -> None:
    name = '<b>&amp; "x" </script>'
    Launch(launch.store, name).condition({}, [0.1, 0.2])
    page = basinet.report(name)
    assert page.parent.name == "report--b-amp-x-script-"
    assert f"{name}: where random restarts end" in Page(page).text


# --- where it comes from -------------------------------------------------------------------------------------------


def test_the_question_is_the_first_comment_of_the_study(launch: Launch, undrawn: None) -> None:
    launch.condition({}, [0.1, 0.2], sweep=launch.sweep("basinet -m experiment=depth init=normal,orthogonal"))
    comment = Path(basinet.study.defaults.conf_directory(), "experiment", "depth.yaml").read_text().splitlines()[1]
    assert comment.removeprefix("# ") in Page(basinet.report("made")).text


def test_the_question_of_a_study_of_ones_own_is_found_too(launch: Launch, undrawn: None, tmp_path: Path) -> None:
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    (tmp_path / "my" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n# Is it so?\n# It may be.\nseed: 1\n"
    )
    launch.condition({}, [0.1, 0.2], sweep=launch.sweep("basinet --config-dir my experiment=mine"))
    text = Page(basinet.report("made")).text
    assert "Is it so?" in text
    assert "It may be." in text


def test_without_a_study_the_question_names_what_was_varied(shown: Shown) -> None:
    assert "how does that change with network.depth and init?" in shown.page.text


def test_the_page_says_how_it_was_run_and_how_to_run_it_again(shown: Shown) -> None:
    page = shown.page
    restarts = shown.restarts
    minima = restarts[restarts["kind"] == "minimum"].sort_values(["loss", "restart"])
    best = minima.iloc[0]
    assert "basinet -m init=normal,orthogonal network.depth=2,3 " in page.text
    assert f"basinet-replay {best['run_id'][:8]} {best['restart']} " in page.text
    assert "basinet-report made " in page.text
    rows = dict(row for row in page.cells if len(row) == 2)
    assert rows["basinet"] == basinet.__version__
    assert rows["seed"] == "0"
    assert rows[f"sweep {shown.sweep.id[:8]}"] == "finished"
    assert rows["network.depth"] == "2, 3"


# --- nothing to show -----------------------------------------------------------------------------------------------


def test_a_sweep_without_conditions_is_said_to_have_none(launch: Launch) -> None:
    parent = launch.sweep(planned=6)
    parent.close("FAILED")
    for name in ("made", parent.id):
        page = Page(basinet.report(name))
        assert "Nothing has been run: there are no conditions. 6 were planned." in page.text
        assert "basinet -m init=normal,orthogonal" in page.text
        assert not page.loads


def test_an_experiment_without_runs_is_said_to_have_none(launch: Launch) -> None:
    launch.store.experiment("empty")
    assert "Nothing has been run: there are no conditions." in Page(basinet.report("empty")).text


def test_a_sweep_of_failed_jobs_only_says_so_and_why(launch: Launch) -> None:
    parent = launch.sweep()
    for init in ("normal", "orthogonal"):
        run = launch.condition({"init": init}, [0.1], sweep=parent, status=None)
        run.log(tags={"basinet.error": "Traceback\n  …\nMemoryError: too much\n"})
        run.close("FAILED")
    page = Page(basinet.report(parent.id))
    assert "None of 2 conditions has finished: 2 failed." in page.text
    assert sum("MemoryError: too much" in row for row in page.cells) == 2
    assert {"configuration", "making"} <= set(page.ids)
    assert not page.loads
    assert not list(Path(f"report-{parent.id}/tables").iterdir())


@pytest.mark.slow
def test_what_is_missing_from_a_sweep_is_said_beside_what_is_there(launch: Launch) -> None:
    parent = launch.sweep(planned=5)
    launch.condition({"init": "normal"}, [0.1, 0.2], sweep=parent)
    launch.condition({"init": "orthogonal"}, [0.1], sweep=parent, status="KILLED")
    launch.condition({"init": "uniform"}, [0.1], sweep=parent, status=None)
    text = Page(basinet.report(parent.id)).text
    assert "Only 1 of 3 conditions has finished: 1 interrupted, 1 still running, or cut off." in text
    assert "2 of 5 planned conditions were never begun." in text
    assert "with 2 random restarts" in text


@pytest.mark.slow
def test_a_condition_of_one_restart_is_said_to_say_nothing(launch: Launch) -> None:
    launch.condition({"init": "normal"}, [0.1])
    launch.condition({"init": "orthogonal"}, [0.1, 0.2, 0.3])
    text = Page(basinet.report("made")).text
    assert "init=normal : it has one restart; intervals and comparisons say next to nothing." in text


def test_the_symmetries_of_problems_are_named_beside_the_bottoms(launch: Launch, undrawn: None) -> None:
    for init, told in (("normal", "inputs 1 and 2 exchanged (2 in all)"), ("orthogonal", "")):
        run = launch.condition({"init": init}, [0.1, 0.2], status=None)
        run.log(tags={SYMMETRY: told})
        run.close("FINISHED")
    text = Page(basinet.report("made")).text
    assert "Problem symmetries of 1 of 2 conditions: inputs 1 and 2 exchanged (2 in all)." in text


@pytest.mark.slow
def test_one_restart_in_all_makes_a_report(launch: Launch) -> None:
    launch.condition({}, [0.1])
    text = Page(basinet.report("made")).text
    assert "with 1 random restart. They ended at: minimum 100 %." in text
    assert "1 distinct minimum covers" in text


@pytest.mark.parametrize("inits", [["normal"], pytest.param(["normal", "orthogonal"], marks=pytest.mark.slow)])
def test_conditions_whose_restarts_all_diverged_are_said_to_have(inits: list[str], launch: Launch) -> None:
    for init in inits:
        launch.condition({"init": init}, np.full(30, np.nan), diverged=True)
    page = Page(basinet.report("made"))
    assert "They ended at: diverged 100 %." in page.text
    assert page.text.count("all 30 restarts diverged.") == len(inits)
    assert "points" not in page.ids
    assert "No restart reached a bottom" in page.text
    assert page.loads  # figures that say so, too


@pytest.mark.slow
@pytest.mark.parametrize("inits", [["normal"], pytest.param(["normal", "orthogonal"], marks=pytest.mark.slow)])
def test_conditions_whose_restarts_all_ended_alike_are_said_to_have(inits: list[str], launch: Launch) -> None:
    for init in inits:
        launch.condition({"init": init}, np.full(30, 0.25))
    page = Page(basinet.report("made"))
    assert page.text.count("every restart ended at the same loss, 0.25.") == len(inits)
    if len(inits) > 1:
        assert "init makes no difference to the final loss that could be told from chance." in page.text
        assert "Of 1 pair of conditions, 0 differ for certain." in page.text


@pytest.mark.slow
def test_a_condition_without_curves_makes_a_report(launch: Launch) -> None:
    run = launch.condition({}, [0.1, 0.2, 0.2])
    assert run.folder is not None
    curves = run.folder / "tables" / "curves.parquet"
    write_parquet(pd.read_parquet(curves).iloc[:0], curves)
    assert "descents" in Page(basinet.report("made")).ids


def test_the_same_settings_with_other_data_are_told_apart_by_their_runs(
    launch: Launch, undrawn: None, tmp_path: Path
) -> None:
    settings = {"problem": {"name": "table", "path": str(tmp_path / "data.csv"), "targets": ["y"]}}
    for target in (1, 2):
        (tmp_path / "data.csv").write_text(f"x,y\n1,{target}\n3,5\n")
        launch.condition(settings, [0.1, 0.2, 0.3])
    page = Page(basinet.report("made"))
    assert "2 conditions" in page.text
    assert len(page.data["conditions"]) == 2


# --- the folder ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_and_a_condition_are_reported_by_the_beginning_of_their_ids(launch: Launch, undrawn: None) -> None:
    sweep = launch.whole().id
    condition = str(basinet.load_runs("made")["run_id"].iloc[0])
    for whole in (sweep, condition):
        of_whole, of_start = (basinet.report(name).parent for name in (whole, whole[:8]))
        names = sorted(path.name for path in (of_whole / "tables").iterdir())
        assert names == sorted(path.name for path in (of_start / "tables").iterdir())
        for name in names:
            assert (of_whole / "tables" / name).read_bytes() == (of_start / "tables" / name).read_bytes()


def test_an_unknown_name_leaves_nothing_behind(launch: Launch, undrawn: None, tmp_path: Path) -> None:
    launch.whole()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"^unknown experiment or run 'mode': did you mean 'made'\?$"):
        basinet.report("mode", tmp_path / "new" / "folder")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_an_earlier_report_is_replaced_as_a_whole(launch: Launch, undrawn: None, tmp_path: Path) -> None:
    launch.whole()
    page = basinet.report("made", "there")
    old = tmp_path / "there" / "figures" / "of_before.png"
    old.write_bytes(b"")
    page.write_text("old")
    assert basinet.report("made", "there") == page
    assert not old.exists()
    assert page.stat().st_size > 10_000
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} <= {".basinet"}


@pytest.mark.parametrize("name", ["notes.txt", "figures/notes.txt", "more/report.html", "tables"])
def test_a_folder_that_holds_something_else_is_refused_and_left_as_it_is(
    name: str, launch: Launch, undrawn: None, tmp_path: Path
) -> None:
    launch.whole()
    foreign = tmp_path / "there" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    with pytest.raises(ConfigError, match=r"^there: holds .*, which is no part of a report; name another folder$"):
        basinet.report("made", "there")
    assert [path for path in (tmp_path / "there").rglob("*") if path.is_file()] == [foreign]
    with pytest.raises(ConfigError, match=r"is there and no folder"):
        basinet.report("made", foreign)


@pytest.mark.slow
def test_what_fails_on_the_way_leaves_nothing_behind(
    launch: Launch, undrawn: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.whole()
    basinet.report("made", "there")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())

    def fails(*_: Any) -> str:
        raise OSError("the disk is full")

    monkeypatch.setattr(writing, "render", fails)
    for folder in ("there", "elsewhere"):
        with pytest.raises(OSError, match="the disk is full"):
            basinet.report("made", folder)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


def test_the_function_is_that_of_the_package() -> None:
    assert basinet.report is reporting.report


# --- how much it can take ------------------------------------------------------------------------------------------


@pytest.mark.stress
def test_a_million_restarts_in_twenty_conditions_are_reported_in_three_gigabytes(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = launch.sweep(planned=20)
    random = np.random.default_rng(0)
    for init in ("normal", "uniform", "orthogonal", "xavier_normal"):
        for depth in (1, 2, 3, 4, 5):
            kinds = np.where(random.random(50_000) < 0.05, "unfinished", "minimum")
            losses = random.choice(np.geomspace(0.01, 1, 30), 50_000) * np.where(kinds == "minimum", 1, 1.1)
            launch.condition({"init": init, "network": {"depth": depth}}, losses, kind=kinds, sweep=parent)
    parent.close("FINISHED")
    assert len(basinet.load_restarts("made", columns=["loss", "init", "network.depth"])) == 1_000_000
    page = basinet.report("made")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size = page.stat().st_size / 1e6
    with capsys.disabled():
        print(f"\n{size:.1f} MB, at most {memory:.2f} GiB of memory")
    assert size < 10
    assert memory < 3
