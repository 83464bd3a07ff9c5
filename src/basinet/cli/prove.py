"""`basinet-prove`: proofs that the minima of an experiment, a sweep or a run are there; `--check` checks them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from basinet.cli.script import script, tell_environment
from basinet.cli.waiting import waiting
from basinet.foundation.errors import ConfigError, require

if TYPE_CHECKING:
    from basinet.workflows.prove import ProvedCondition

_INTERRUPTED = "; proofs are written condition by condition, and nothing is half written"


def main() -> None:
    """The console script."""
    with script("basinet-prove", _INTERRUPTED):
        parser = argparse.ArgumentParser(prog="basinet-prove", description=__doc__)
        parser.add_argument("name", nargs="?", help="an experiment, or the id of a sweep or run")
        parser.add_argument("--saddles", action="store_true", help="prove the saddles, too, where some were looked for")
        parser.add_argument("--minutes", type=float, default=60.0, help="that it may take; default: 60")
        parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
        parser.add_argument("--check", type=Path, metavar="FILE", help="check a proofs.json, with nothing of basinet")
        arguments = parser.parse_args()
        require((arguments.name is None) != (arguments.check is None), "name what is to be proved, or --check a file")
        if arguments.check is not None:
            _check(arguments.check)
            return
        tell_environment(arguments.tracking_uri)
        _prove(arguments)


def _prove(arguments: argparse.Namespace) -> None:
    from basinet.workflows.prove import prove_conditions

    with waiting() as say:
        found = prove_conditions(
            arguments.name,
            saddles=arguments.saddles,
            tracking_uri=arguments.tracking_uri,
            minutes=arguments.minutes,
            say=say,
        )
        for condition in found:
            say("")
            _show(condition)


def _show(condition: ProvedCondition) -> None:
    from basinet.analysis.amounts import duration

    print(f"{condition.name}: {condition.sentence} ({duration(condition.seconds)})")
    refused = [verdict for verdict in condition.verdicts if not verdict.proved]
    reasons = Counter((verdict.point.kind, verdict.reason) for verdict in refused)
    for (kind, reason), count in reasons.items():
        ids = [str(verdict.point.id) for verdict in refused if (verdict.point.kind, verdict.reason) == (kind, reason)]
        which = f" ({', '.join(ids[:8])}{', …' if len(ids) > 8 else ''})" if ids else ""
        print(f"refused   {count:,} {kind.replace('_', ' ')}{which}: {reason}")
    if condition.kinks:
        restarts = f"{condition.kinks:,} restart{'s' * (condition.kinks != 1)}"
        print(f"refused   {restarts} at kinks: the loss has no derivative there")
    where = f"run {condition.run_id}" if condition.path is None else str(condition.path)
    print(f"proofs    {where}")


def _check(path: Path) -> None:
    """Print what holds of a file of proofs, and end with 1 if anything does not."""
    from basinet.proofs import require_flint

    require_flint()
    from basinet.proofs.check import check

    try:
        counts, wrong = check(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        told = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: is no whole file of proofs ({type(error).__name__}: {told})") from error
    print(f"{counts['minimum']:,} minima and {counts['saddle']:,} saddles hold")
    for line in wrong:
        print(f"WRONG     {line}")
    if wrong:
        sys.exit(1)
    print(
        f"so there are at least {counts['minimum']:,} distinct minima and {counts['saddle']:,} saddles modulo symmetry"
    )
