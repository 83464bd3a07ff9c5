"""Which conditions a command line means: Hydra composes them, and what Hydra would do wrong is refused."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from hydra import compose
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from basinet.cli import hydra_internals
from basinet.cli.hydra_internals import Override, OverridesParser
from basinet.cli.hydra_settings import check_folders, check_help, check_hydra, one_line
from basinet.foundation import machine
from basinet.foundation.errors import ConfigError, require, unknown
from basinet.study.defaults import BUDGET, GROUPS, LAUNCH, LAUNCH_GROUPS, conf_directory

_CHOOSABLE = (*GROUPS, *LAUNCH_GROUPS, "experiment")
_CONDITIONS_PER_WORKER = 4  # starting a process takes as long as a few small conditions (measured)
_MOST_CONDITIONS = 10_000  # of a sweep: to check these takes minutes, and MLflow's pages are slow long before
_MOST_ENTRIES = 100_000  # of a YAML

_FIRST = ("network.activation=tanh", "objective.l2_weights=0.001", "objective.l2_biases=0.001")
_SHAPES = ("network.depth", "network.width")  # which say nothing of what is trained
_TABLE = "problem=table"
_PENALTIES = ("objective.l2_weights=0.01", "objective.l2_biases=0.01")  # with a table: near, finite bottoms
_DESCENT = "descent=lbfgs"  # with a table: arrives there, where gradient descent leaves most restarts on the way
_OF_ALL = ("descent.steps", "descent.tolerance", "descent.records")  # which say nothing of how to descend


class Remarkable(Protocol):
    """A condition of which there may be something to say."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user does not expect of it, a line each."""
        ...


@dataclass(frozen=True)
class Composed:
    """The conditions that a command line means, none of which has been looked at yet."""

    conditions: list[dict[str, Any]]  # settings as plain values, without Hydra's own
    study: str | None  # the member of `experiment` that was chosen
    is_sweep: bool
    swept: list[str]  # the settings with several values
    asked: list[str]  # the command line, as it was meant
    arguments: list[str]  # … and as Hydra should see it
    workers: int | None  # how many conditions run at a time; None: the launcher decides, and where
    dry_run: bool
    chosen: list[str]  # settings that were added since nothing was said of them

    def remarks(self, conditions: Iterable[Remarkable]) -> list[str]:
        """What was decided without being asked for, here and of the conditions, each once."""
        with_what = " ".join(self.chosen)
        xor, table = (
            f"no problem chosen: XOR, with {with_what}",
            f"a table is trained with {with_what} unless told otherwise",
        )
        first = [table if _TABLE in self.asked else xor] if self.chosen else []
        return [*first, *dict.fromkeys(remark for one in conditions for remark in one.remarks)]


def compose_all(arguments: Namespace, flags: Sequence[str]) -> Composed:
    """All conditions of a parsed command line.

    Args:
        arguments: what Hydra's own parser made of it.
        flags: the part of the command line that is not settings.

    Raises:
        ConfigError: for the first thing that keeps Hydra from composing or running one of them.
    """
    with _hydra(arguments.config_dir):
        chosen = _unless_given(arguments.overrides)
        overrides = _parsed([*arguments.overrides, *chosen])
        if any(override.key_or_group == "experiment" and override.is_sweep_override() for override in overrides):
            raise ConfigError("experiment: one study at a time; its own sweep would be ignored")
        master = _compose(_lines(override for override in overrides if not override.is_sweep_override()))
        is_sweep = bool(arguments.multirun) or str(master.hydra.mode).endswith("MULTIRUN")
        check_hydra(master, is_sweep)
        _check_sweeping(master, overrides, is_sweep)
        own = _study_sweep(master, overrides) if is_sweep else []
        configs = list(_conditions(own, overrides)) if is_sweep else [master]
        for config in configs if is_sweep else []:
            check_folders(config, is_sweep)
        swept = _lines(override for override in (*own, *overrides) if override.is_sweep_override())
    workers, launching = _workers(master, len(configs)) if is_sweep else (1, [])
    asked = [*flags, *_repeated(master, own, overrides)]
    conditions = [settings_of(config) for config in configs]
    require(len(conditions) > 0, "this sweep has no conditions")
    dry_run = conditions[0]["dry_run"]
    require(isinstance(dry_run, bool), f"dry_run={dry_run}: must be true or false")
    study = configs[0].hydra.runtime.choices.get("experiment")
    return Composed(conditions, study, is_sweep, swept, asked, [*asked, *launching], workers, dry_run, chosen)


