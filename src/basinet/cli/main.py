"""`basinet`: one condition, or a sweep of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import basinet
from basinet.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from basinet.cli.plan import Plan
    from basinet.progress import SweepProgress
    from basinet.spread import Summary
    from basinet.sweep import Place

_PLACE = "BASINET_PLACE"
"""Environment variable that tells the jobs of a sweep, which a launcher may run elsewhere, where they belong."""

_progress: SweepProgress | None = None
"""The display of this process: jobs that run in it report there, jobs that run elsewhere have none."""


def main() -> None:
    """The console script."""
    try:
        sys.exit(_main(sys.argv[1:]))
    except ConfigError as error:
        sys.exit(f"basinet: {error}")
    except KeyboardInterrupt:
        sys.exit("basinet: interrupted")


def _main(raw: list[str]) -> int:
    if "--version" in raw:
        print(f"basinet {basinet.__version__}")
        return 0
    from hydra._internal.utils import get_args_parser

    arguments = get_args_parser().parse_args(raw)
    if arguments.help or arguments.hydra_help or arguments.info or arguments.cfg or arguments.shell_completion:
        _launch()
        return 0
    return _run(arguments, raw)


def _run(arguments: Namespace, raw: list[str]) -> int:
    from basinet.cli.plan import plan

    planned = plan(arguments, raw)
    return _execute(planned)


def _execute(planned: Plan) -> int:
    """Everything has been checked: from here on things are written."""
    global _progress  # noqa: PLW0603  (Hydra calls the job; there is no other way to hand it over)
    from basinet import sweep
    from basinet.progress import SweepProgress

    command = "basinet " + " ".join(planned.arguments) if planned.is_sweep else None
    place = sweep.begin(planned.tracking, planned.experiment, planned.studies, planned.varied, command)
    os.environ[_PLACE] = json.dumps(asdict(place))
    sys.argv[1:] = planned.arguments
    status, code, last = "FAILED", 1, None
    try:
        with SweepProgress(len(planned.studies)) as _progress:
            code = _launch()
            last = _progress.last
        status = "FINISHED" if code == 0 else "FAILED"
    except KeyboardInterrupt:
        status, code = "KILLED", 130
        print("basinet: interrupted; what had finished is kept", file=sys.stderr)
    finally:
        _progress = None
        summary = sweep.finish(place, planned.tracking, status)
    _print_end(place, summary or last)
    return code


def _launch() -> int:
    """Hand over to Hydra, which runs `_job` for every condition; the exit code."""
    import hydra

    from basinet.defaults import conf_directory

    try:
        hydra.main(version_base="1.3", config_path=str(conf_directory()), config_name="config")(_job)()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def _job(config: DictConfig) -> None:
    """One condition."""
    from basinet import sweep
    from basinet.cli.plan import settings_of
    from basinet.study import Study

    settings = settings_of(config)
    tracking = sweep.TrackingSettings.from_config(settings.pop("tracking"))
    study = Study.from_config(settings)
    fields = json.loads(os.environ[_PLACE])
    place = sweep.Place(**{**fields, "varied": tuple(fields["varied"])})
    if _progress is None:
        sweep.run_condition(study, tracking, place, lambda share: None)
        return
    _progress.begin(sweep.condition_name(study.columns, place.varied), study.restarts)
    _progress.end(sweep.run_condition(study, tracking, place, _progress.report))


def _print_end(place: Place, summary: Summary | None) -> None:
    from basinet.progress import print_spread

    if summary is not None:
        print()
        print_spread(summary.spread, summary.by, "Spread of the final losses over random restarts")
        if summary.figures is not None and summary.figures.is_dir():
            print(f"\nfigures   {_shown(summary.figures)}")
    print(f"browse    {_browse(place.uri)}")
    print(f"analyse   python -c 'import basinet; print(basinet.load_restarts(\"{place.experiment}\"))'")


def _browse(uri: str) -> str:
    beside = Path(sys.executable).parent / "mlflow"
    program = "mlflow" if shutil.which("mlflow") or not beside.exists() else _shown(beside)
    if not uri.startswith("sqlite:///"):
        return uri if uri.startswith("http") else f"{program} ui --backend-store-uri {uri}"
    path = Path(uri.removeprefix("sqlite:///"))
    if path == Path.cwd() / "mlflow.db":
        return f"{program} ui"
    return f"cd {path.parent} && {program} ui --backend-store-uri sqlite:///{path.name}"


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
