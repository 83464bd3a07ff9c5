"""Hydra's own settings, checked with the rest: launcher, sweeper, folders and logging, before anything is made.

Hydra looks at most of them only when it has begun, and says what is wrong in a traceback. Here it is rehearsed: folders
are tried beside the place where they will be, logging is set up and put back, the launcher is made and thrown away.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from basinet.cli import hydra_internals
from basinet.foundation.errors import ConfigError, require

_LONGEST_NAME = 255  # bytes of the name of a file, on every system there is


def check_hydra(config: DictConfig, is_sweep: bool) -> None:
    """Raise `ConfigError` for settings of Hydra's own that would fail only after something has been made."""
    for name in ("launcher", "sweeper"):
        chosen = config.hydra[name]
        right = OmegaConf.is_dict(chosen) and "_target_" in chosen
        require(right, f"hydra.{name}={chosen}: choose with hydra/{name}=…, its settings are hydra.{name}.key")
    require(
        hydra_internals.is_of_class(config.hydra.sweeper, hydra_internals.SWEEPER),
        "hydra/sweeper: only basic, whose conditions are known and checked before the first one starts",
    )
    most = config.hydra.sweeper.max_batch_size
    require(most is None or most >= 1, f"hydra.sweeper.max_batch_size={most}: must be at least 1, or null")
    require(not config.hydra.job.chdir, "hydra.job.chdir=true: paths of tables and starts would change their meaning")
    with _named("hydra.job.name"):
        name = str(config.hydra.job.name)
    require("/" not in name, f"hydra.job.name={name}: must be without '/', as the log is a file of that name")
    _check_environment(config)
    check_folders(config, is_sweep)
    _check_logging(config, is_sweep)
    with _named("hydra.callbacks"):
        hydra_internals.rehearse_callbacks(config)
    if is_sweep:
        _check_launcher(config.hydra.launcher)
        with _named("hydra.sweeper and hydra.launcher"):
            hydra_internals.rehearse_launcher(config)


def check_help(config: DictConfig) -> None:
    """Raise `ConfigError` if what Hydra shows of itself refers to what there is not."""
    for key in ("help", "hydra_help"):
        with _named(f"hydra.{key}"):
            OmegaConf.to_container(config.hydra[key], resolve=True)


def check_folders(config: DictConfig, is_sweep: bool) -> None:
    """Raise `ConfigError` if Hydra could not make the folders in which it notes what it runs."""
    key = "hydra.sweep.dir" if is_sweep else "hydra.run.dir"
    keys = [key, "hydra.sweep.subdir"] if is_sweep else [key]
    for one in keys:
        with _named(one):
            OmegaConf.select(_numbered(config), one)
    folder = hydra_internals.output_folder(_numbered(config), is_sweep).absolute()
    with _named("hydra.output_subdir"):
        inner = config.hydra.output_subdir
    refers = f"{key}={folder}: must be without '${{', which Hydra takes for a reference to a setting"
    require("${" not in str(folder), refers)
    _check_can_be_made(folder if inner is None else folder / inner, "=".join([key, str(folder)]))


def _numbered(config: DictConfig) -> DictConfig:
    """A configuration with the number that Hydra gives a condition."""
    config = config.copy()
    with open_dict(config):
        config.hydra.job.num, config.hydra.job.id = 0, f"{config.hydra.job.name}_0"
    return config


def _check_can_be_made(folder: Path, what: str) -> None:
    long = next((part for part in folder.parts if len(os.fsencode(part)) > _LONGEST_NAME), None)
    require(long is None, f"{what[:100]}…: the name of a folder has at most {_LONGEST_NAME} bytes")
    existing = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    writable = existing.is_dir() and os.access(existing, os.W_OK)
    require(writable, f"{what}: cannot be made, {existing} is not a folder that can be written to")
    try:
        tempfile.TemporaryDirectory(dir=existing).cleanup()
    except OSError as error:  # of a system's own folders, as /proc is one
        raise ConfigError(f"{what}: cannot be made, {existing} takes no folders ({error.strerror})") from error


def _check_environment(config: DictConfig) -> None:
    """Raise `ConfigError` for variables that no process can have."""
    with _named("hydra.job.env_set"):
        variables = OmegaConf.to_container(config.hydra.job.env_set, resolve=True)
        assert isinstance(variables, dict)
    for name in map(str, variables):
        require(name != "" and "=" not in name, f"hydra.job.env_set.{name}: is no name of a variable")


