"""The lesson is readable without being run, and what it shows is what comes out when it is run again."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[1] / "experiments" / "lesson.ipynb"
KILOBYTES = 60  # of a picture: a lesson that is read over a phone


def _book() -> Any:
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(FILE, as_version=4)


def _outputs(book: Any) -> list[Any]:
    return [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]


def _words(book: Any) -> str:
    """All that is printed and shown as text; widths of columns aside."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in _outputs(book)]
    return re.sub(r"\s+", " ", " ".join(texts))


def test_the_lesson_keeps_its_outputs_and_its_pictures_are_small() -> None:
    book = _book()
    outputs = _outputs(book)
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    assert max(len(base64.b64decode(picture)) for picture in pictures) < 1024 * KILOBYTES
    assert "distinct minima; the best," in _words(book)


def test_every_link_of_the_lesson_leads_somewhere() -> None:
    text = "\n".join(cell.source for cell in _book().cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert len(targets) > 4
    assert not [target for target in targets if not (FILE.parent / target).exists()]


def test_the_slopes_by_hand_by_the_package_and_by_differences_are_the_same() -> None:
    hand, package, differences = (
        re.findall(rf"{name}\s+\[([^]]+)\]", _words(_book()))[0] for name in ("by hand", "basinet", "differences")
    )
    assert hand.split() == package.split() == differences.split()


@pytest.mark.slow
def test_the_lesson_can_be_run_and_shows_again_what_it_shows(tmp_path: Path) -> None:
    """Pictures aside, which other versions of matplotlib draw otherwise, and digits that other processors round."""
    nbclient = pytest.importorskip("nbclient")
    stored, again = _book(), _book()
    for cell in again.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbclient.NotebookClient(again, timeout=300).execute(cwd=str(tmp_path))
    assert [output.output_type for output in _outputs(again)] == [output.output_type for output in _outputs(stored)]
    assert re.findall(r"\d+ distinct minima", _words(again)) == re.findall(r"\d+ distinct minima", _words(stored))
    assert re.findall(r"in the other: \d+", _words(again)) == re.findall(r"in the other: \d+", _words(stored))
    slopes = r"by hand.*differences +\[[^]]+\]"
    assert re.findall(slopes, _words(again)) == re.findall(slopes, _words(stored)) != []
