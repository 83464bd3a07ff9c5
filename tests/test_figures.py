"""A figure of a page is what its command makes: its file says which shares it draws, and a smaller sweep agrees."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import basinet
from basinet import plots

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
FEW = 300  # restarts of a condition
SIGMAS = 5  # by which a share of a few may differ from that of all: one false alarm in a million comparisons
CHECKED = {
    "xor": "network.width=2 init=normal,xavier_normal",
    "textbook": "network.depth=2,3 init=normal,xavier_normal",
}
"""Studies whose figures are compared, and which of their conditions, those that are quick."""


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
    import pandas as pd

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
        assert "network.depth=2:" not in words


@pytest.mark.slow
@pytest.mark.parametrize("study", CHECKED)
def test_a_figure_of_a_page_is_what_its_command_makes(
    study: str, shell: Callable[[str], Any], furnish: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Restarts know of each other nothing, so that the first few are a sample of all: that holds on every machine."""
    furnish(tmp_path)
    less = f"restarts={FEW} tracking.figures=none tracking.minima_runs=0 hydra/launcher=basic"
    assert shell(f"basinet experiment={study} {CHECKED[study]} {less}").code == 0
    drawn = shares(described(FIGURES / f"{study}.png"))
    restarts = basinet.load_restarts(study)
    groups = restarts.groupby(["init", *(key for key in ("network.depth", "network.width") if key in CHECKED[study])])
    assert len(groups) >= 2
    for key, mine in groups:
        name = {f"init={key[0]}", CHECKED[study].partition("=")[0] + f"={key[1]}"}
        (bars,) = [found for label, found in drawn.items() if set(label.split()) == name]
        for loss, share in bars.items():
            at = (abs(mine["loss"] / loss - 1) < 0.006) & (mine["minimum"] >= 0)  # three digits are written
            error = np.sqrt(share * (1 - share) / FEW)
            assert at.mean() == pytest.approx(share, abs=SIGMAS * error + 2 / FEW), (name, loss)
