"""`conf/` and the code are two views of one thing: every YAML builds, and every member has one of its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import basinet
from basinet.descents import DESCENTS
from basinet.escapes import ESCAPES
from basinet.executors import EXECUTORS
from basinet.foundation.errors import ConfigError
from basinet.inits import INITS
from basinet.objectives import OBJECTIVES
from basinet.problems import PROBLEMS
from basinet.study.defaults import GROUPS, LAUNCH, LAUNCH_GROUPS, complete, conf_directory, explanations
from basinet.study.resolve import filled
from basinet.study.study import Study

CONF = conf_directory()
MEMBERS = [(group, path.stem) for group in (*GROUPS, *LAUNCH_GROUPS) for path in sorted((CONF / group).glob("*.yaml"))]
OF_STUDIES = [(group, name) for group, name in MEMBERS if group in GROUPS]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# What a member cannot do without, beside what it has itself.
COMPANIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("objective", "population"): {"problem": "gaussian_teacher", "network": {"activation": "erf"}}
}
# Files of a family that are not members.
HELPERS = {"__init__", "samples", "scaled", "budget", "losses", "plain", "line_search", "curvature_pairs", "classics"}
HELPERS |= {"seam", "fresh", "metropolis"}
HELPERS |= {"arrays", "csv_file", "labels", "standardization"}
HELPERS |= {"rosenbrock", "dormand_prince", "switching", "chebyshev", "horizon", "trial"}  # of the gradient flow


@pytest.fixture
def needed(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """A value for every setting that has no default."""
    np.savez(tmp_path / "starts.npz", np.zeros((1000, 9)))
    (tmp_path / "data.csv").write_text("x,y\n1,2\n3,5\n")
    return {
        "given": {"path": str(tmp_path / "starts.npz")},
        "table": {"path": str(tmp_path / "data.csv"), "targets": ["y"]},
    }


def test_the_groups_are_the_folders_of_conf() -> None:
    assert {*GROUPS, *LAUNCH_GROUPS, "experiment", "hydra"} == {path.name for path in CONF.iterdir() if path.is_dir()}


@pytest.mark.parametrize(
    ("group", "folder", "family"),
    [
        ("problem", "problems", PROBLEMS),
        ("init", "inits", INITS),
        ("descent", "descents", DESCENTS),
        ("objective", "objectives", OBJECTIVES),
        ("escape", "escapes", ESCAPES),
        ("executor", "executors", EXECUTORS),
    ],
)
def test_every_member_of_a_family_has_a_file_and_a_yaml_of_its_name_and_the_other_way_round(
    group: str, folder: str, family: dict[str, Any]
) -> None:
    yamls = {name for kind, name in MEMBERS if kind == group}
    files = {path.stem for path in (Path(basinet.__file__).parent / folder).glob("*.py")} - HELPERS
    assert yamls == set(family) == files


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_a_member_bears_the_name_of_its_file(group: str, name: str) -> None:
    assert yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))["name"] == name


@pytest.mark.parametrize(("group", "name"), [*MEMBERS, *(("experiment", name) for name in EXPERIMENTS)], ids=str)
def test_a_yaml_begins_with_one_line_that_describes_it(group: str, name: str) -> None:
    lines = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    if group == "experiment":
        assert lines.pop(0) == "# @package _global_"
    assert lines[0].startswith("# ")
    assert 10 <= len(lines[0]) <= 120


@pytest.mark.parametrize("path", [CONF / "config.yaml", *(CONF / group / f"{name}.yaml" for group, name in MEMBERS)])
def test_every_setting_is_explained_in_its_line(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings = {key: value for key, value in content.items() if key not in ("name", "defaults", "hydra", "tracking")}
    keys = {*settings, *(f"tracking.{key}" for key in content.get("tracking", ()))}
    explained = explanations(path)
    assert keys <= explained.keys()
    assert all(2 <= len(explained[key]) <= 130 for key in keys)


@pytest.mark.parametrize(("group", "name"), OF_STUDIES)
def test_every_yaml_builds_a_study(group: str, name: str, needed: dict[str, dict[str, Any]]) -> None:
    """`fill` takes no key too many and none too few, so the YAML and the dataclass agree."""
    study = Study.from_config({group: {"name": name, **needed.get(name, {})}, **COMPANIONS.get((group, name), {})})
    assert study.settings[group]["name"] == name


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_yaml_of_an_executor_fills_it(name: str) -> None:
    settings = yaml.safe_load((CONF / "executor" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(filled(EXECUTORS, {"executor": settings}, "executor"), EXECUTORS[name])


@pytest.mark.parametrize(("group", "name"), OF_STUDIES)
def test_what_has_no_default_is_asked_for_by_its_name(group: str, name: str, needed: dict[str, dict[str, Any]]) -> None:
    for key in needed.get(name, {}):
        rest = {other: value for other, value in needed[name].items() if other != key}
        with pytest.raises(ConfigError, match=rf"^{group}\.{key} is missing: give it as {group}\.{key}="):
            Study.from_config({group: {"name": name, **rest}})


@pytest.mark.parametrize(("group", "name"), OF_STUDIES)
def test_the_settings_read_without_hydra_are_those_that_hydra_composes(
    group: str, name: str, command: Callable[[str], Any]
) -> None:
    answer = command(f"--cfg job {group}={name}")
    assert answer.code == 0
    composed = yaml.safe_load(answer.out)
    for key in LAUNCH:  # not of the study, but of how it is launched
        composed.pop(key)
    assert composed == complete({group: name})


@pytest.fixture
def planned(command: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[str, list[Study]]]:
    """The experiment's name and the conditions that a command line means, taken where they would be begun."""

    def call(line: str) -> tuple[str, list[Study]]:
        seen: list[tuple[str, list[Study]]] = []

        def begin(tracking: object, experiment: str, studies: list[Study], *rest: object) -> None:
            seen.append((experiment, studies))
            raise ConfigError("enough seen")

        monkeypatch.setattr("basinet.workflows.sweep.begin", begin)
        answer = command(line)
        assert answer.err.endswith("basinet: enough seen\n")
        return seen[0]

    return call


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_study_composes_and_all_its_conditions_are_valid(
    name: str, planned: Callable[[str], tuple[str, list[Study]]]
) -> None:
    experiment, studies = planned(f"experiment={name}")
    assert experiment == name
    study = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())
    params = study["hydra"]["sweeper"]["params"] if "hydra" in study else {}  # a study may be one condition
    assert len(studies) == math.prod(len(str(values).split(",")) for values in params.values())
    assert len({str(study.columns) for study in studies}) == len(studies)


