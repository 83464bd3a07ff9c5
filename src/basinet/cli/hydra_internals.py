"""All that this program takes from Hydra's inside: names and sentences that its documentation does not promise.

A sweep is checked before anything is made, and Hydra's public interface composes one configuration, not a sweep.

Made for hydra-core 1.3.2, the oldest that `pyproject.toml` allows, and 1.3.8; with omegaconf 2.3. What another version
has changed of it `tests/cli/test_hydra_internals.py` says.
"""

from __future__ import annotations

import logging
import math
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins import basic_sweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

__all__ = ["Override", "OverridesParser"]  # which others import from here

SWEEPER = "BasicSweeper"
"""The class of the sweeper whose conditions are known beforehand."""

BASIC_LAUNCHER, JOBLIB_LAUNCHER = "BasicLauncher", "JoblibLauncher"
"""The classes of launchers that run conditions on this machine: one at a time, and in several processes."""

SLURM_LAUNCHER, LOCAL_LAUNCHER = "SlurmLauncher", "LocalLauncher"
"""Submitit's: by the scheduler of a cluster, and in processes of this machine."""


def arguments_parser() -> ArgumentParser:
    """What Hydra reads its own command line with."""
    parser: ArgumentParser = get_args_parser()
    return parser


@contextmanager
def ready(conf: Path, more: Path | None) -> Iterator[None]:
    """Within, configurations can be composed from the folder `conf`, and first from the groups and files in `more`."""
    version.setbase("1.3")
    search_path = create_config_search_path(str(conf))
    if more is not None:
        search_path.prepend("command-line", f"file://{more}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    Hydra.create_main_hydra2(task_name="basinet", config_search_path=search_path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def overrides_parser() -> OverridesParser:
    """What reads settings; it knows the groups of the configuration that is `ready`."""
    parser: OverridesParser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return parser


def members(group: str) -> list[str]:
    """The members that a config group has."""
    found: list[str] = GlobalHydra.instance().config_loader().get_group_options(group)
    return found


def settings_without_default(group: str, member: str) -> set[str]:
    """Keys of a member that must be given."""
    config: DictConfig = GlobalHydra.instance().config_loader().repository.load_config(f"{group}/{member}").config
    return {str(key) for key in config if OmegaConf.is_missing(config, str(key))}


def is_glob(override: Override) -> bool:
    """Whether an override asks for all members of a group that a pattern matches."""
    return isinstance(override.value(), Glob)


def values(override: Override) -> float:
    """How many values a setting is given, without going through them: `math.inf` where they have no end."""
    if not override.is_sweep_override():
        return 1
    chosen = override.value()
    if not isinstance(chosen, RangeSweep):
        return sum(1 for _ in override.sweep_string_iterator())
    start, stop, step = chosen.start, chosen.stop, chosen.step
    if start is None or stop is None or step == 0 or not all(map(math.isfinite, (start, stop, step))):
        return math.inf
    return max(0, math.ceil((Fraction(stop) - Fraction(start)) / Fraction(step)))


def conditions(overrides: Sequence[Override]) -> list[list[str]]:
    """The settings of every condition of a sweep, in the order in which Hydra runs them."""
    return [lines for batch in basic_sweeper.BasicSweeper.split_arguments(list(overrides), None) for lines in batch]


def compose_nothing_beforehand() -> None:
    """Let Hydra start a sweep at once: it would compose all conditions first, which the plan has done.

    The class is looked up now: Hydra, when it looks for plugins, executes their modules again and uses those classes.
    """
    basic_sweeper.BasicSweeper.validate_batch_is_legal = lambda self, batch: None


def is_of_class(chosen: DictConfig, name: str) -> bool:
    """Whether a launcher or sweeper, as it is configured, is of a class of this name."""
    return str(chosen["_target_"]).rpartition(".")[2] == name


def as_run(config: DictConfig, is_sweep: bool) -> DictConfig:
    """A configuration with what Hydra itself sets when it runs it, as the first condition of a sweep or by itself.

    Raises:
        OmegaConfBaseException: for a folder that refers to what there is not.
    """
    config = config.copy()
    with open_dict(config):
        config.hydra.job.num = 0
        config.hydra.job.id = f"{config.hydra.job.name}_0"
        config.hydra.runtime.output_dir = str(output_folder(config, is_sweep).absolute())
    return config


def output_folder(config: DictConfig, is_sweep: bool) -> Path:
    """Where Hydra puts the files of a condition; raises `OmegaConfBaseException` if it refers to what there is not."""
    if not is_sweep:
        return Path(str(OmegaConf.select(config, "hydra.run.dir")))
    return Path(str(OmegaConf.select(config, "hydra.sweep.dir")), str(OmegaConf.select(config, "hydra.sweep.subdir")))


def rehearse_logging(config: DictConfig, key: str) -> None:
    """Set up logging as Hydra will, and put it back; raises whatever is wrong with it."""
    names = logging.root.manager.loggerDict.values()
    loggers = [logging.root, *(one for one in names if isinstance(one, logging.Logger))]
    before = [(one, list(one.handlers), one.level, one.disabled, one.propagate) for one in loggers]
    known = list(logging._handlerList)  # type: ignore[attr-defined]  # one may be made and then belong to no logger
    there = {handler() for handler in known}
    try:
        configure_log(config.hydra[key], config.hydra.verbose)
    finally:
        made = {handler() for handler in logging._handlerList} - {*there, None}  # type: ignore[attr-defined]
        for one, handlers, level, disabled, propagate in before:
            one.handlers[:], one.disabled, one.propagate = handlers, disabled, propagate
            one.setLevel(level)
        for handler in made:
            handler.close()
        logging._handlerList[:] = known  # type: ignore[attr-defined]


def rehearse_callbacks(config: DictConfig) -> None:
    """Make the callbacks as Hydra will; raises whatever is wrong with their settings."""
    Callbacks(config)


def rehearse_launcher(config: DictConfig) -> None:
    """Make the sweeper and its launcher as Hydra will; raises whatever is wrong with their settings."""
    context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks())
    Plugins.instance().instantiate_sweeper(hydra_context=context, task_function=lambda _: None, config=config)


def says_unknown(error: Exception, key: str) -> bool:
    """Whether Hydra raised this because there is no such setting."""
    return f"Could not override '{key}'" in str(error)


def without_search_path(text: str) -> str:
    """What Hydra says, without the folders in which it has looked."""
    return text.partition("Config search path")[0]


def number_of_job() -> int:
    """The number of this condition in its sweep, as Hydra counts them from 0."""
    from hydra.core.hydra_config import HydraConfig

    return int(HydraConfig.get().job.num)
