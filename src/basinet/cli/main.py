"""`basinet`: one condition, or a sweep of them."""

from __future__ import annotations

import io
import json
import math
import os
import shlex
import shutil
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import basinet
from basinet.cli.script import blame, keep_interrupts, keep_logs_quiet, script, tell_environment
from basinet.cli.terminal import columns, folded
from basinet.cli.waiting import waiting
from basinet.foundation.errors import ConfigError, is_interrupt

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from basinet.analysis.spread import Summary
    from basinet.cli.plan import Plan
    from basinet.cli.waiting import Say
    from basinet.executors import Crew, ExecutorGone
    from basinet.workflows.handing import Handing
    from basinet.workflows.journal import Journal
    from basinet.workflows.sweep import Ended, Place


def main() -> None:
    """The console script."""
    with script("basinet"):
        sys.exit(_main(sys.argv[1:]))


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
        from basinet.cli.compose import composed
        from basinet.cli.help import explain

        config = composed(arguments)
        if arguments.help:
            print(explain(config, arguments.config_dir))
            return 0
    else:
        return _begin(arguments, flags)
    sys.argv[1:] = [*flags, *arguments.overrides]
    return _printed(lambda: _launch(lambda config: None))


def _begin(arguments: Namespace, flags: list[str]) -> int:
    """Check everything that is asked for, and do it, or show what would be done."""
    with waiting() as say:
        say("loading Hydra")
        from basinet.cli.compose import compose_all
        from basinet.cli.dry_run import check_room, check_time, finished, show, show_finished
        from basinet.cli.plan import plan, tracking_of

        say("reading the settings")
        composed = compose_all(arguments, flags)
        say("looking at the store")
        from basinet.tracking.address import check_whole, check_writable, checked_uri

        uri = checked_uri(tracking_of(composed).uri)
        check_whole(uri)
        check_writable(uri)
        done = finished(composed) if composed.dry_run else []
        planned = None if done else plan(composed, say)
    tell_environment(uri)
    if planned is None:
        return show_finished(composed, done)
    if composed.dry_run:
        return show(planned)
    with ExitStack() as opened:
        with waiting() as say:
            say("reaching the workers")
            crew = opened.enter_context(planned.executor.open())
            if crew is None:
                _check_compiler(planned, say)
            check_room(planned)
        check_time(planned)
        return _execute(planned, crew)


def _printed(show: Callable[[], int]) -> int:
    """Print what Hydra shows when it has: it would answer a pipe that is closed with a traceback."""
    with redirect_stdout(io.StringIO()) as shown:
        code = show()
    print(shown.getvalue(), end="")
    return code


def _check_compiler(planned: Plan, say: Say) -> None:
    """Compile one of the kernels that `engine=native` asks for, which is kept: a broken compiler is noticed here."""
    study = next((study for study in planned.studies if study.execution.engine == "native"), None)
    if study is not None:
        say("compiling the kernel")
        study.engine  # noqa: B018


def _parsed(raw: list[str]) -> Namespace:
    """The command line as Hydra's own parser reads it, flags and settings in any order."""
    from basinet.cli.hydra_internals import arguments_parser

    parser = arguments_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    arguments = parser.parse_intermixed_args(raw)
    for flag in ("config_name", "config_path", "experimental_rerun"):
        if getattr(arguments, flag) is not None:
            _refuse(f"--{flag.replace('_', '-')} is Hydra's; studies of your own are found with --config-dir")
    modes = {"--run": arguments.run, "-m": arguments.multirun, "--cfg": arguments.cfg, "--info": arguments.info}
    chosen = [flag for flag, value in modes.items() if value]
    if len(chosen) > 1:
        _refuse(f"{chosen[0]} and {chosen[1]} do not go together")
    for flag in ("resolve", "package"):
        if getattr(arguments, flag) and not arguments.cfg:
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


