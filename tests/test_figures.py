"""A figure of a page is what its command makes: its file says which shares it draws, and a smaller sweep agrees."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import basinet
from basinet import plots

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
SIGMAS = 5  # by which a share of a few may differ from that of all: one false alarm in a million comparisons
CHECKED = {
    "depth": ("network.depth=1,2 init=normal,orthogonal", 300),
    "xor": ("network.width=2 init=normal,xavier_normal", 300),
    "textbook": ("network.depth=2,3 init=normal,xavier_normal", 300),
    "digits": ("network.depth=1,2 init=orthogonal,xavier_uniform", 40),
    "width": ("network.width=8,16", 40),
}
"""Studies whose figures are compared: which of their conditions, those that are quick, and how many restarts."""
LONG = {"digits", "width"}


def shares(words: str) -> dict[str, dict[float, float]]:
    """Of each condition the share of the restarts at each loss, from what a figure says of itself."""
    found: dict[str, dict[float, float]] = {}
    for line in words.splitlines():
        name, _, bars = line.partition(": ")
        for share, loss in re.findall(r"([\d.e-]+) % at ([\d.e-]+) \(", bars):
            at = found.setdefault(name, {})
            at[float(loss)] = at.get(float(loss), 0.0) + float(share) / 100
    return found


def described(path: Path) -> str:
    with Image.open(path) as image:
        return str(image.info.get("Description", ""))


def test_the_words_of_a_figure_are_the_shares_that_plain_pandas_counts(tmp_path: Path) -> None:
    restarts = pd.DataFrame(
        {
            "network.depth": np.repeat([1, 2], 10),
            "loss": [0.1] * 7 + [0.25] * 3 + [0.5] * 10,
            "minimum": [0] * 7 + [1] * 3 + [-1] * 10,
            "kind": ["minimum"] * 10 + ["unfinished"] * 10,
            "status": "arrived",
        }
    )
    figure = plots.final_losses(restarts, "network.depth", [], "made")
    for path in plots.save({"made": figure}, tmp_path, ["png", "svg"]):
        words = described(path) if path.suffix == ".png" else path.read_text(encoding="utf-8")
        assert "network.depth=1: 70 % at 0.1 (minimum), 30 % at 0.25 (minimum)" in words
        assert "network.depth=2: median 0.5, half between 0.5 and 0.5" in words


def quartiles(words: str) -> dict[str, dict[float, float]]:
    """Of each condition with a median the share of its restarts that end at or below some losses."""
    number = r"([\d.e-]+)"
    found = re.findall(rf"^(.*?): .*median {number}, half between {number} and {number}$", words, re.MULTILINE)
    return {name: {float(low): 0.25, float(median): 0.5, float(high): 0.75} for name, median, low, high in found}


def test_where_restarts_end_at_no_bottom_the_words_are_the_quartiles_that_plain_pandas_counts(tmp_path: Path) -> None:
    losses = np.geomspace(0.1, 0.9, 41)
    restarts = pd.DataFrame({"network.depth": 1, "loss": losses, "minimum": -1, "kind": "unfinished"})
    figure = plots.final_losses(restarts.assign(status="arrived"), "network.depth", [], "made")
    (path,) = plots.save({"made": figure}, tmp_path)
    expected = {float(f"{np.quantile(losses, share):.4g}"): share for share in (0.25, 0.5, 0.75)}
    assert quartiles(described(path)) == {"network.depth=1": expected}


@pytest.mark.parametrize(
    "study", [pytest.param(study, marks=pytest.mark.stress if study in LONG else pytest.mark.slow) for study in CHECKED]
)
def test_a_figure_of_a_page_is_what_its_command_makes(
    study: str, shell: Callable[[str], Any], furnish: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Restarts know of each other nothing, so that the first few are a sample of all: that holds on every machine."""
    furnish(tmp_path)
    conditions, few = CHECKED[study]
    less = f"restarts={few} tracking.figures=none tracking.minima_runs=0 hydra/launcher=basic"
    assert shell(f"basinet experiment={study} {conditions} {less}").code == 0
    words, restarts = described(FIGURES / f"{study}.png"), basinet.load_restarts(study)
    compared = 0
    for name, bars in shares(words).items():
        mine = condition(restarts, name)
        for loss, share in bars.items() if len(mine) else ():
            at = (abs(mine["loss"] / loss - 1) < 0.006) & (mine["minimum"] >= 0)  # three digits are written
            assert at.mean() == pytest.approx(share, abs=tolerance(share, few)), (name, loss)
            compared += 1
    for name, half in quartiles(words).items():
        mine = condition(restarts, name)
        for loss, share in half.items() if len(mine) else ():
            assert (mine["loss"] <= loss).mean() == pytest.approx(share, abs=tolerance(share, few)), (name, loss)
            compared += 1
    assert compared >= 4


def condition(restarts: pd.DataFrame, name: str) -> pd.DataFrame:
    """The restarts of a condition that a figure calls `init=normal network.width=2`."""
    settings = [part.partition("=") for part in name.split()]
    chosen = [restarts[key].astype(str) == value for key, _, value in settings]
    return restarts[np.logical_and.reduce(chosen)]


def tolerance(share: float, few: int) -> float:
    """By how much the share of a few may differ from that of all."""
    return SIGMAS * float(np.sqrt(share * (1 - share) / few)) + 2 / few


GALLERY = ROOT / "experiments" / "gallery.py"
BLOCK = 8  # pixels along a side: an edge that rounding moves by a fraction of a pixel is not seen in their mean
APART = 1.5  # of 255, in the mean over all blocks: far less than one more line, number or colour makes


def blocks(path: Path) -> np.ndarray[Any, Any]:
    """A picture in the mean of blocks, `[row, column, colour]`."""
    with Image.open(path) as image:
        size = image.width // BLOCK, image.height // BLOCK
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), dtype=np.float64)


def difference(one: Path, other: Path) -> float:
    """By how much two pictures differ, in the mean over their blocks; everything if they differ in size."""
    first, second = blocks(one), blocks(other)
    return float(np.abs(first - second).mean()) if first.shape == second.shape else np.inf


@pytest.mark.stress
def test_what_minima_compute_is_in_the_gallery_as_its_script_draws_it(tmp_path: Path) -> None:
    """The quickest figures of the script; and a figure that shows another minimum in one place is told from them."""
    script = runpy.run_path(str(GALLERY))
    xor, title = script["run"](script["XOR"]), "XOR, two logistic units, penalties"
    figures = script["portraits"](xor.study, xor.restarts, xor.minima, xor.parameters, title)
    other = xor.minima.iloc[[0, 1, 2, 3, 4, 6]]
    changed = script["portraits"](xor.study, xor.restarts, other, xor.parameters, title)
    plots.save(figures, tmp_path)
    plots.save(changed, tmp_path / "changed")
    for name in ("answers", "weights"):
        page = FIGURES / "gallery" / f"{name}.png"
        assert difference(tmp_path / f"{name}.png", page) < APART
        assert difference(tmp_path / "changed" / f"{name}.png", page) > APART


@pytest.mark.stress
def test_every_figure_of_the_gallery_is_what_its_script_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gallery.py", str(tmp_path)])
    runpy.run_path(str(GALLERY), run_name="__main__")
    pages = sorted((FIGURES / "gallery").glob("*.png"))
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in pages}
    apart = {path.name: difference(tmp_path / path.name, path) for path in pages}
    assert {name: far for name, far in apart.items() if far >= APART} == {}
