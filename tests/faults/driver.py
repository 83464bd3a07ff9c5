"""`basinet` with small blocks of restarts: a line in `blocks.txt` for each that it begins, and for each of searches.

    python driver.py RESTARTS_PER_BLOCK ARGUMENT…

It says "ready" when it has imported what takes seconds, so that whoever kills it meets it at work.
"""

from __future__ import annotations

import sys
from typing import Any

from basinet.cli import main as script

job_of_basinet = script._job


def small_blocks(config: Any, place: Any, *workers: Any) -> None:
    """A condition, in whichever process the launcher chose; pickled by value, so that it arrives there."""
    from pathlib import Path

    from basinet.pipeline import landscape
    from basinet.pipeline import run as pipeline

    if not hasattr(pipeline, "solve_of_basinet"):
        solve = pipeline.solve_of_basinet = pipeline.solve
        pipeline._BLOCK_RESTARTS = restarts_per_block

        search = landscape.search

        def note(what: str, study: Any, numbers: range) -> None:
            with Path("blocks.txt").open("a") as file:
                file.write(f"{what} {study.key} {numbers.start} {numbers.stop}\n")

        def noting(study: Any, restarts: range, *rest: Any) -> Any:
            note("restarts", study, restarts)
            return solve(study, restarts, *rest)

        def noting_too(study: Any, settings: Any, known: Any, searches: range) -> Any:
            note("searches", study, searches)
            return search(study, settings, known, searches)

        pipeline.solve, landscape.search = noting, noting_too
    job_of_basinet(config, place, *workers)


if __name__ == "__main__":
    import mlflow.tracking  # noqa: F401

    import basinet.cli.plan
    import basinet.workflows.sweep  # noqa: F401

    restarts_per_block = int(sys.argv.pop(1))
    script._job = small_blocks
    print("ready", flush=True)
    script.main()
