"""`basinet-classify`: the verdicts about stored restarts taken again with other tolerances, without training."""

from __future__ import annotations

import argparse
import dataclasses

from basinet.cli.script import script


def main() -> None:
    """The console script."""
    from basinet.stages.certify import Tolerances

    parser = argparse.ArgumentParser(prog="basinet-classify", description=__doc__)
    parser.add_argument("name", help="an experiment, or the id of a sweep or run")
    parser.add_argument("--tracking-uri", help="the store; default: mlflow.db of the working directory")
    parser.add_argument("--output", help="write the restarts with their new kinds to this Parquet file")
    for field in dataclasses.fields(Tolerances):
        parser.add_argument(f"--{field.name}", type=float, default=field.default, help=f"default {field.default:g}")
    arguments = parser.parse_args()
    with script("basinet-classify"):
        _classify(arguments, Tolerances(**{f.name: getattr(arguments, f.name) for f in dataclasses.fields(Tolerances)}))


def _classify(arguments: argparse.Namespace, tolerances: object) -> None:
    import pandas as pd

    from basinet.workflows.reclassify import reclassify

    table = reclassify(arguments.name, tolerances, tracking_uri=arguments.tracking_uri)  # type: ignore[arg-type]
    print(pd.crosstab(table["kind"], table["kind_before"], rownames=["now"], colnames=["before"]).to_string())
    if arguments.output:
        table.to_parquet(arguments.output, index=False)
        print(f"wrote {arguments.output}")