def _check_logging(config: DictConfig, is_sweep: bool) -> None:
    """Raise `ConfigError` unless logging can be set up; what it writes meanwhile is thrown away."""
    verbose = config.hydra.verbose
    names = verbose if OmegaConf.is_list(verbose) else [verbose]
    right = isinstance(verbose, bool) or all(isinstance(name, str) for name in names)
    require(right, f"hydra.verbose={verbose}: must be true, false or names of loggers")
    with tempfile.TemporaryDirectory() as aside:
        rehearsal = hydra_internals.as_run(config, is_sweep)
        with open_dict(rehearsal):
            rehearsal.hydra.runtime.output_dir = aside
        for key in ("hydra_logging", "job_logging"):
            with _named(f"hydra.{key}"):
                hydra_internals.rehearse_logging(rehearsal, key)


def _check_launcher(launcher: DictConfig) -> None:
    """Raise `ConfigError` for what a launcher would say only when its first condition is to begin."""
    checks = {
        hydra_internals.JOBLIB_LAUNCHER: _check_joblib,
        hydra_internals.SLURM_LAUNCHER: _check_slurm,
        hydra_internals.LOCAL_LAUNCHER: _check_submitit,
    }
    for name, check in checks.items():
        if hydra_internals.is_of_class(launcher, name):
            with _named("hydra.launcher"):
                settings = OmegaConf.to_container(launcher, resolve=True)
            assert isinstance(settings, dict)
            check({str(key): value for key, value in settings.items() if key != "_target_"})


# What joblib takes, as text of a whole pattern, or null. It is not asked itself: sources import nothing that unpickles.
_JOBLIB = {
    "batch_size": ("auto|[1-9][0-9]*", "auto, or at least 1"),
    "prefer": ("processes|threads", "processes, threads or null"),
    "require": ("", "null; conditions run in processes, which share no memory"),
    "timeout": ("", "null; a condition that takes longer would end the whole sweep"),
    "pre_dispatch": (r"all|[1-9][0-9]*|[0-9]*\*?n_jobs", "a number, all, or as 2*n_jobs"),
    "max_nbytes": ("[0-9]+[KMG]?", "a number of bytes, as 1M is one, or null"),
    "mmap_mode": (r"r|r\+|w\+|c", "r, r+, w+, c or null"),
}


def _check_joblib(settings: Mapping[str, Any]) -> None:
    jobs, folder = settings["n_jobs"], settings["temp_folder"]
    require(jobs != 0, "hydra.launcher.n_jobs=0: must be 1 or more, or -1 for as many as there are cores")
    require(folder is None or Path(folder).is_dir(), f"hydra.launcher.temp_folder={folder}: no such folder")
    for key, (pattern, right) in _JOBLIB.items():
        value = settings[key]
        fits = value is None or (pattern != "" and re.fullmatch(pattern, str(value)) is not None)
        require(fits, f"hydra.launcher.{key}={value}: must be {right}")


def _check_slurm(settings: Mapping[str, Any]) -> None:
    require(
        shutil.which("srun") is not None,
        "hydra/launcher=submitit_slurm: there is no srun here, which a machine of a Slurm cluster has; "
        "here submitit_local or joblib run several conditions at a time",
    )
    _check_submitit(settings)


def _check_submitit(settings: Mapping[str, Any]) -> None:
    for key in ("timeout_min", "tasks_per_node", "nodes", "cpus_per_task"):
        value = settings.get(key)
        require(value is None or value >= 1, f"hydra.launcher.{key}={value}: must be at least 1")
    for key in ("tasks_per_node", "nodes"):
        require(settings[key] == 1, f"hydra.launcher.{key}={settings[key]}: must be 1; a condition runs in one process")


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Within, whatever Hydra, or what it makes, raises is one line about `key`."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # they raise what they like
        cause = error.__cause__
        deeper = "" if cause is None or isinstance(cause, OmegaConfBaseException) else f" ({one_line(cause)})"
        raise ConfigError(f"{key}: {one_line(error)}{deeper}") from error


def one_line(error: BaseException) -> str:
    """What Hydra says in many lines."""
    text = hydra_internals.without_search_path(str(error))
    if isinstance(error, OmegaConfBaseException):  # the lines below the first one say where in Hydra it was
        text = text.partition("\n")[0]
    if isinstance(error.__cause__, OmegaConfBaseException):
        text = f"{text}: {one_line(error.__cause__)}"
    return " ".join(text.split()) or type(error).__name__
