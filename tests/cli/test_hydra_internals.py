"""What basinet takes from Hydra's inside is as it was; where it is not, the failure says which version broke what."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from undocumented import as_it_was

SOURCE = Path(__file__).parents[2] / "src" / "basinet"
HYDRA = f"hydra-core {version('hydra-core')}"
OVERRIDES = "hydra.core.override_parser"

CALLED = [
    ("hydra._internal.callbacks", "Callbacks", "config"),
    ("hydra.core.plugins", "Plugins.instantiate_sweeper", "self hydra_context task_function config"),
    ("hydra.core.utils", "configure_log", "log_config verbose_config"),
    ("hydra.types", "HydraContext", "config_loader callbacks"),
    ("hydra._internal.core_plugins.basic_sweeper", "BasicSweeper.split_arguments", "overrides max_batch_size"),
    ("hydra._internal.core_plugins.basic_sweeper", "BasicSweeper.validate_batch_is_legal", "self batch"),
    ("hydra._internal.hydra", "Hydra.create_main_hydra2", "task_name config_search_path"),
    ("hydra._internal.utils", "create_config_search_path", "search_path_dir"),
    ("hydra._internal.utils", "get_args_parser", ""),
    ("hydra.core.config_search_path", "ConfigSearchPath.prepend", "self provider path anchor"),
    ("hydra.core.config_search_path", "SearchPathQuery", "provider path"),
    ("hydra.core.global_hydra", "GlobalHydra.instance", "args kwargs"),
    ("hydra.core.global_hydra", "GlobalHydra.clear", "self"),
    ("hydra.core.global_hydra", "GlobalHydra.config_loader", "self"),
    (
        "hydra.core.config_loader",
        "ConfigLoader.get_group_options",
        "self group_name results_filter config_name overrides",
    ),
    (f"{OVERRIDES}.overrides_parser", "OverridesParser.create", "config_loader"),
    (f"{OVERRIDES}.overrides_parser", "OverridesParser.parse_overrides", "self overrides"),
    *(
        (f"{OVERRIDES}.types", f"Override.{name}", "self")
        for name in ("is_add", "is_delete", "is_force_add", "is_sweep_override", "is_discrete_sweep", "value")
    ),
    (f"{OVERRIDES}.types", "Override.sweep_iterator", "self transformer"),
]


_as_it_was = partial(as_it_was, HYDRA, used_by="basinet/cli/hydra_internals.py")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder with a configuration and a group of two members, one of which needs a setting."""
    (tmp_path / "shape").mkdir()
    (tmp_path / "config.yaml").write_text("defaults:\n  - shape: round\n  - _self_\nsize: 1\n")
    (tmp_path / "shape" / "round.yaml").write_text("name: round\nradius: 2\n")
    (tmp_path / "shape" / "given.yaml").write_text("name: given\npath: ???\n")
    return tmp_path


@pytest.fixture
def internals(conf: Path) -> Iterator[Any]:
    """The module, while that configuration is ready."""
    with _as_it_was("a name that is imported, or how a configuration is made ready to be composed"):
        from basinet.cli import hydra_internals

        ready = hydra_internals.ready(conf, None)
        ready.__enter__()
    yield hydra_internals
    ready.__exit__(None, None, None)


@pytest.mark.parametrize(("module", "name", "expected"), CALLED, ids=[name for _, name, _ in CALLED])
def test_what_is_called_is_there_and_takes_what_it_took(module: str, name: str, expected: str) -> None:
    with _as_it_was(f"{module}.{name}({', '.join(expected.split())})"):
        found = attrgetter(name)(importlib.import_module(module))
        assert list(inspect.signature(found).parameters) == expected.split()


def test_the_command_line_is_read_with_the_flags_that_are_asked_about() -> None:
    with _as_it_was("hydra._internal.utils.get_args_parser"):
        from basinet.cli.hydra_internals import arguments_parser

        arguments = vars(arguments_parser().parse_intermixed_args(["a=1", "--multirun", "b=2", "--config-dir", "here"]))
        flags = {"help", "hydra_help", "shell_completion", "info", "cfg", "resolve", "package", "run"}
        flags |= {"config_name", "config_path", "experimental_rerun"}
        assert flags <= set(arguments)
        assert (arguments["overrides"], arguments["multirun"], arguments["config_dir"]) == (
            ["a=1", "b=2"],
            True,
            "here",
        )


def test_a_configuration_that_is_ready_is_composed_and_forgotten_afterwards(conf: Path) -> None:
    with _as_it_was("Hydra.create_main_hydra2, GlobalHydra or what a search path means"):
        from hydra import compose
        from hydra.core.global_hydra import GlobalHydra

        from basinet.cli import hydra_internals

        more = conf / "more"
        (more / "shape").mkdir(parents=True)
        (more / "shape" / "square.yaml").write_text("side: 3\n")
        with hydra_internals.ready(conf, more):
            assert compose("config", overrides=["shape=square"]) == {"shape": {"side": 3}, "size": 1}
            assert sorted(hydra_internals.members("shape")) == ["given", "round", "square"]
        assert not GlobalHydra.instance().is_initialized()


def test_a_group_has_members_and_a_member_settings_without_default(internals: Any) -> None:
    with _as_it_was("config_loader().get_group_options or config_loader().repository.load_config"):
        assert sorted(internals.members("shape")) == ["given", "round"]
        assert internals.settings_without_default("shape", "given") == {"path"}
        assert internals.settings_without_default("shape", "round") == set()


