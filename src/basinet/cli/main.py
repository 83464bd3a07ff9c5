"""`basinet`: one condition, or a sweep of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

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
        code = _main(sys.argv[1:])
    except (ConfigError, OSError, MemoryError) as error:  # what the user, the disk and the memory are to blame for
        print(f"basinet: {' '.join(str(error).splitlines())}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("basinet: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _main(raw: list[str]) -> int:
    if "--version" in raw:
        print(f"basinet {basinet.__version__}")
        return 0
    arguments = _parsed(raw)
    # Hydra's own reading of the command line wants the flags before the settings.
    flags = [word for word in raw if word not in arguments.overrides]
    if arguments.shell_completion:
        _check_completion(arguments.overrides)
    elif arguments.help or arguments.hydra_help or arguments.info or arguments.cfg:
        from basinet.cli.plan import check

        check(arguments)
    else:
        from basinet.cli.plan import plan

        return _execute(plan(arguments, flags))
    sys.argv[1:] = [*flags, *arguments.overrides]
    return _launch()


def _parsed(raw: list[str]) -> Namespace:
    """The command line as Hydra's own parser reads it, flags and settings in any order."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse
    arguments: Namespace = parser.parse_intermixed_args(raw)
    for flag in ("config_name", "config_path", "experimental_rerun"):
        if getattr(arguments, flag) is not None:
            _refuse(f"--{flag.replace('_', '-')} is Hydra's; studies of your own are found with --config-dir")
    modes = {"--run": arguments.run, "-m": arguments.multirun, "--cfg": arguments.cfg, "--info": arguments.info}
    chosen = [flag for flag, value in modes.items() if value]
    if len(chosen) > 1:
        _refuse(f"{chosen[0]} and {chosen[1]} do not go together")
    for flag in ("resolve", "package"):
        if getattr(arguments, flag) and not (arguments.cfg or arguments.help):
            _refuse(f"--{flag} belongs to --cfg")
    return arguments


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message} (settings are written key=value; see basinet --help)")


def _check_completion(settings: list[str]) -> None:
    """Raise `ConfigError` for what Hydra's shell completion would answer with a traceback."""
    verb, _, shell = settings[0].partition("=") if len(settings) == 1 else ("", "", "")
    if verb not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        raise ConfigError('--shell-completion: write eval "$(basinet --shell-completion install=bash)", or zsh or fish')
    if verb == "query" and "COMP_LINE" not in os.environ:
        raise ConfigError("--shell-completion: query is for the shell itself, which sets COMP_LINE")


def _execute(planned: Plan) -> int:
    """Everything has been checked: from here on things are written."""
    global _progress  # noqa: PLW0603  (Hydra calls the job; there is no other way to hand it over)
    from basinet import sweep
    from basinet.progress import SweepProgress

    command = shlex.join(["basinet", *planned.arguments]) if planned.is_sweep else None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler that stops us is a user with Ctrl-C
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
        summary = sweep.finish(place, planned.tracking, planned.studies, status)
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
    from basinet.cli.plan import settings_of, without_launch
    from basinet.study import Study

    settings = settings_of(config)
    tracking = sweep.TrackingSettings.from_config(settings)
    study = Study.from_config(without_launch(settings))
    fields = json.loads(os.environ[_PLACE])
    place = sweep.Place(**{**fields, "varied": tuple(fields["varied"])})
    if _progress is None:
        sweep.run_condition(study, tracking, place, lambda share: None)
        return
    _progress.begin(sweep.condition_name(study.columns, place.varied), study.restarts)
    summary = sweep.run_condition(study, tracking, place, _progress.report)
    if summary is not None:
        _progress.end(summary)


def _print_end(place: Place, summary: Summary | None) -> None:
    from basinet.progress import print_spread
    from basinet.tracking.store import default_uri

    if summary is not None:
        print()
        print_spread(summary.spread, summary.by, "Spread of the final losses over random restarts")
        if summary.figures is not None and summary.figures.is_dir():
            print(f"\nfigures   {_shown(summary.figures)}")
    print(f"browse    {_browse(place.uri)}")
    if summary is None:  # nothing has finished
        return
    elsewhere = "" if place.uri == default_uri() else f", tracking_uri={json.dumps(place.uri)}"
    call = f"basinet.load_restarts({json.dumps(place.experiment, ensure_ascii=False)}{elsewhere})"
    print(f"analyse   python -c {shlex.quote(f'import basinet; print({call})')}")


def _browse(uri: str) -> str:
    beside = Path(sys.executable).parent / "mlflow"
    program = "mlflow" if shutil.which("mlflow") or not beside.exists() else _shown(beside)
    if not uri.startswith("sqlite:///"):
        return uri if uri.startswith("http") else f"{program} ui --backend-store-uri {uri}"
    path = Path(uri.removeprefix("sqlite:///"))
    if path == Path.cwd() / "mlflow.db":
        return f"{program} ui"
    return f"cd {shlex.quote(str(path.parent))} && {program} ui --backend-store-uri {shlex.quote(f'sqlite:///{path.name}')}"


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
