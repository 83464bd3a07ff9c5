"""`basinet-replay`: one restart of a finished run again, or a later round of it, with everything on the way."""

from __future__ import annotations

import argparse
from pathlib import Path

from basinet.cli.script import script, tell_environment


def main() -> None:
    """The console script."""
    with script("basinet-replay"):
        parser = argparse.ArgumentParser(
            prog="basinet-replay", description="Train one restart of a finished run again."
        )
        parser.add_argument("run", help="the id of a condition's run; its first 8 characters do")
        parser.add_argument("restart", type=int, help="index of the restart")
        parser.add_argument("--round", type=int, default=0, help="of a restart that went on as a run (escape=…)")
        parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
        parser.add_argument("--output", type=Path, help="folder to write to; default: replay-RUN-RESTART[-ROUND]")
        arguments = parser.parse_args()
        tell_environment(arguments.tracking_uri)
        _replay(arguments)


def _replay(arguments: argparse.Namespace) -> None:
    from basinet.workflows.replay import replay

    found = replay(arguments.run, arguments.restart, round=arguments.round, tracking_uri=arguments.tracking_uri)
    row = found.row
    same = "yes, to the bit" if found.identical else "no: another machine, engine or version made them"
    where = f"restart {found.restart}" + f", round {found.round}," * (found.round > 0)
    print(f"{where} of {found.study.columns['problem']} {found.study.network}, seed {found.study.seed}")
    print(f"descended to  {float(row['loss_descended'])!r} in {int(row['steps']):,} steps ({row['status']})")
    print(f"ended at      {float(row['loss'])!r}: {str(row['kind']).replace('_', ' ')}, id {row['minimum']}")
    if found.eigenvalues is not None:
        print(f"spectrum      {' '.join(f'{value:.3g}' for value in found.eigenvalues[:12])}{_more(found.eigenvalues)}")
    print(f"same numbers  {same}")
    folder = arguments.output or Path(
        f"replay-{found.run_id[:8]}-{found.restart}" + f"-{found.round}" * (found.round > 0)
    )
    for path in found.save(folder):
        print(f"wrote         {path}")


def _more(eigenvalues: object) -> str:
    count = len(eigenvalues)  # type: ignore[arg-type]
    return f" … ({count} in all)" if count > 12 else ""
