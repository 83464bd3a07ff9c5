"""`basinet-report`: what came out of an experiment, a sweep or a run as one page of HTML, with figures and tables."""

from __future__ import annotations

import argparse
from pathlib import Path

from basinet.cli.script import script, tell_environment


def main() -> None:
    """The console script."""
    with script("basinet-report", "; nothing was written"):
        parser = argparse.ArgumentParser(prog="basinet-report", description=__doc__)
        parser.add_argument("name", help="an experiment, or the id of a sweep or run")
        parser.add_argument("--output", type=Path, help="folder to write to; default: report-NAME")
        parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
        parser.add_argument("--open", action="store_true", help="show it in the browser")
        arguments = parser.parse_args()
        tell_environment(arguments.tracking_uri)
        _report(arguments)


def _report(arguments: argparse.Namespace) -> None:
    from basinet.reporting import report

    page = report(arguments.name, arguments.output, arguments.tracking_uri)
    print(f"report    {page} ({page.stat().st_size / 1e6:.1f} MB)")
    for name in ("figures", "tables"):
        files = len(list((page.parent / name).iterdir()))
        print(f"{name:<9} {page.parent / name} ({files} files)")
    if arguments.open:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())
