"""`basinet --help`: every setting with its value and one word on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from basinet.study.defaults import conf_directory, explanations

Command = Callable[[str], Any]


def page(command: Command, line: str) -> str:
    """What is shown, each run of blanks and ends of lines being one blank."""
    answer = command(f"--help {line}")
    assert (answer.code, answer.err) == (0, "")
    return " ".join(answer.out.split())


@pytest.mark.parametrize("chosen", ["descent=adam", "problem=teacher", "init=orthogonal", "polish=none"])
def test_every_setting_of_what_is_chosen_stands_there_with_its_default_and_its_comment(
    chosen: str, command: Command
) -> None:
    shown = page(command, chosen)
    group, _, name = chosen.partition("=")
    text = (conf_directory() / group / f"{name}.yaml").read_text(encoding="utf-8")
    assert f" {chosen} {text.splitlines()[0].lstrip('# ')} (or " in shown
    for line in text.splitlines():
        setting, _, comment = line.partition(" # ")
        key, _, value = setting.partition(": ")
        if comment:
            written = value if "e-" not in value else repr(float(value))  # 1.0e-8, as YAML wants it
            assert f" {group}.{key}={written} {comment} " in shown


def test_settings_of_the_launch_and_of_the_store_are_explained_too(command: Command) -> None:
    shown = page(command, "")
    assert " seed=0 of the restarts; the data has problem.seed " in shown
    assert " tracking.uri=null null: sqlite:///<working directory>/mlflow.db " in shown
    assert shown.endswith('or in Python: basinet.load_restarts("basinet").')


def test_values_are_those_of_the_command_and_what_has_no_default_is_left_open(command: Command) -> None:
    shown = page(command, "experiment=depth problem=table restarts=7")
    content = yaml.safe_load((conf_directory() / "experiment" / "depth.yaml").read_text(encoding="utf-8"))
    assert f" descent.steps={content['descent']['steps']} budget" in shown
    assert " restarts=7 random restarts" in shown
    assert " problem.path=… .csv or .parquet " in shown


def test_a_page_is_80_columns_wide_unless_the_terminal_is_wider(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    narrow = command("--help problem=table").out
    assert max(map(len, narrow.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "160")
    wide = command("--help problem=table").out
    assert narrow.split() == wide.split()
    assert len(wide.splitlines()) < len(narrow.splitlines())


def test_a_members_own_file_is_read_where_one_is_brought_along(command: Command, tmp_path: Path) -> None:
    (tmp_path / "my" / "init").mkdir(parents=True)
    (tmp_path / "my" / "init" / "mine.yaml").write_text("# my own\nname: normal\nstd: 3.0 # three\nbias: zero\n")
    shown = page(command, "--config-dir my init=mine")
    assert " init=mine my own (or constant, " in shown
    assert " init.std=3.0 three init.bias=zero " in shown


def test_explanations_are_the_comments_behind_settings_by_dotted_keys(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "# about\na: 1 # one\nb:\n  c: x#y # two # more\n  d: 2\ne: [1, 2] # three\n# f: 0\n"
    )
    assert explanations(tmp_path / "a.yaml") == {"a": "one", "b.c": "two # more", "e": "three"}


def test_what_belongs_to_the_configuration_does_not_go_with_the_page(command: Command) -> None:
    assert "--package belongs to --cfg" in command("--help --package descent").err
