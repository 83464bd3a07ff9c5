from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from basinet.plots import final_losses, loss_fan, save, waterfall


def test_figures_are_saved_as_png_into_a_folder_that_is_made(quantiles: pd.DataFrame, tmp_path: Path) -> None:
    paths = save({"one": loss_fan(quantiles, "1"), "two": loss_fan(quantiles, "2")}, tmp_path / "new" / "figures")
    assert paths == [tmp_path / "new" / "figures" / "one.png", tmp_path / "new" / "figures" / "two.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_a_figure_has_as_many_files_as_formats(quantiles: pd.DataFrame, tmp_path: Path) -> None:
    paths = save({"fan": loss_fan(quantiles, "")}, tmp_path, ("png", "svg", "pdf"))
    assert [path.name for path in paths] == ["fan.png", "fan.svg", "fan.pdf"]
    beginnings = [path.read_bytes()[:5] for path in paths]
    assert beginnings == [b"\x89PNG\r", b"<?xml", b"%PDF-"]


def test_a_raster_has_150_pixels_to_the_inch(quantiles: pd.DataFrame, tmp_path: Path) -> None:
    """Width and height are at bytes 16 to 23 of a PNG (its header chunk)."""
    figure = loss_fan(quantiles, "")
    (path,) = save({"fan": figure}, tmp_path)
    pixels = np.frombuffer(path.read_bytes()[16:24], dtype=">u4")
    np.testing.assert_array_equal(pixels, np.round(figure.get_size_inches() * 150))


def test_a_vector_graphic_of_a_hundred_thousand_restarts_stays_small_and_its_text_is_text(tmp_path: Path) -> None:
    losses = np.random.default_rng(0).exponential(size=100_000)
    frame = pd.DataFrame({"depth": np.arange(100_000) % 5, "loss": losses, "status": "arrived", "kind": "minimum"})
    figures = {"waterfall": waterfall(frame, "a title"), "final_losses": final_losses(frame, "depth", [], "a title")}
    for path in save(figures, tmp_path, ("svg",)):
        assert path.stat().st_size < 150_000
        assert "a title" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_the_same_figure_is_the_same_file(quantiles: pd.DataFrame, tmp_path: Path, form: str) -> None:
    contents = []
    for folder in ("one", "two"):
        (path,) = save({"fan": loss_fan(quantiles, "a title")}, tmp_path / folder, (form,))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
