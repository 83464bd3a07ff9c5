"""A report as a folder: the page, its figures and its tables."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from pathlib import Path

from PIL import Image

from basinet import plots
from basinet.foundation.errors import require
from basinet.plots.dark import darken
from basinet.reporting.data import Material, load_material
from basinet.reporting.document import Report
from basinet.reporting.html import Shades, render
from basinet.reporting.sections import report as composed
from basinet.tracking.record import write_parquet

PAGE = "report.html"
_WRITES = {"figures": {".png", ".svg"}, "tables": {".csv", ".parquet"}}
_NAME_MAX = 50  # characters of a name that are in a folder's: its name has at most 255 bytes
_CSV_MAX = 100_000  # rows of a table that is written as CSV, too


def report(name: str, folder: Path | str | None = None, tracking_uri: str | None = None) -> Path:
    """Write what came out of an experiment, a sweep or a run into a folder: one page, figures and tables.

    The page, `report.html`, is one file that can be sent on and opens without a network. An earlier report in that
    folder is replaced; nothing half made is left behind, whatever happens.

    Args:
        name: an experiment, the id of a sweep, or the id of a condition's run.
        folder: where to; `report-<name>` in the working directory if None.
        tracking_uri: the store; the one of the working directory if None.

    Returns:
        The page.

    Raises:
        ConfigError: if there is no such name, or the folder holds something that is not a report.
    """
    target = Path("report-" + re.sub(r"[^\w.-]+", "-", name)[:_NAME_MAX]) if folder is None else Path(folder)
    _check_replaceable(target)
    material = load_material(name, tracking_uri=tracking_uri)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.absolute().parent) as beside:
        made = Path(beside) / "new"
        made.mkdir()
        _write_tables(material, made / "tables")
        page = composed(material, tracking_uri)
        (made / PAGE).write_text(render(page, _write_figures(page, made / "figures")), encoding="utf-8")
        if target.exists():
            target.rename(Path(beside) / "old")
        made.rename(target)
    return target / PAGE


def page(name: str, tracking_uri: str | None = None) -> str:
    """The page alone, in a quarter of the time of `report`: conditions have no figures of their own on it.

    Arguments and errors as for `report`.
    """
    told = composed(load_material(name, tracking_uri=tracking_uri, drawn_max=0), tracking_uri, drawn_max=0)
    with tempfile.TemporaryDirectory() as folder:
        return render(told, _write_figures(told, Path(folder) / "figures", ("png",)))


def _check_replaceable(folder: Path) -> None:
    """Raise `ConfigError` if there is something in the way that no report has left there."""
    if not folder.exists():
        return
    require(folder.is_dir(), f"{folder}: is there and no folder; name another one")
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        kept = inside.parts[0] in _WRITES and (path.is_dir() or path.suffix in _WRITES[inside.parts[0]])
        message = f"{folder}: holds {inside}, which is no part of a report; name another folder"
        require(kept or str(inside) == PAGE, message)


def _write_tables(material: Material, folder: Path) -> None:
    tables = {
        "spread": material.spread,
        "minima": material.minima.drop(columns="parameters", errors="ignore"),
        "bottoms": material.bottoms,
        "comparisons": material.pairs,
        "levels": material.levels,
        "held_out": material.held_out,
        "restarts": material.restarts,
    }
    folder.mkdir()
    for name, table in tables.items():
        if table is None or table.empty:
            continue
        write_parquet(table, folder / f"{name}.parquet")
        if len(table) <= _CSV_MAX:
            table.to_csv(folder / f"{name}.csv", index=False)


def _write_figures(page: Report, folder: Path, formats: tuple[str, ...] = ("png", "svg")) -> dict[str, Shades]:
    """The figures as files, and for the page by their names."""
    images = {}
    folder.mkdir()
    for picture in page.pictures():
        for form in formats:
            (path,) = plots.save({picture.name: picture.figure}, folder, [form])
            picture.figure.set_layout_engine("none")  # it has been laid out, which takes longer than drawing it
            if form == "png":
                light = _small(path)
        darken(picture.figure)
        (path,) = plots.save({f"{picture.name}.dark": picture.figure}, folder, ["png"])
        images[picture.name] = Shades(light, _small(path))
        path.unlink()
    return images


def _small(path: Path) -> str:
    """A figure as base64 of WebP without loss: a third of the size of PNG, and every browser shows it."""
    small = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(small, "webp", lossless=True, quality=50, method=2)
    return base64.b64encode(small.getvalue()).decode()