def _workers(master: DictConfig, conditions: int) -> tuple[int | None, list[str]]:
    """How many conditions will run at a time, and what to tell Hydra for that.

    Unless a launcher was chosen: as many processes as there are cores, where there are enough conditions to make up for
    starting them. Fewer conditions run one after the other, each with all cores.
    """
    cores = machine.cores()
    launcher = master.hydra.launcher
    if master.executor.name != "local":
        basic = hydra_internals.is_of_class(launcher, hydra_internals.BASIC_LAUNCHER)
        told = f"executor={master.executor.name}: hands out blocks of all conditions itself; leave out hydra/launcher"
        require(basic, told)
        return 1, []
    if hydra_internals.is_of_class(launcher, hydra_internals.JOBLIB_LAUNCHER):
        asked = int(launcher.n_jobs)
        workers = min(conditions, asked if asked > 0 else cores)
        return workers, [f"hydra.launcher.n_jobs={workers}"]  # it would start all that are asked for
    if not hydra_internals.is_of_class(launcher, hydra_internals.BASIC_LAUNCHER):
        return None, []
    workers = min(cores, conditions // _CONDITIONS_PER_WORKER)
    if workers < 2:
        return 1, []
    return workers, ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}", "hydra.launcher.batch_size=1"]


def composed(arguments: Namespace) -> DictConfig:
    """The configuration that a command line asks to see.

    Raises:
        ConfigError: if Hydra could not show it.
    """
    if arguments.resolve and arguments.cfg in ("hydra", "all"):
        raise ConfigError("--resolve: only with --cfg job; some of Hydra's own settings are not there before it runs")
    with _hydra(arguments.config_dir):
        overrides = _parsed([*arguments.overrides, *_unless_given(arguments.overrides)])
        for override in overrides:
            if override.is_sweep_override():
                raise ConfigError(f"{override.input_line}: only one condition can be shown; give one value")
        config = _compose(_lines(overrides))
        check_help(config)
    if arguments.resolve:
        settings_of(config)
    return config


def _hydra(folder: str | None) -> AbstractContextManager[None]:
    """Hydra with the configuration of this program, and with the groups and studies of the user's `--config-dir`."""
    return hydra_internals.ready(conf_directory(), None if folder is None else _checked_folder(folder))


def _checked_folder(folder: str) -> Path:
    path = Path(folder).absolute()
    require(path.is_dir(), f"--config-dir {folder}: no such folder")
    for group in _CHOOSABLE:
        for file in sorted((path / group).glob("*.yaml")):
            builtin = conf_directory() / group / file.name
            taken = builtin.is_file() and not builtin.samefile(file)
            require(not taken, f"{file}: basinet has {group}={file.stem} itself, which would be used; rename yours")
            _check_size(file)
    return path


def _check_size(file: Path) -> None:
    """Raise `ConfigError` for what Hydra would read for ever: no file, or one whose aliases multiply."""
    require(file.is_file(), f"{file}: is not a file")
    try:
        entries = _entries(yaml.compose(file.read_text(encoding="utf-8")), {})
    except (yaml.YAMLError, UnicodeDecodeError):
        return  # if this file is the one that is asked for, Hydra says what is wrong
    except RecursionError as error:
        raise ConfigError(f"{file}: its entries are nested too deeply to be read") from error
    require(entries <= _MOST_ENTRIES, f"{file}: its aliases (*name) make more than {_MOST_ENTRIES:,} entries of it")


