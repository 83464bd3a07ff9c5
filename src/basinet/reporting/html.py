"""A report as one page of HTML that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jinja2

import basinet
from basinet.reporting.document import Report

_HERE = Path(__file__).parent


def render(report: Report, images: Mapping[str, str]) -> str:
    """The page; `images` are the figures as base64 of WebP, by their names."""
    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        report=report, images=images, script=script, version=basinet.__version__
    )
