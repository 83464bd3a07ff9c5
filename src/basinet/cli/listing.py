"""`basinet-list`: what there is to choose from, one line each."""

from __future__ import annotations

import argparse

from basinet.cli.script import script
from basinet.foundation.errors import unknown
from basinet.study.defaults import conf_directory, describe, members

_FOLDERS = ("problem", "init", "descent", "objective", "experiment")


def main() -> None:
    """The console script."""
    with script("basinet-list"):
        parser = argparse.ArgumentParser(prog="basinet-list", description="Show what there is to choose from.")
        parser.add_argument("group", nargs="?", help=f"show only one of {', '.join(_FOLDERS)}")
        chosen = parser.parse_args().group
        if chosen not in (None, *_FOLDERS):
            raise unknown("group", chosen, _FOLDERS)
        for group in _FOLDERS if chosen is None else (chosen,):
            print(f"{group}=")
            names = members(group)
            width = max((len(name) for name in names), default=0)
            for name in names:
                print(f"  {name:<{width}}  {describe(conf_directory() / group / f'{name}.yaml')}")
            print()
