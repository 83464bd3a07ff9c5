"""`basinet-classify`: the verdicts about stored restarts taken again with other tolerances, without training."""

from __future__ import annotations

import argparse

from basinet.cli.script import script, tell_environment


def main() -> None:
    """The console script."""
    from basinet.workflows.reclassify import TAKEN_AGAIN

    with script("basinet-classify"):
        parser = argparse.ArgumentParser(prog="basinet-classify", description=__doc__)
        parser.add_argument("name", help="an experiment, or the id of a sweep or run")
        parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
        parser.add_argument("--output", help="write the restarts with their new kinds to this Parquet file")
        for name in TAKEN_AGAIN:
            help_text = f"certify.{name}, see conf/certify/standard.yaml; default: as each condition was trained"
            parser.add_argument(f"--{name}", metavar="NUMBER", help=help_text)
        arguments = parser.parse_args()
        tell_environment(arguments.tracking_uri)
        changes = {name: getattr(arguments, name) for name in TAKEN_AGAIN if getattr(arguments, name) is not None}
        _classify(arguments, changes)


def _classify(arguments: argparse.Namespace, changes: dict[str, str]) -> None:
    import pandas as pd

    from basinet.workflows.reclassify import reclassify

    table = reclassify(arguments.name, tracking_uri=arguments.tracking_uri, **changes)
    print(pd.crosstab(table["kind"], table["kind_before"], rownames=["now"], colnames=["before"]).to_string())
    if arguments.output:
        table.to_parquet(arguments.output, index=False)
        print(f"wrote {arguments.output}")