def _entries(node: yaml.Node | None, known: dict[int, float]) -> float:
    """How many entries a YAML has when its aliases are written out: each node is looked at once, inf if endless."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is known: one that contains itself has no end
        inner = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_entries(part, known) for part in inner)
    return known[id(node)]


def _unless_given(lines: Sequence[str]) -> list[str]:
    """Settings for a command that names no problem, no study and no objective, each unless it is given.

    They make of XOR what shows minima at a glance: without a penalty all of its levels are at infinity.
    """
    given = {line.split("=", 1)[0].lstrip("+~") for line in lines}
    if _TABLE in lines:
        return _for_a_table(given)
    if any(
        key.split(".")[0] in ("problem", "experiment", "objective", "network") and key not in _SHAPES for key in given
    ):
        return []
    return list(_FIRST)


def _for_a_table(given: set[str]) -> list[str]:
    """What ends in minima on the user's own data, unless the command or its study says how to train on them."""
    groups = {key.split(".")[0] for key in given - set(_OF_ALL)}
    if "experiment" in groups:
        return []
    descent = [] if "descent" in groups else [_DESCENT]
    return [*descent, *([] if "objective" in groups else _PENALTIES)]


def _parsed(lines: Sequence[str]) -> list[Override]:
    """The command line's settings as overrides, each checked by itself.

    A glob over a group leaves out members that need a setting nobody gave (`init=given` without `init.path`).
    """
    parser = hydra_internals.overrides_parser()
    given = {line.split("=", 1)[0].lstrip("+~") for line in lines}
    return [_without_incomplete(_override(parser, line), given, parser) for line in lines]


def _override(parser: OverridesParser, line: str) -> Override:
    key, equals, value = line.partition("=")
    require(key != "", f"'{line}' is not a setting of the form key=value")
    require(key != "hydra", f"{line}: is a group of settings, hydra.key=value")
    try:
        (override,) = parser.parse_overrides([line])
    except Exception as error:  # Hydra raises what it likes
        if equals:
            raise ConfigError(f"{key}: cannot read {value}; put special characters in quotes twice, '\"…\"'") from error
        raise ConfigError(f"'{line}' is not a setting of the form key=value") from error
    group, _, field = override.key_or_group.partition(".")
    if override.is_delete() and group != "hydra":
        raise ConfigError(f"{line}: a setting cannot be taken away; leave it out for the default")
    if override.key_or_group in _CHOOSABLE and (override.is_add() or override.is_force_add()):
        raise ConfigError(f"{line}: write it without the +")
    if group in (*GROUPS, *LAUNCH_GROUPS) and field == "name":
        raise ConfigError(f"{line}: choose with {group}={value}")
    if override.is_sweep_override() and not override.is_discrete_sweep():
        raise ConfigError(
            f"{line}: an interval has too many values to be swept; list some, or use range(start,stop,step)"
        )
    if override.is_sweep_override() and group in ("restarts", *LAUNCH, "hydra", "hydra/launcher", "hydra/sweeper"):
        raise ConfigError(f"{line}: {group} cannot be swept; it is the same for all conditions of a sweep")
    if override.is_sweep_override() and override.key_or_group == BUDGET:
        raise ConfigError(f"{line}: runs pass every smaller budget, so give the largest; see basinet.running_time")
    _check_count([override])
    _check_choices(override)
    return override


def _check_count(overrides: Sequence[Override]) -> None:
    """Raise `ConfigError` if a sweep has more conditions than anybody can wait for, without going through them."""
    counts = {override.key_or_group: hydra_internals.values(override) for override in overrides}  # the last one counts
    for override in overrides:
        require(math.isfinite(counts[override.key_or_group]), f"{override.input_line}: has no end; give it one")
    swept = [override for override in overrides if override.is_sweep_override()]
    total = math.prod(int(count) for count in counts.values())
    told = f"{' '.join(_lines(swept))[:200]}: {total:,} conditions, a sweep has at most {_MOST_CONDITIONS:,}"
    require(total <= _MOST_CONDITIONS, f"{told}; restarts=… is how many times each of them is tried")


def _check_choices(override: Override) -> None:
    """Raise `ConfigError` if an override chooses a member that a config group does not have."""
    group = override.key_or_group
    if (group not in _CHOOSABLE and "/" not in group) or override.is_delete():
        return
    options = hydra_internals.members(group)
    values = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    require(len(values) > 0, f"{override.input_line}: matches nothing; choose from {', '.join(options)}")
    for value in values:
        if str(value) not in options:
            raise unknown(group, "null" if value is None else value, options)


def _without_incomplete(override: Override, given: set[str], parser: OverridesParser) -> Override:
    """A glob over a group as the list of its members, but for those that need a setting that is not `given`."""
    group = override.key_or_group
    if group not in GROUPS or not hydra_internals.is_glob(override):
        return override
    names = [str(name) for name in override.sweep_iterator()]
    complete = [name for name in names if _needs(group, name) <= given]
    (listed,) = parser.parse_overrides([f"{group}={','.join(complete or names)}"])
    return listed