def _execute(planned: Plan, crew: Crew | None) -> int:
    """Everything has been checked: from here on things are written."""
    from basinet.tracking.address import checked_uri
    from basinet.tracking.glance import is_known

    is_told = is_known(checked_uri(planned.tracking.uri), planned.experiment)
    if is_told:  # before the seconds that MLflow takes; another store may refuse yet, in one line
        _print_first(planned)
    with waiting() as say:
        say("loading MLflow")
        from basinet.workflows import sweep
        from basinet.workflows.journal import Follower
        from basinet.workflows.progress import SweepProgress, print_failures

        say("opening the store")
        command = shlex.join(["basinet", *planned.composed.asked]) if planned.is_sweep else None
        place = sweep.begin(
            planned.tracking, planned.experiment, planned.studies, planned.varied, planned.threads, command
        )
    sys.argv[1:] = planned.composed.arguments
    status, code = "FAILED", 1
    progress = SweepProgress(len(planned.studies))
    try:
        if not is_told:
            _print_first(planned)
        with progress, Follower(Path(place.journal), progress.show), _handing(planned, place, crew) as handing:
            code = _launch(lambda config: _job(config, place, handing))
        if progress.failures:
            code = 1
        status = "FINISHED" if code == 0 else "FAILED"
    except KeyboardInterrupt:
        status, code = "KILLED", 130
        print("basinet: interrupted; what had finished is kept, the same command goes on from there", file=sys.stderr)
    finally:
        summary = sweep.finish(place, planned.tracking, planned.studies, status)
    print_failures(progress.failures)
    _print_end(planned, place, summary or _summary_of(progress.last))
    return code


def _print_first(planned: Plan) -> None:
    """What is going to be run."""
    from basinet.cli.dry_run import print_room

    restarts, many = planned.studies[0].restarts, len(planned.studies)
    most = "up to " if planned.studies[0].is_auto else ""
    each = " each" if many > 1 else ""
    print(f"{many:,} condition{'s' * (many > 1)}, {most}{restarts:,} restarts{each}", file=sys.stderr)
    print_room(planned)
    for remark in planned.remarks:
        print(folded(f"note: {remark}", len("note: "), columns(sys.stderr)), file=sys.stderr)


def _summary_of(event: dict[str, Any] | None) -> Summary | None:
    """The summary of a launch of one condition, from how it ended."""
    import pandas as pd

    from basinet.analysis.spread import Summary

    if event is None:
        return None
    figures = None if event["figures"] is None else Path(event["figures"])
    levels = pd.DataFrame(event["bottoms"], columns=_LEVELS)
    levels = levels.astype({"loss": float, "share": float, "bottoms": int, "orbits": float})  # there may be none
    symmetries, found = tuple(event["symmetries"]), tuple((name, told) for name, told in event["landscapes"])
    row = pd.DataFrame([event["row"]])
    return Summary(row, levels, ["condition"], event["run"], figures, symmetries, landscapes=found)


_LEVELS = ["kind", "loss", "share", "bottoms", "orbits"]
"""Of a condition that is alone: what the launching process shows of its bottoms."""


def _launch(job: Callable[[DictConfig], None]) -> int:
    """Hand over to Hydra, which runs `job` for every condition, perhaps in other processes; the exit code."""
    import hydra

    from basinet.cli.hydra_internals import compose_nothing_beforehand
    from basinet.study.defaults import conf_directory

    compose_nothing_beforehand()
    try:
        hydra.main(version_base="1.3", config_path=str(conf_directory()), config_name="config")(job)()
    except SystemExit as end:
        if is_interrupt(end):  # Hydra has been interrupted, and something of its own failed then
            raise KeyboardInterrupt from end
        return end.code if isinstance(end.code, int) else 1
    return 0


@contextmanager
def _handing(planned: Plan, place: Place, crew: Crew | None) -> Iterator[Handing | None]:
    """What hands the blocks of all conditions to workers, where there are any."""
    if crew is None:
        yield None
        return
    from basinet.workflows.handing import Handing
    from basinet.workflows.journal import Journal

    journal = Journal(Path(place.journal), planned.composed.conditions[0]["executor"]["name"])
    handing = Handing(crew, planned.studies, planned.tracking, place, journal.report_pace)
    try:
        yield handing
    finally:
        handing.close()


