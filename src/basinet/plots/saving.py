"""Figures as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from basinet.plots.style import STYLE, description

_NO_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}

_WORDS = {"png": "Description", "svg": "Description"}
"""Under which name a file keeps what its figure shows, in words: of PNG's keywords, and of Dublin Core's."""


def save(figures: Mapping[str, Figure], folder: Path | str, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write figures into a folder, which is made; the same figure gives the same file.

    What a figure says of itself (`style.describe`) goes into the file, for programs that read
    pages aloud, and for tests.

    Args:
        figures: by the name of their file.
        folder: where to.
        formats: `png`, `svg` (dots and maps are rasters in it, so that it stays small) or `pdf`.

    Returns:
        The files, figure by figure.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(STYLE):
        for name, figure in figures.items():
            for form in formats:
                paths.append(folder / f"{name}.{form}")
                words = {_WORDS[form]: description(figure)} if form in _WORDS and description(figure) else {}
                figure.savefig(paths[-1], format=form, metadata={**_NO_DATE.get(form, {}), **words})
    return paths