def _needs(group: str, name: str) -> set[str]:
    """The settings of a member that have no default."""
    return {f"{group}.{key}" for key in hydra_internals.settings_without_default(group, name)}


def _lines(overrides: Iterable[Override]) -> list[str]:
    return [override.input_line for override in overrides if override.input_line is not None]


def _compose(lines: Sequence[str]) -> DictConfig:
    try:
        config: DictConfig = compose("config", overrides=list(lines), return_hydra_config=True)
    except Exception as error:  # Hydra raises what it likes
        raise _translated(error, lines) from error
    return config


def _translated(error: Exception, lines: Sequence[str]) -> ConfigError:
    """One line for what Hydra says in many."""
    for line in lines:
        key = line.partition("=")[0].lstrip("+~").partition("@")[0]
        if hydra_internals.says_unknown(error, key):
            rest = [other for other in lines if other != line]
            return unknown("setting", key, [*_leaves(_compose(rest)), *_CHOOSABLE])
    return ConfigError(one_line(error))


def _leaves(config: DictConfig) -> list[str]:
    """The dotted keys of all settings, Hydra's too; the names that groups bear are not to be set."""

    def walk(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
        for key, value in node.items():
            if key != "name" or prefix == "hydra.job.":
                yield f"{prefix}{key}"
                if isinstance(value, dict):
                    yield from walk(value, f"{prefix}{key}.")

    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return list(walk({str(key): value for key, value in container.items()}, ""))


def _check_sweeping(master: DictConfig, overrides: Sequence[Override], is_sweep: bool) -> None:
    """Raise `ConfigError` if there are values to sweep over in a command that does not sweep."""
    if is_sweep:
        return
    for override in overrides:
        require(not override.is_sweep_override(), f"{override.input_line}: several values need -m (a sweep)")
    ignored = master.hydra.sweeper.params and master.hydra.mode is None
    require(not ignored, "the study has hydra.sweeper.params: give -m, or write hydra.mode: MULTIRUN into it")


def _study_sweep(master: DictConfig, overrides: Sequence[Override]) -> list[Override]:
    """What a study sweeps over by itself, unless the command line says otherwise."""
    params = master.hydra.sweeper.params or {}
    mine = {override.key_or_group for override in overrides}
    parser = hydra_internals.overrides_parser()
    try:
        lines = {str(key): f"{key}={value}" for key, value in params.items()}
    except OmegaConfBaseException as error:
        raise ConfigError(f"hydra.sweeper.params: {one_line(error)}") from error
    require("experiment" not in lines, "hydra.sweeper.params: a study cannot sweep over studies")
    own = [_override(parser, line) for key, line in lines.items() if key not in mine]
    given = mine | lines.keys()
    return [_without_incomplete(override, given, parser) for override in own]


def _conditions(own: Sequence[Override], overrides: Sequence[Override]) -> Iterator[DictConfig]:
    """The configuration of every condition of a sweep: a study's own sweep first, then the command line's.

    Raises:
        ConfigError: if there are more of them than anybody can wait for.
    """
    _check_count([*own, *overrides])
    try:
        conditions = hydra_internals.conditions([*own, *overrides])
    except Exception as error:  # of a kind of sweep that Hydra's own sweeper does not know
        raise ConfigError(one_line(error)) from error
    for lines in conditions:
        yield _compose(lines)


def _repeated(master: DictConfig, own: Sequence[Override], overrides: Sequence[Override]) -> list[str]:
    """The settings that Hydra, which reads everything again, has to see to arrive at the same conditions."""
    written = {f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()}
    return [*(line for line in _lines(own) if line not in written), *_lines(overrides)]


def settings_of(config: DictConfig) -> dict[str, Any]:
    """The settings of a condition as plain values, without Hydra's own."""
    visible = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        container = OmegaConf.to_container(visible, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} is missing: give it as {error.full_key}=…") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {one_line(error)}") from error
    assert isinstance(container, dict)
    require("experiment" not in container, "a study needs the line '# @package _global_' at its top")
    return {str(key): value for key, value in container.items()}
