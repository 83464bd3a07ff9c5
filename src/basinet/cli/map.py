"""`basinet-map`: which minimum the gradient flow leads to, as a map over parameters or a plane through minima."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from basinet.cli.script import script, tell_environment
from basinet.cli.waiting import waiting
from basinet.foundation.errors import ConfigError

if TYPE_CHECKING:
    from basinet.reporting.basins import BasinMap

_NAME_MAX = 50  # characters of a name that are in a folder's


def main() -> None:
    """The console script."""
    with script("basinet-map", "; nothing was written"):
        parser = argparse.ArgumentParser(prog="basinet-map", description=__doc__)
        parser.add_argument("name", help="the id of a run, or an experiment or sweep of one condition")
        parser.add_argument("--axes", help="one or two parameters, by name or number: w1,w2 or W0[0,1],b0[1] or 0,4")
        parser.add_argument("--through", type=int, metavar="MINIMUM", help="where the others stay; default: the lowest")
        parser.add_argument("--minima", metavar="A,B,C", help="instead: the plane through three minima, such as 0,1,2")
        parser.add_argument("--x", metavar="LOW,HIGH", help="what is shown; default: the minima and most of the starts")
        parser.add_argument("--y", metavar="LOW,HIGH", help="the same of the second axis")
        parser.add_argument("--resolution", type=int, default=201, help="pixels along each side; default: 201")
        parser.add_argument("--animate", action="store_true", help="also write how starts go down, as a GIF")
        parser.add_argument("--output", type=Path, help="folder to write to; default: map-NAME")
        parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
        arguments = parser.parse_args(_joined())
        tell_environment(arguments.tracking_uri)
        _map(arguments)


def _joined() -> list[str]:
    """The command line with `--x -5,5` as one word, which argparse takes for an option without its value."""
    import sys

    words = iter(sys.argv[1:])
    return [f"{word}={next(words, '')}" if word in ("--x", "--y") else word for word in words]


def _map(arguments: argparse.Namespace) -> None:
    minima = None if arguments.minima is None else _numbers("--minima", arguments.minima, int)
    axes = None if arguments.axes is None else re.split(r",(?![^\[]*\])", arguments.axes)
    x, y = (_ends(name, getattr(arguments, name)) for name in ("x", "y"))
    folder = arguments.output or Path("map-" + re.sub(r"[^\w.-]+", "-", arguments.name)[:_NAME_MAX])
    with waiting() as say:
        say("loading")
        from basinet.reporting.basins import Extent
        from basinet.workflows.basin_map import Place, check_folder, map_basins, write_map

        place = Place(axes, arguments.through, None if minima is None else [int(number) for number in minima])
        extent = Extent(x, y, arguments.resolution)
        check_folder(folder)
        say("following the flow")
        found = map_basins(arguments.name, place, extent, tracking_uri=arguments.tracking_uri)
        say("drawing")
        title = f"{arguments.name}: which minimum the gradient flow leads to"
        paths = write_map(found, title, folder, arguments.animate)
    _show(found)
    for path in paths:
        print(f"wrote     {path}")


def _show(found: BasinMap) -> None:
    """How much of the map leads to which bottom."""
    print(f"axes      {', '.join(found.names)}")
    for row in found.minima[(found.minima["share"] > 0).to_numpy()].to_dict("records"):
        copy = f", copy {row['copy']}" if row["copy"] else ""
        kind = str(row["kind"]).replace("_", " ")
        print(f"{row['share']:<9.2%} {kind} {row['minimum']}{copy}, loss {row['loss']:.6g}")
    nowhere = float((found.pixels["minimum"] < 0).mean())
    if nowhere > 0:
        print(f"{nowhere:<9.2%} led to no bottom")
    followed = int(found.pixels["followed"].sum())
    print(f"followed  {followed:,} of {len(found.pixels):,} pixels: those near a border")


def _ends(name: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    numbers = _numbers(f"--{name}", text, float)
    if len(numbers) != 2:
        raise ConfigError(f"--{name} {text}: must be two numbers, such as --{name} -5,5")
    return numbers[0], numbers[1]


def _numbers(option: str, text: str, kind: type[int] | type[float]) -> list[float]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        example = "0,1,2" if kind is int else "-5,5"
        raise ConfigError(f"{option} {text}: must be numbers with commas between them, such as {example}") from None
