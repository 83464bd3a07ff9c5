"""`basinet-doctor`: closes runs whose process is gone, says what a store lacks and what takes up its disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from basinet.cli.script import script, tell_environment
from basinet.foundation.errors import ConfigError

if TYPE_CHECKING:
    from basinet.tracking.housekeeping import Fault, Health, Removal, Unended, Work
    from basinet.tracking.store import TrackingStore

_EPILOG = """It ends with 0 when all is well, or is now, and with 1 when something needs you. What an interrupted sweep
has finished is kept as blocks of restarts: the same command goes on from them, and a condition that has finished can be
extended from its own. --free removes those; extending such a condition then begins anew."""
_SHOWN = 10  # runs of one kind that are named one by one


def main() -> None:
    """The console script."""
    with script("basinet-doctor"):
        parser = argparse.ArgumentParser(prog="basinet-doctor", description=__doc__, epilog=_EPILOG)
        parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--force", action="store_true", help="also runs of whose process nothing can be said from here"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--free", action="store_true", help="remove the blocks of conditions that have finished")
        what.add_argument(
            "--remove", metavar="ID", help="remove a sweep or a run for good, with its artifacts and blocks"
        )
        parser.add_argument("--yes", action="store_true", help="with --remove: do not ask")
        arguments = parser.parse_args()
        sys.exit(_main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    from basinet.tracking.address import check_whole, checked_uri
    from basinet.tracking.store import TrackingStore

    uri = checked_uri(arguments.tracking_uri)
    tell_environment(arguments.tracking_uri)
    check_whole(uri)
    store = TrackingStore.open_existing(uri)
    if arguments.remove is not None:
        return _remove(store, arguments)
    return _examine(store, arguments)


def _examine(store: TrackingStore, arguments: argparse.Namespace) -> int:
    from basinet.analysis.amounts import amount
    from basinet.tracking import housekeeping

    health = housekeeping.examine(store)
    _print(_uses(store, health))
    closed = [*health.orphans, *(health.doubtful if arguments.force else [])]
    doubtful = [] if arguments.force else health.doubtful
    if not arguments.dry_run:
        housekeeping.close(store, closed)
    _print(_runs("would be closed" if arguments.dry_run else "closed as killed", closed))
    _print(_runs("open; if you know that it has ended: --force", doubtful))
    _print(_faults(health.faults))
    _print(_work(health, frees=arguments.free))
    if arguments.free:
        spare = sum(work.size for work in health.spare)
        freed = spare if arguments.dry_run else housekeeping.free(health)
        print(f"{'would be freed' if arguments.dry_run else 'freed'}: {amount(freed)}")
    needs_user = bool(doubtful or health.faults)
    print("something needs you, see above" if needs_user else "all is well")
    return int(needs_user)


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print(line)


def _uses(store: TrackingStore, health: Health) -> Iterator[str]:
    from basinet.analysis.amounts import amount

    yield f"store: {store.uri}"
    width = max(len(title) for title in ("experiment", *(use.experiment for use in health.uses)))
    yield f"  {'experiment':<{width}}  conditions  artifacts"
    for use in health.uses:
        artifacts = "elsewhere" if store.folder is None else amount(use.size)
        yield f"  {use.experiment:<{width}}  {use.conditions:>10}  {artifacts:>9}"
    tables, blocks = sum(use.size for use in health.uses), sum(work.size for work in health.work)
    parts = f"artifacts {amount(tables)}, database {amount(health.database)}, blocks {amount(blocks)}"
    yield f"disk: {amount(tables + health.database + blocks)} ({parts}); {amount(health.free)} free"


def _runs(what: str, runs: Sequence[Unended]) -> Iterator[str]:
    for one in runs[:_SHOWN]:
        yield f"{what}: {_named(one.run)}: {one.process} {one.presence.value}"
    yield from _more(what, runs)


def _faults(faults: Sequence[Fault]) -> Iterator[str]:
    for fault in faults[:_SHOWN]:
        yield f"damaged: {_named(fault.run)}: {fault.reason}"
    yield from _more("damaged", faults)
    if faults:
        yield "  the command that made it makes it again; --remove ID removes it"


def _more(what: str, things: Sequence[object]) -> Iterator[str]:
    if len(things) > _SHOWN:
        yield f"{what}: and {len(things) - _SHOWN} more"


def _named(run: Any) -> str:
    return f"run {run.info.run_id} ({run.info.run_name})"


def _work(health: Health, *, frees: bool) -> Iterator[str]:
    from basinet.analysis.amounts import amount

    by_state: dict[str, list[Work]] = {}
    for work in health.work:
        state = "finished" if work.is_finished else "unknown" if work.run is None else "unfinished"
        by_state.setdefault(state, []).append(work)
    anew = "and extending begins anew"
    remarks = {
        "unfinished": "the same command goes on from there",
        "finished": f"removed, {anew}" if frees else f"for extending; --free removes them, {anew}",
        "unknown": "this store has no run of them, but another one in this folder may",
    }
    for state, remark in remarks.items():
        found = by_state.get(state, [])
        if found:
            restarts = sum(work.restarts for work in found)
            size = amount(sum(work.size for work in found))
            yield f"blocks of {_count(len(found), f'{state} condition')}: {restarts:,} restarts, {size}; {remark}"
    if health.scraps:
        left = f"left by killed processes: {_count(len(health.scraps), 'file')}"
        yield left if frees else f"{left}; --free removes them"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _remove(store: TrackingStore, arguments: argparse.Namespace) -> int:
    from basinet.tracking import housekeeping

    plan = housekeeping.removal(store, arguments.remove, force=arguments.force)
    _print(_removal(plan))
    if arguments.dry_run:
        return 0
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise ConfigError("nothing was removed: there is no terminal to ask on; give --yes")
        if input("remove for good? [y/N] ").strip().casefold() not in ("y", "yes"):
            print("nothing was removed")
            return 1
    if housekeeping.remove(store, plan):
        print("removed")
    else:
        print("moved to the bin of the server; `mlflow gc` there empties it")
    return 0


def _removal(plan: Removal) -> Iterator[str]:
    from basinet.analysis.amounts import amount

    if plan.sweep is not None:
        yield f"sweep {plan.sweep.info.run_id} ({plan.sweep.info.run_name})"
    for run in plan.conditions[:_SHOWN]:
        yield f"  {_named(run)}"
    yield from _more("  runs", plan.conditions)
    yield f"in all {_count(len(plan.conditions), 'condition')}, {amount(plan.size)} with their blocks"
    if plan.kept:
        yield f"not {_count(len(plan.kept), 'condition')} that other launches have, too"