def test_a_study_says_how_many_restarts_it_has(planned: Callable[[str], tuple[str, list[Study]]]) -> None:
    """With `_self_` behind `experiment` in the defaults list, config.yaml would win over the study."""
    _, studies = planned("experiment=depth")
    wanted = yaml.safe_load((CONF / "experiment" / "depth.yaml").read_text())
    assert {study.restarts for study in studies} == {wanted["restarts"]}
    assert {study.network.activations[0].name for study in studies if study.network.depth > 1} == {
        wanted["network"]["activation"]
    }


def test_the_command_line_wins_over_a_study_and_over_its_sweep(
    planned: Callable[[str], tuple[str, list[Study]]],
) -> None:
    _, studies = planned("experiment=depth restarts=7 init=constant network.depth=5,6 descent.steps=0")
    assert [study.network.depth for study in studies] == [5, 6]
    assert {study.settings["init"]["name"] for study in studies} == {"constant"}
    assert {study.restarts for study in studies} == {7}


def test_a_glob_over_the_inits_means_all_of_them_but_those_that_need_a_file(
    planned: Callable[[str], tuple[str, list[Study]]],
) -> None:
    _, studies = planned("-m 'init=glob(*)' network.depth=1,2")
    found = {(study.settings["init"]["name"], study.network.depth) for study in studies}
    assert found == {(name, depth) for name in set(INITS) - {"given"} for depth in (1, 2)}
    assert len(studies) == len(found)


def test_a_glob_over_the_inits_takes_the_one_that_needs_a_file_if_it_is_asked_for(
    planned: Callable[[str], tuple[str, list[Study]]], tmp_path: Path
) -> None:
    np.savez(tmp_path / "starts.npz", np.zeros((2, 9)))
    _, studies = planned("-m 'init=glob(g*)' init.path=starts.npz restarts=2")
    assert [study.settings["init"]["name"] for study in studies] == ["given"]


def test_a_yaml_without_a_member_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for group, family, name in (
        ("problem", PROBLEMS, "xor"),
        ("init", INITS, "normal"),
        ("descent", DESCENTS, "adam"),
        ("objective", OBJECTIVES, "empirical_risk"),
    ):
        with monkeypatch.context() as patch:
            patch.delitem(family, name)
            with pytest.raises(ConfigError, match=rf"^{group}={name}: has a YAML, but is not named in the table of "):
                Study.from_config({group: name})
