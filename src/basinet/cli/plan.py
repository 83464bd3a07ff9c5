"""Which conditions a command line means, all of them checked before anything starts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from basinet.defaults import GROUPS, conf_directory
from basinet.errors import ConfigError, require, unknown

if TYPE_CHECKING:
    from basinet.study import Study
    from basinet.sweep import TrackingSettings


@dataclass(frozen=True)
class Plan:
    """What a command line asks for."""

    studies: list[Study]  # one per condition
    tracking: TrackingSettings
    experiment: str  # name of the MLflow experiment
    is_sweep: bool
    arguments: list[str]  # the command line that Hydra should see

    @property
    def varied(self) -> list[str]:
        """The settings in which the conditions differ, as columns of the tables."""
        first = self.studies[0].columns
        keys = dict.fromkeys(key for study in self.studies for key in study.columns)
        differing = [key for key in keys if any(study.columns.get(key) != first.get(key) for study in self.studies)]
        # Of a group whose choice varies, the choice says it all: its settings differ because their names do.
        groups = [key for key in differing if key in GROUPS]
        return [key for key in differing if key in groups or not _explained(key, groups, self.studies)]


def _explained(key: str, groups: Sequence[str], studies: Sequence[Study]) -> bool:
    """Whether the choice of a group fixes the value of this setting throughout."""
    for group in groups:
        if key.startswith(f"{group}.") or group == "problem":
            values: dict[Any, set[Any]] = {}
            for study in studies:
                values.setdefault(study.columns[group], set()).add(study.columns.get(key))
            if all(len(found) == 1 for found in values.values()):
                return True
    return False


def plan(arguments: Namespace, raw: Sequence[str]) -> Plan:
    """The plan of a parsed command line.

    Args:
        arguments: what Hydra's own parser made of it.
        raw: the command line itself.

    Raises:
        ConfigError: for the first thing that is wrong with any of the conditions.
    """
    extra = [] if arguments.config_dir is None else [_search_path(arguments.config_dir)]
    with _hydra():
        overrides, replaced = _parsed([*extra, *arguments.overrides])
        master = _composed([override for override in overrides if not override.is_sweep_override()])
        is_sweep = bool(arguments.multirun) or OmegaConf.select(master, "hydra.mode") is not None
        is_sweep = is_sweep and str(OmegaConf.select(master, "hydra.mode") or "MULTIRUN").endswith("MULTIRUN")
        swept = [override for override in overrides if override.is_sweep_override()]
        if swept and not is_sweep:
            raise ConfigError(f"{swept[0].input_line}: several values need -m (a sweep)")
        if any(override.key_or_group == "experiment" for override in swept):
            raise ConfigError("experiment: one study at a time; its own sweep would be ignored")
        configs = list(_conditions(master, overrides)) if is_sweep else [master]
    return _checked(configs, is_sweep, [replaced.get(argument, argument) for argument in raw])


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra's configuration of this program, with its errors turned into one line each."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_directory()), job_name="basinet"):
        yield


def _search_path(folder: str) -> str:
    path = Path(folder).absolute()
    require(path.is_dir(), f"--config-dir {folder}: no such folder")
    return f"hydra.searchpath=[file://{path}]"


def _parsed(lines: Sequence[str]) -> tuple[list[Override], dict[str, str]]:
    """The overrides, and which arguments were replaced by what.

    A glob over a group leaves out members that need a setting nobody gave (`init=given` without `init.path`).
    """
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    given = {line.split("=", 1)[0].lstrip("+~") for line in lines}
    replaced = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key in GROUPS and value == "glob(*)":
            incomplete = [name for name in loader.get_group_options(key) if not _needs(key, name) <= given]
            if incomplete:
                replaced[line] = f"{key}=glob(*,exclude=[{','.join(incomplete)}])"
    overrides = []
    for line in lines:
        try:
            (override,) = parser.parse_overrides([replaced.get(line, line)])
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"'{line}' is not a setting of the form key=value") from error
        _check_choices(override)
        overrides.append(override)
    return overrides, replaced


def _needs(group: str, name: str) -> set[str]:
    """The settings of a member that have no default."""
    from basinet.defaults import complete

    settings = complete({group: name})[group]
    return {f"{group}.{key}" for key, value in settings.items() if value == "???"}


def _check_choices(override: Override) -> None:
    """Raise `ConfigError` if an override chooses a member that a config group does not have."""
    loader = GlobalHydra.instance().config_loader()
    group = override.key_or_group
    if group not in (*GROUPS, "experiment") or override.is_delete():
        return
    options = loader.get_group_options(group)
    values = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    require(len(values) > 0, f"{override.input_line}: matches nothing; choose from {', '.join(options)}")
    for value in values:
        if value is not None and str(value) not in options:
            raise unknown(group, value, options)


def _composed(overrides: Sequence[Override]) -> DictConfig:
    lines = [override.input_line for override in overrides if override.input_line is not None]
    return _compose(lines)


def _compose(lines: Sequence[str]) -> DictConfig:
    try:
        config: DictConfig = compose("config", overrides=list(lines), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise _translated(error, lines) from error
    return config


def _translated(error: Exception, lines: Sequence[str]) -> ConfigError:
    """One line for what Hydra says in many."""
    for line in lines:
        key = line.partition("=")[0].lstrip("+~").partition("@")[0]
        if f"Could not override '{key}'" in str(error):
            rest = [other for other in lines if other != line]
            return unknown("setting", key, [*_leaves(_compose(rest)), *GROUPS, "experiment"])
    return ConfigError(" ".join(str(error).split()))


def _leaves(config: DictConfig) -> list[str]:
    """The dotted keys of all settings."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for key, value in node.items():
            if prefix or key != "hydra":
                yield f"{prefix}{key}"
                if isinstance(value, dict):
                    yield from walk(value, f"{prefix}{key}.")

    return list(walk(OmegaConf.to_container(config, resolve=False), ""))


