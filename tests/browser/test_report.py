"""The report as it is looked at: on a desk, on a phone, in the dark, and on paper."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
BIN = Path(sys.executable).parent
SWEEP = "-m experiment=depth init=normal,orthogonal network.depth=1,2 restarts=40 descent.steps=2000"
DESK, PHONE = (1400, 900), (390, 844)
READABLE = 4.5  # of WCAG 2.2, level AA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="no browser: Debian's packages chromium and chromium-driver have one"
    ),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a sweep by the console scripts."""
    folder = tmp_path_factory.mktemp("reported")
    for line in (f"basinet {SWEEP}", "basinet-report depth"):
        script, *arguments = line.split()
        made = subprocess.run([BIN / script, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    return folder / "report-depth" / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    alone = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    for argument in [*quiet, *alone, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(argument)
    with webdriver.Chrome(options, Service(str(DRIVER))) as opened:
        yield opened


def look(browser: Any, page: Path, size: tuple[int, int], scheme: str = "light", media: str = "") -> None:
    """Open the page at that size, under that setting of the system."""
    shape = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features, "media": media})
    browser.get(f"file://{page}")


def seen(browser: Any) -> np.ndarray[Any, Any]:
    """The pixels of the first screen, `[row, column, rgb]`."""
    data = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB"))


def luminance(colour: str) -> float:
    """Of WCAG: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = np.array([float(part) for part in re.findall(r"[\d.]+", colour)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_question_picture_shares_and_three_sentences_are_on_the_first_screen(browser: Any, page: Path) -> None:
    look(browser, page, DESK)
    ends = browser.execute_script(
        "return ['#question .lead', '.glance img', '.glance table', '.glance ul'].map("
        "name => document.querySelector(name).getBoundingClientRect().bottom)"
    )
    assert max(ends) < DESK[1]
    assert browser.execute_script("return document.querySelectorAll('.glance li').length") == 3
    cut = "const box = document.querySelector('.glance .table'); return box.scrollWidth - box.clientWidth"
    assert browser.execute_script(cut) <= 0


def test_a_phone_shows_the_page_without_scrolling_sideways(browser: Any, page: Path) -> None:
    look(browser, page, PHONE)
    assert browser.execute_script("return document.documentElement.scrollWidth") == PHONE[0]
    smallest = browser.execute_script("return Math.min(...[...document.images].filter(i => i.width).map(i => i.width))")
    assert smallest >= 358  # as wide as the text: beyond, a figure is moved within its own frame


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_on_their_ground(scheme: str, browser: Any, page: Path) -> None:
    look(browser, page, DESK, scheme)
    colours = browser.execute_script(
        "const of = (name, key) => getComputedStyle(document.querySelector(name))[key];"
        "return [of('body', 'backgroundColor'), of('p.lead', 'color'), of('figcaption', 'color'), of('nav a', 'color')]"
    )
    ground, *inks = map(luminance, colours)
    for ink in inks:
        light, deep = sorted((ink, ground), reverse=True)
        assert (light + 0.05) / (deep + 0.05) >= READABLE


def test_in_the_dark_the_figures_are_dark_too_and_on_paper_they_are_light(browser: Any, page: Path) -> None:
    look(browser, page, DESK)
    assert np.median(seen(browser)) > 250
    look(browser, page, DESK, "dark")
    browser.execute_script("document.querySelector('.glance img').scrollIntoView()")
    assert (seen(browser).min(axis=2) > 250).mean() < 0.01  # no white left
    look(browser, page, DESK, "dark", "print")
    browser.execute_script("document.querySelector('.glance img').scrollIntoView()")
    assert np.median(seen(browser)) > 250


def test_every_figure_has_words_that_stand_for_it(browser: Any, page: Path) -> None:
    look(browser, page, DESK)
    words = browser.execute_script("return [...document.images].map(image => image.alt)")
    words += browser.execute_script("return [...document.querySelectorAll('canvas')].map(c => c.ariaLabel)")
    assert len(words) > 4
    assert min(map(len, words)) > 30


def test_on_paper_what_is_folded_is_there_and_no_heading_is_left_alone(browser: Any, page: Path) -> None:
    look(browser, page, DESK)
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert browser.execute_script("return [...document.querySelectorAll('details')].every(part => part.open)")
    look(browser, page, (720, 1000), media="print")
    rules = browser.execute_script(
        "const of = (name, key) => [...document.querySelectorAll(name)].map(e => getComputedStyle(e)[key]);"
        "return [...of('h2', 'breakAfter'), ...of('summary', 'breakAfter'), ...of('caption', 'breakAfter')]"
    )
    assert set(rules) == {"avoid"}
    written = "[...document.querySelectorAll('p, li, dt, dd, th, td, caption, figcaption')]"
    words = browser.execute_script(f"return {written}.map(element => element.textContent).join('\\n')")
    intervals = re.findall(r"\[[^][]*\d[^][]*\]", words)
    assert len(intervals) > 20
    assert not [text for text in intervals if " " in text]
    assert not re.findall(r"\d %|[<=] \d", words)


def test_on_paper_figures_that_follow_each_other_stand_side_by_side(browser: Any, page: Path) -> None:
    look(browser, page, (720, 1000), media="print")
    browser.execute_script("document.querySelectorAll('details').forEach(part => { part.open = true })")
    tops = browser.execute_script(
        "return [...document.querySelectorAll('#conditions .pictures')].map("
        "row => [...row.querySelectorAll('figure')].map(figure => figure.getBoundingClientRect().top))"
    )
    assert len(tops) == 4
    assert all(first == second < third for first, second, third in tops)
