"""`basinet-list`: what there is to choose from, one line each; `basinet-list results`: what there is to look at."""

from __future__ import annotations

import argparse
import sys

from basinet.cli.results import show
from basinet.cli.script import script, tell_environment
from basinet.cli.terminal import columns, folded
from basinet.foundation.errors import require, unknown
from basinet.study.defaults import conf_directory, describe, members

_FOLDERS = ("problem", "init", "descent", "objective", "experiment")
_RESULTS = "results"


def main() -> None:
    """The console script."""
    with script("basinet-list"):
        parser = argparse.ArgumentParser(
            prog="basinet-list", description="Show what there is to choose from, or the results that there are."
        )
        parser.add_argument("group", nargs="?", help=f"show only one of {', '.join(_FOLDERS)}; or {_RESULTS}")
        parser.add_argument("--tracking-uri", help=f"{_RESULTS} of which store; default: mlflow.db of this directory")
        arguments = parser.parse_args()
        chosen = arguments.group
        if chosen not in (None, *_FOLDERS, _RESULTS):
            raise unknown("group", chosen, (*_FOLDERS, _RESULTS))
        if chosen == _RESULTS:
            tell_environment(arguments.tracking_uri)
            show(arguments.tracking_uri)
            return
        require(arguments.tracking_uri is None, f"--tracking-uri belongs to basinet-list {_RESULTS}")
        for group in _FOLDERS if chosen is None else (chosen,):
            print(f"{group}=")
            names = members(group)
            width = max((len(name) for name in names), default=0)
            for name in names:
                line = f"  {name:<{width}}  {describe(conf_directory() / group / f'{name}.yaml')}"
                print(folded(line, width + 4, columns(sys.stdout)))
            print()