def _conditions(master: DictConfig, overrides: Sequence[Override]) -> Iterator[DictConfig]:
    """The configuration of every condition of a sweep: a study's own sweep first, then the command line's."""
    params = OmegaConf.select(master, "hydra.sweeper.params") or {}
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    mine = [override for override in overrides if override.key_or_group != "hydra.searchpath"]
    search = [str(o.input_line) for o in overrides if o.key_or_group == "hydra.searchpath"]
    try:
        own = parser.parse_overrides([f"{key}={value}" for key, value in params.items()])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"hydra.sweeper.params of the study: {' '.join(str(error).split())}") from error
    for override in own:
        _check_choices(override)
    for batch in BasicSweeper.split_arguments([*own, *mine], None):
        for lines in batch:
            yield _compose([*search, *lines])


def _checked(configs: Sequence[DictConfig], is_sweep: bool, arguments: list[str]) -> Plan:
    """Every condition as a study: here the numerical libraries are needed for the first time."""
    from basinet.study import Study
    from basinet.sweep import TrackingSettings

    plain = [settings_of(config) for config in configs]
    require(len(plain) > 0, "this sweep has no conditions")
    tracking = TrackingSettings.from_config(plain[0].pop("tracking"))
    for settings in plain[1:]:
        require(TrackingSettings.from_config(settings.pop("tracking")) == tracking, "tracking.*: cannot be swept")
    studies = [Study.from_config(settings) for settings in plain]
    restarts = {study.restarts for study in studies}
    require(len(restarts) == 1, "restarts: cannot be swept; it is the same for all conditions of a sweep")
    chosen = configs[0].hydra.runtime.choices.get("experiment")
    name = tracking.experiment or chosen or "basinet"
    require(
        name == name.strip() and 0 < len(name) <= 250, f"tracking.experiment='{name}': not a name for an experiment"
    )
    return Plan(studies, tracking, name, is_sweep, arguments)


def settings_of(config: DictConfig) -> dict[str, Any]:
    """The settings of a condition as plain values, without Hydra's own."""
    visible = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        container = OmegaConf.to_container(visible, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key} is missing: give it as {key}=…" if key else " ".join(str(error).split())) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
