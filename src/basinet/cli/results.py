"""`basinet-list results`: what there is in a store, in lines of 80 characters, and what to type next."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import TYPE_CHECKING

from basinet.foundation.errors import ConfigError

if TYPE_CHECKING:
    from basinet.tracking.contents import Experiment, Launch

_SHOWN = 8  # launches of an experiment
_ROW = "{:<11} {:>7} {:>9} {:<8} {:>8} {}"  # 48 characters and an id of 32


def show(tracking_uri: str | None) -> None:
    """Print the experiments of a store with their launches, newest first.

    Raises:
        ConfigError: if there is no store, nothing in it, or it is damaged.
    """
    from basinet.tracking.address import check_whole, checked_uri
    from basinet.tracking.contents import contents
    from basinet.tracking.store import TrackingStore

    uri = checked_uri(tracking_uri)
    check_whole(uri)
    store = TrackingStore.look_into(uri)
    experiments = [] if store is None else contents(store)
    if not experiments:
        first = "basinet init=orthogonal makes a first result, --tracking-uri names another store"
        raise ConfigError(f"there are no results yet in {uri}: {first}")
    for experiment in experiments:
        _print_experiment(experiment)
    _print_next(experiments[0], tracking_uri)


def _print_experiment(experiment: Experiment) -> None:
    print(experiment.name)
    print(_ROW.format("began", "done", "restarts", "state", "best loss", "sweep or run").rstrip())
    for launch in experiment.launches[:_SHOWN]:
        print(_line(launch))
    more = len(experiment.launches) - _SHOWN
    if more > 0:
        print(f"… and {more:,} before these (basinet-ui shows all)")
    print()


def _line(launch: Launch) -> str:
    done = f"{launch.finished}/{launch.conditions}"
    loss = f"{launch.best_loss:.3g}" if launch.finished else "-"
    return _ROW.format(_when(launch.began), done, f"{launch.restarts:,}", launch.state, loss, launch.id)


def _when(milliseconds: int) -> str:
    """A time of this year to the minute, an earlier one to the day."""
    time = datetime.fromtimestamp(milliseconds / 1000)
    return f"{time:%m-%d %H:%M}" if time.year == datetime.now().year else f"{time:%Y-%m-%d}"


def _print_next(newest: Experiment, tracking_uri: str | None) -> None:
    """What to type for the experiment that was used last."""
    where = [] if tracking_uri is None else ["--tracking-uri", tracking_uri]
    there = "" if tracking_uri is None else f", tracking_uri={json.dumps(tracking_uri)}"
    call = f"basinet.load_minima({json.dumps(newest.name, ensure_ascii=False)}{there})"
    print(f"report    {shlex.join(['basinet-report', newest.name, *where])}")
    print(f"browse    {shlex.join(['basinet-ui', *where])}")
    print(f"analyse   python -c {shlex.quote(f'import basinet; print({call})')}")
