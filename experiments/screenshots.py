"""Takes the pictures of docs/ui.md and docs/report.md: `python experiments/screenshots.py` in a folder with the study.

That is the folder in which `basinet experiment=depth` has run. MLflow's pages are opened by `basinet-ui`, the report
is made by `basinet-report`; both are seen by Chromium without a window (Debian's packages chromium and
chromium-driver).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import basinet

STUDY = "depth"
FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"
BIN = Path(sys.executable).parent
PAGES, REPORT = (1680, 960), (1400, 900)  # pixels
SECONDS = 60  # until a page is drawn
ASSISTANT = (("fab.autoOpenedOnFirstLoad", "true"), ("panelOpen", "false"))  # which covers a third of MLflow's pages


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    with tempfile.TemporaryDirectory() as scratch, opened(Path(scratch) / "profile") as browser:
        with served() as (base, address):
            take(browser, PAGES, lambda: conditions(browser, base, address), folder / "ui.png")
        made = Path(scratch) / "report"
        subprocess.run([BIN / "basinet-report", STUDY, "--output", made], check=True, stdout=subprocess.DEVNULL)
        take(browser, REPORT, lambda: browser.get((made / "report.html").as_uri()), folder / "report.png")


@contextmanager
def opened(profile: Path) -> Iterator[Any]:
    """A browser without a window that has seen nothing before."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("chromium-browser"))
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    for argument in [*quiet, f"--user-data-dir={profile}"]:
        options.add_argument(argument)
    with webdriver.Chrome(options, Service(shutil.which("chromedriver"))) as browser:
        yield browser


@contextmanager
def served() -> Iterator[tuple[str, str]]:
    """The address of MLflow's pages, and that of the study there."""
    server = subprocess.Popen([BIN / "basinet-ui", "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base, *studies = [server.stdout.readline().split()[-1] for _ in range(2)]
        yield base, studies[0]
    finally:
        server.terminate()
        server.wait(timeout=30)


def conditions(browser: Any, base: str, address: str) -> None:
    """Open the view of the conditions, and wait until each of them has a row."""
    browser.get(base)
    for key, value in ASSISTANT:
        browser.execute_script(f"localStorage.setItem('mlflow.assistant.{key}_v1', '{value}')")
    browser.get("about:blank")
    browser.get(address)
    names = basinet.load_runs(STUDY)["name"]

    def drawn(_: Any) -> bool:
        cells = browser.find_elements(By.CSS_SELECTOR, "[role=gridcell][col-id*='Run Name']")
        return {cell.text.rpartition("\n")[2] for cell in cells} == set(names)  # before it stands its colour

    WebDriverWait(browser, SECONDS, ignored_exceptions=[WebDriverException]).until(drawn, "the conditions")


def take(browser: Any, size: tuple[int, int], show: Callable[[], None], path: Path) -> None:
    """A picture of the first screen, as large as asked for."""
    shape = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    show()
    browser.save_screenshot(str(path))
    with Image.open(path) as image:  # without a palette, or two colours of minima may become one
        image.convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main()