def test_an_override_tells_what_it_is(internals: Any) -> None:
    with _as_it_was("OverridesParser or Override"):
        parser = internals.overrides_parser()
        one, several, added, removed, every, between = parser.parse_overrides(
            ["size=3", "size=4,5", "+more=1", "~size", "shape=glob(*)", "size=interval(0,1)"]
        )
        assert (one.key_or_group, one.value(), one.input_line, one.is_sweep_override()) == ("size", 3, "size=3", False)
        assert (several.is_sweep_override(), several.is_discrete_sweep()) == (True, True)
        assert list(map(str, several.sweep_iterator())) == ["4", "5"]
        assert (added.is_add(), one.is_add(), added.is_force_add()) == (True, False, False)
        assert (removed.is_delete(), one.is_delete()) == (True, False)
        assert (between.is_sweep_override(), between.is_discrete_sweep()) == (True, False)
        assert [internals.is_glob(override) for override in (one, several, every)] == [False, False, True]
        assert sorted(map(str, every.sweep_iterator())) == ["given", "round"]


def test_values_are_counted_without_going_through_them(internals: Any) -> None:
    with _as_it_was("RangeSweep.start, stop and step"):
        lines = [
            "size=3",
            "size=4,5",
            "shape=glob(*)",
            "size=range(0,10,3)",
            "size=range(1,0,-0.25)",
            "size=range(3,0)",
        ]
        overrides = internals.overrides_parser().parse_overrides([*lines, "size=range(0,1e18)", "size=range(0,inf)"])
        assert [internals.values(one) for one in overrides] == [1, 2, 2, 4, 4, 0, 10**18, float("inf")]
        assert [len(list(one.sweep_iterator())) for one in overrides[1:6]] == [2, 2, 4, 4, 0]


def test_a_rehearsal_of_logging_leaves_it_as_it_was(internals: Any, tmp_path: Path) -> None:
    with _as_it_was("configure_log"):
        from hydra import compose

        lines = [f"hydra.runtime.output_dir={tmp_path}", "hydra.job.name=it", "hydra.job_logging.root.level=DEBUG"]
        config = compose("config", overrides=lines, return_hydra_config=True)
        before = (list(logging.root.handlers), logging.root.level)
        internals.rehearse_logging(config, "job_logging")
        assert (logging.root.handlers, logging.root.level) == before
        assert (tmp_path / "it.log").is_file()


def test_a_sweep_is_the_product_of_its_overrides_the_last_one_fastest(internals: Any) -> None:
    with _as_it_was("BasicSweeper.split_arguments"):
        overrides = internals.overrides_parser().parse_overrides(["size=1,2", "shape=round", "+more=3,4"])
        found = internals.conditions(overrides)
        assert found == [[f"size={a}", "shape=round", f"+more={b}"] for a in (1, 2) for b in (3, 4)]


def test_the_sweeper_composes_nothing_before_its_first_condition(
    internals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _as_it_was("BasicSweeper.sweep and the validate_batch_is_legal that it asks"):
        plugins = importlib.import_module("hydra.core.plugins").Plugins.instance()
        (sweeper,) = (found for found in plugins.discover() if found.__name__ == internals.SWEEPER)
        assert "self.validate_batch_is_legal(" in inspect.getsource(sweeper.sweep)
        monkeypatch.setattr(sweeper, "validate_batch_is_legal", sweeper.validate_batch_is_legal)  # afterwards as it was
        internals.compose_nothing_beforehand()
        assert sweeper.validate_batch_is_legal(None, [["no such setting=1"]]) is None


def test_launchers_and_the_sweeper_are_known_by_their_classes(internals: Any) -> None:
    with _as_it_was("the classes behind hydra/sweeper=basic, hydra/launcher=basic or hydra/launcher=joblib"):
        from hydra import compose

        for launcher, name in (("basic", internals.BASIC_LAUNCHER), ("joblib", internals.JOBLIB_LAUNCHER)):
            config = compose("config", overrides=[f"hydra/launcher={launcher}"], return_hydra_config=True)
            assert internals.is_of_class(config.hydra.launcher, name)
        assert internals.is_of_class(config.hydra.sweeper, internals.SWEEPER)


def test_an_unknown_setting_is_said_to_be_one(internals: Any) -> None:
    with _as_it_was("the sentence about a setting that does not exist"):
        from hydra import compose

        with pytest.raises(Exception, match="sise") as caught:
            compose("config", overrides=["sise=1"])
        assert internals.says_unknown(caught.value, "sise")
        assert not internals.says_unknown(caught.value, "size")


def test_what_hydra_says_of_a_missing_file_ends_before_its_search_path(internals: Any) -> None:
    with _as_it_was("the sentence about a file that does not exist"):
        from hydra import compose

        with pytest.raises(Exception, match="Config search path") as caught:
            compose("config", overrides=["shape=flat"])
        said = internals.without_search_path(str(caught.value))
        assert "shape/flat" in said
        assert "provider=" not in said


def test_no_other_module_looks_inside_hydra() -> None:
    inside = re.compile(r"hydra\._|hydra\.core|hydra_plugins")
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if inside.search(path.read_text("utf-8"))}
    assert found == {"cli/hydra_internals.py"}
