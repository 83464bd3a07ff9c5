"""All that this program takes from Hydra's inside: names and sentences that its documentation does not promise.

A sweep is checked before anything is made, and Hydra's public interface composes one configuration, not a sweep.

Made for hydra-core 1.3.2, the oldest that `pyproject.toml` allows, and 1.3.8; with omegaconf 2.3. What another version
has changed of it `tests/cli/test_hydra_internals.py` says.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra._internal.core_plugins import basic_sweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from omegaconf import DictConfig, OmegaConf

__all__ = ["Override", "OverridesParser"]  # which others import from here

SWEEPER = "BasicSweeper"
"""The class of the sweeper whose conditions are known beforehand."""

BASIC_LAUNCHER, JOBLIB_LAUNCHER = "BasicLauncher", "JoblibLauncher"
"""The classes of launchers that run conditions on this machine: one at a time, and in several processes."""


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


def says_unknown(error: Exception, key: str) -> bool:
    """Whether Hydra raised this because there is no such setting."""
    return f"Could not override '{key}'" in str(error)


def without_search_path(text: str) -> str:
    """What Hydra says, without the folders in which it has looked."""
    return text.partition("Config search path")[0]
