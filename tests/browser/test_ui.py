"""What a newcomer sees: a real sweep, shown by `basinet-ui` in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

import basinet
from basinet.tracking.store import TrackingStore

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
BIN = Path(sys.executable).parent
SWEEP = "-m experiment=depth init=normal,orthogonal network.depth=1,2 restarts=40 descent.steps=2000"
SECONDS = 40  # until something is on a page: other tests run beside this one

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="no browser: Debian's packages chromium and chromium-driver have one"
    ),
]


@dataclass(frozen=True)
class Pages:
    """MLflow's pages on a sweep, and what looks at them."""

    browser: Any
    address: str  # of the server
    printed: list[str]  # by `basinet-ui`, each line of it
    uri: str

    @property
    def runs(self) -> pd.DataFrame:
        return basinet.load_runs("depth", tracking_uri=self.uri).set_index("name")

    def open(self, place: str) -> None:
        """Go to a page; what was seen before is gone."""
        self.browser.get("about:blank")
        self.browser.get(f"{self.address}/#/experiments/1/{place}")

    def open_run(self, run_id: str, place: str = "") -> None:
        self.open(f"runs/{run_id}{place}")

    def wait(self, seen: Callable[[], Any], what: str) -> Any:
        """What `seen` returns as soon as that is true."""

        def without_errors(browser: Any) -> Any:
            try:
                return seen()
            except WebDriverException:  # what is being drawn again is not there for a moment
                return False

        return WebDriverWait(self.browser, SECONDS, 0.2).until(without_errors, f"{what}: {self.browser.current_url}")

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def text(self, words: str) -> Any:
        """The element with this text, when it is there."""
        return self.wait(lambda: self.browser.find_element(By.XPATH, f"//*[text()={words!r}]"), words)

    def frame(self) -> None:
        """Go into the page within the page that shows an HTML artifact."""
        found = self.wait(lambda: self.all("iframe"), "an iframe")
        self.browser.switch_to.frame(found[0])

    def lines(self, count: int) -> list[dict[str, list[float]]]:
        """The lines of the one chart with lines, when they are so many; MLflow draws each twice, once with points."""
        read = (
            "return [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data || [])"
            ".filter(line => line.mode === 'lines+markers').map(line => ({x: [...line.x], y: [...line.y]}))"
        )
        self.wait(lambda: len(self.browser.execute_script(read)) == count, f"{count} lines")
        found: list[dict[str, list[float]]] = self.browser.execute_script(read)
        return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A sweep by the console script, its server, and a browser that has seen neither before."""
    folder = tmp_path_factory.mktemp("shown")
    launched = subprocess.run(
        [BIN / "basinet", *SWEEP.split()], cwd=folder, capture_output=True, text=True, check=False
    )
    assert launched.returncode == 0, launched.stderr
    server = subprocess.Popen([BIN / "basinet-ui", "--no-browser"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        printed = [server.stdout.readline().strip() for _ in range(2)]
        with _browser(tmp_path_factory.mktemp("profile")) as browser:
            _close_assistant(browser, printed[0])
            yield Pages(browser, printed[0], printed, f"sqlite:///{folder}/mlflow.db")
    finally:
        server.terminate()
        server.communicate(timeout=30)


def _browser(profile: Path) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    alone = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"]
    for argument in [*quiet, *alone, "--window-size=1900,1200", f"--user-data-dir={profile}"]:
        options.add_argument(argument)
    return webdriver.Chrome(options, Service(str(DRIVER)))


def _close_assistant(browser: Any, address: str) -> None:
    """MLflow opens a panel at the first visit that takes a third of every page."""
    browser.get(address)
    for key, value in (("fab.autoOpenedOnFirstLoad", "true"), ("panelOpen", "false")):
        browser.execute_script(f"localStorage.setItem('mlflow.assistant.{key}_v1', '{value}')")


def _table(pages: Pages) -> pd.DataFrame:
    """The table of runs as it stands on the page: headings from left to right, one row per run."""
    rows: dict[str, dict[str, str]] = {}
    order = {}
    for cell in pages.all("[role=gridcell][col-id]"):
        row = cell.find_element(By.XPATH, "..").get_attribute("row-id")
        column = str(cell.get_attribute("col-id"))
        rows.setdefault(str(row), {})[column] = cell.text.rpartition("\n")[2]  # the colour of a run stands before
        order[column] = cell.rect["x"]
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return frame[sorted(order, key=lambda column: order[column])]


def _runs_table(pages: Pages, count: int) -> pd.DataFrame:
    def seen() -> Any:
        table = _table(pages)
        return table if len(table) == count and "attributes.`Run Name`" in table else None

    pages.wait(lambda: seen() is not None, f"{count} runs")
    return _table(pages).set_index("attributes.`Run Name`")


def test_the_address_that_is_printed_shows_the_conditions_with_what_came_out_of_them_first(pages: Pages) -> None:
    name, address = pages.printed[1].split()
    assert name == "depth"
    pages.browser.get(address)
    table = _runs_table(pages, 4)
    assert table.index.tolist() == [f"network.depth={d} init={i}" for d in (1, 2) for i in ("normal", "orthogonal")]
    metrics = [column for column in table if column.startswith("metrics.")]
    first = ["restarts", "share/best", "minima/found", "share/minimum", "minima/coverage", "final/best_loss"]
    assert metrics[:6] == [f"metrics.`{key}`" for key in first]
    restarts = basinet.load_restarts("depth", tracking_uri=pages.uri)
    minima = basinet.load_minima("depth", tracking_uri=pages.uri)
    for run, row in table.iterrows():
        run_id = pages.runs.loc[run, "run_id"]
        mine, found = restarts[restarts["run_id"] == run_id], minima[minima["run_id"] == run_id]
        certified = (mine["kind"] == "minimum").mean()
        expected = [40, found["share"].iloc[0], len(found), certified, None, mine["loss"].min()]
        shown = [float(row[column].rstrip("…")) for column in metrics[:6]]
        for value, number in zip(shown, expected, strict=True):
            # What does not fit into a column is cut after some ten digits.
            assert number is None or np.isclose(value, number, rtol=1e-4)


def test_a_run_of_a_minimum_can_be_found_below_its_condition(pages: Pages) -> None:
    pages.open(f"runs?viewStateShareKey={quote('basinet-minima')}")
    minima = basinet.load_minima("depth", tracking_uri=pages.uri)
    table = _runs_table(pages, len(minima))
    names = pages.runs.reset_index().set_index("run_id")["name"]
    expected = [
        (
            f"minimum {row.minimum} · loss {row.loss:.3g} · {100 * row.share:.3g} % of starts · {names[row.run_id]}",
            names[row.run_id],
        )
        for row in minima.sort_values(["run_id", "minimum"]).itertuples()
    ]
    shown = zip(table.index, table["params.`condition`"], strict=True)
    assert sorted(shown) == sorted(expected)


def test_the_same_minimum_of_several_conditions_is_one_group_with_as_many_runs(pages: Pages) -> None:
    minima = basinet.load_minima("depth", tracking_uri=pages.uri)
    sweep = pages.runs["sweep_id"].iloc[0][:8]
    expected = []
    for number, rows in minima.groupby("sweep_minimum"):
        depth, loss = rows["network.depth"].iloc[0], rows["loss"].min()
        name = f"Group: network.depth={depth} · minimum {number} of sweep {sweep} · loss {loss:.3g}"
        expected.append([name, str(len(rows))])
    assert any(int(count) > 1 for _, count in expected)

    def groups() -> list[list[str]]:
        names = [(cell.rect["y"], cell.text) for cell in pages.all("[role=gridcell][col-id*='Run Name']")]
        return [text.split("\n") for _, text in sorted(names) if text.startswith("Group: ")]

    pages.open("runs?workflowType=machine_learning&viewStateShareKey=basinet-minima-grouped")
    pages.wait(lambda: len(groups()) == len(expected), f"{len(expected)} groups")
    assert groups() == expected


def test_the_note_of_a_condition_has_its_headline_and_a_table_of_its_minima(pages: Pages) -> None:
    run_id = pages.runs.loc["network.depth=2 init=orthogonal", "run_id"]
    minima = basinet.load_minima(run_id, tracking_uri=pages.uri)
    pages.open_run(run_id)
    pages.text("Show more").click()
    rows = pages.wait(lambda: [row.text for row in pages.all("table tbody tr") if "%" in row.text], "a table")
    assert [re.split(r"\s+", row)[:5] for row in rows] == [
        [str(row.minimum), str(row.orbit), "minimum", f"{row.loss:.6g}", str(row.count)]
        for row in minima.rename(columns={"count": "restarts"}).assign(count=minima["count"]).itertuples(index=False)
    ]
    body = pages.all("body")[0].text
    assert f"{len(minima)} distinct minima cover " in body
    assert "40 random restarts: best loss " in body


def test_a_link_of_the_note_leads_to_the_page_of_the_restarts(pages: Pages) -> None:
    run_id = pages.runs.loc["network.depth=2 init=orthogonal", "run_id"]
    pages.open_run(run_id)
    pages.text("Show more").click()
    address = pages.text("every restart, to be pointed at").get_attribute("href")
    pages.browser.get("about:blank")
    pages.browser.get(address)
    pages.text("figures/restarts.html")


def test_an_image_among_the_artifacts_is_shown(pages: Pages) -> None:
    run_id = pages.runs["run_id"].iloc[0]
    own = "[...document.images].filter(image => image.src.startsWith('blob:'))"
    read = f"return Math.max(0, ...{own}.map(image => image.naturalWidth))"
    for name in ("loss_fan", "waterfall", "fans_by_minimum", "rank_abundance"):
        pages.open_run(run_id, f"/artifacts/figures/{name}.png")
        assert pages.wait(lambda: pages.browser.execute_script(read), name) > 400


def test_the_table_of_minima_is_shown_as_a_table(pages: Pages) -> None:
    run_id = pages.runs.loc["network.depth=2 init=normal", "run_id"]
    pages.open_run(run_id, "/artifacts/minima.csv")
    pages.text("minima.csv")
    pages.wait(lambda: "Previewing the first 2 rows" in pages.all("body")[0].text, "rows")


def test_a_restart_can_be_pointed_at_on_the_page_of_a_condition(pages: Pages) -> None:
    run_id = pages.runs.loc["network.depth=2 init=orthogonal", "run_id"]
    restarts = basinet.load_restarts(run_id, tracking_uri=pages.uri)
    pages.open_run(run_id, "/artifacts/figures/restarts.html")
    pages.frame()
    try:
        canvas = pages.wait(lambda: pages.all("canvas"), "a canvas")[0]
        counts = restarts["minimum"].value_counts()  # minima are numbered from the lowest
        legend = f"lowest loss of its network ({counts[0]})\n2nd lowest ({counts[1]})"
        assert pages.all(".legend")[0].text == legend
        told = _point_around(pages, canvas)
        restart = int(re.findall(r"^restart (\d+)$", told, re.M)[0])
        loss = float(re.findall(r"f = ([\d.e-]+)", told)[0])
        assert loss == pytest.approx(restarts.set_index("restart")["loss"][restart], rel=1e-5)
    finally:
        pages.browser.switch_to.default_content()


def _point_around(pages: Pages, canvas: Any) -> str:
    """What is told of the first restart that the mouse finds, going up at the left."""
    tall = canvas.size["height"]
    for up in range(45, tall, 4):
        ActionChains(pages.browser).move_to_element_with_offset(
            canvas, 90 - canvas.size["width"] // 2, tall // 2 - up
        ).perform()
        tip = pages.all(".tip")[0]
        if tip.is_displayed():
            return str(tip.text)
    raise AssertionError("no restart says what it is")


def test_the_chart_of_a_metric_draws_what_was_recorded(pages: Pages) -> None:
    run_id = pages.runs.loc["network.depth=2 init=normal", "run_id"]
    quantiles = basinet.load_quantiles(run_id, tracking_uri=pages.uri)
    pages.open_run(run_id, "/model-metrics")
    search = pages.wait(lambda: pages.all("input[placeholder='Search metric charts']"), "a search")[0]
    search.send_keys("loss/median")
    pages.wait(lambda: len(pages.all(".js-plotly-plot")) == 1, "one chart")
    (line,) = pages.lines(1)
    assert line["x"] == quantiles["step"].tolist()
    np.testing.assert_allclose(line["y"], quantiles["loss_median"], rtol=1e-6)


def test_the_loss_curves_of_minima_are_compared_in_one_chart(pages: Pages) -> None:
    minima = basinet.load_minima("depth", tracking_uri=pages.uri)
    pages.open("runs?compareRunsMode=CHART&viewStateShareKey=basinet-minima")
    ends = sorted(line["y"][-1] for line in pages.lines(len(minima)))
    np.testing.assert_allclose(ends, np.sort(minima["loss"]), rtol=1e-6)


def test_the_run_of_the_sweep_shows_the_report_and_the_heat_maps(pages: Pages) -> None:
    sweep_id = pages.runs["sweep_id"].iloc[0]
    pages.open_run(sweep_id, "/artifacts/report.html")
    pages.frame()
    try:
        assert pages.wait(lambda: pages.all("h1"), "a heading")[0].text == "depth: where random restarts end"
        assert len(pages.all("#points-data")) == 1
    finally:
        pages.browser.switch_to.default_content()
    pages.open_run(sweep_id)
    width = "return [...document.images].filter(image => image.src.includes('final_losses')).map(i => i.naturalWidth)"
    pages.wait(lambda: max(pages.browser.execute_script(width), default=0) > 400, "the picture in the note")
    table = pages.wait(lambda: pages.all("table"), "the table in the note")[0]
    assert pages.all("img[src*=final_losses]")[0].rect["y"] < table.rect["y"]
    pages.text("Show more").click()
    pages.text("heat maps")
    store = TrackingStore.open(pages.uri)
    folder = store.artifact_folder(store.client.get_run(sweep_id))
    assert folder is not None
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures >= {"final_losses.png", "heat.png", "distribution.png", "sharpness.png"}
