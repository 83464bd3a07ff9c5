"""A report as one page of HTML that needs nothing beside itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import jinja2

import basinet
from basinet.reporting.document import Element, Report

_HERE = Path(__file__).parent


class Shades(NamedTuple):
    """A figure for a light ground and for a dark one, as base64 of WebP."""

    light: str
    dark: str


def render(report: Report, images: Mapping[str, Shades]) -> str:
    """The page; `images` are the figures by their names."""
    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["unbroken"] = _unbroken
    environment.filters["rows"] = _rows
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        report=report, images=images, script=script, version=basinet.__version__
    )


def _unbroken(text: str) -> str:
    """Numbers, their signs, units and intervals stay on one line.

    >>> _unbroken("of 40 % [31.5, 48.5], p < 0.01, n = 8").replace("\N{NO-BREAK SPACE}", "_")
    'of 40_%_[31.5,_48.5], p_<_0.01, n_=_8'
    """
    whole = re.sub(r"\[[^][]*\]", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    return re.sub(r"(?<=\d) (?=%)|(?<=%) (?=\[)|(?<=[<=]) (?=\d)|(?<=\b\w) (?=[<=] \d)", "\N{NO-BREAK SPACE}", whole)


def _rows(blocks: Sequence[Element]) -> Iterator[tuple[bool, list[Element]]]:
    """Figures that follow each other, which stand side by side where there is room; and what is between them."""
    for are_pictures, group in groupby(blocks, lambda block: block.form == "picture"):
        yield are_pictures, list(group)