def _job(config: DictConfig, place: Place, handing: Handing | None = None) -> None:
    """One condition; what goes wrong is written down, and the next one begins."""
    from basinet.cli.compose import settings_of
    from basinet.cli.hydra_internals import number_of_job
    from basinet.cli.plan import without_launch
    from basinet.executors import ExecutorGone
    from basinet.study.study import Study
    from basinet.workflows import sweep
    from basinet.workflows.journal import Journal
    from basinet.workflows.launch import TrackingSettings, condition_name

    keep_interrupts()  # it may be another process than the one that was launched
    keep_logs_quiet()
    settings = settings_of(config)
    tracking = TrackingSettings.from_config(settings)
    study = Study.from_config({**without_launch(settings), "threads": settings["threads"] or place.threads})
    number = 0 if place.sweep_id is None else number_of_job()
    journal = Journal(Path(place.journal), condition_name(study.columns, place.varied))
    journal.write("begin", restarts=study.restarts)
    try:
        with journal.listening():
            if handing is None:
                ended = sweep.run_condition(study, tracking, place, journal.report, number)
            else:
                ended = handing.run_condition(journal.report, number)
    except Exception as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        if isinstance(error, ExecutorGone):  # no other condition will get any further
            raise SystemExit(_gone(error)) from error
        told = blame(error)
        journal.write("failed", error=traceback.format_exc() if told is None else f"{type(error).__name__}: {told}")
    else:
        _write_end(journal, ended, alone=place.sweep_id is None)


def _gone(error: ExecutorGone) -> int:
    """Say that a launch ends since its workers are out of reach; the exit code."""
    told = " ".join(str(error).split())
    print(f"basinet: {told}; what has come back is kept, the same command goes on from there", file=sys.stderr)
    return 1


def _write_end(journal: Journal, ended: Ended, *, alone: bool) -> None:
    """What the launching process shows of a condition; of one that is `alone`, its bottoms, too."""
    if ended.summary is None:
        journal.write("skipped")
        return
    row = json.loads(ended.summary.spread.iloc[0].to_json())
    row = {key: math.nan if value is None else value for key, value in row.items()}
    summary = ended.summary
    figures = None if summary.figures is None else str(summary.figures)
    levels = summary.bottoms[_LEVELS] if alone else summary.bottoms.iloc[:0]
    journal.write(
        "end",
        row=row,
        figures=figures,
        before=ended.before,
        run=summary.run,
        bottoms=levels.to_numpy().tolist(),
        symmetries=summary.symmetries,
        landscapes=summary.landscapes,
    )


def _print_end(planned: Plan, place: Place, summary: Summary | None) -> None:
    from basinet.workflows.summary import print_summary

    if summary is not None:
        print()
        print_summary(summary, [{**study.columns, "parameters": study.network.size} for study in planned.studies])
        print()
        if summary.figures is not None and summary.figures.is_dir():
            _print_if_it_fits(f"figures   {_shown(summary.figures)}")
    print(f"browse    {_browse(place.uri)}")
    if summary is None:  # nothing has finished
        return
    elsewhere = "" if _is_usual(place) else f", tracking_uri={json.dumps(place.uri)}"
    call = f"basinet.load_restarts({json.dumps(place.experiment, ensure_ascii=False)}{elsewhere})"
    print(f"analyse   python -c {shlex.quote(f'import basinet; print({call})')}")
    there = [] if _is_usual(place) else ["--tracking-uri", place.uri]
    name = summary.run if place.experiment == "basinet" else place.experiment  # that of a study says more
    print(f"report    {shlex.join(['basinet-report', name, *there])}")


def _is_usual(place: Place) -> bool:
    from basinet.tracking.address import default_uri

    return place.uri == default_uri()


def _print_if_it_fits(line: str) -> None:
    """A line that the report makes unnecessary: in a terminal that would break it, it is left out."""
    if not sys.stdout.isatty() or len(line) <= shutil.get_terminal_size().columns:
        print(line)


def _browse(uri: str) -> str:
    from basinet.tracking.address import default_uri

    if uri.startswith("http"):
        return uri
    beside = Path(sys.executable).parent / "basinet-ui"
    program = "basinet-ui" if shutil.which("basinet-ui") or not beside.exists() else _shown(beside)
    return program if uri == default_uri() else shlex.join([program, "--tracking-uri", uri])


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
