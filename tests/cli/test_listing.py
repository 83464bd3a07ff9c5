from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from basinet.cli.listing import main
from basinet.study.defaults import describe

CONF = Path(__file__).parents[2] / "conf"


def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["basinet-list", *arguments])
    main()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("group", ["problem", "init", "descent", "experiment"])
def test_every_member_is_listed_with_one_line_that_describes_it(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    title, *lines = listed(monkeypatch, capsys, group)
    assert title == f"{group}="
    files = sorted((CONF / group).glob("*.yaml"))
    assert [line.split()[0] for line in lines if line] == [path.stem for path in files]
    for line, path in zip(lines, files, strict=False):
        comment = line.split(maxsplit=1)[1]
        assert f"# {comment}\n" in path.read_text(encoding="utf-8")
        assert not comment.startswith("@")


def test_without_a_group_all_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    titles = [line for line in listed(monkeypatch, capsys) if line.endswith("=") and not line.startswith(" ")]
    assert titles == ["problem=", "init=", "descent=", "objective=", "experiment="]


def test_an_unknown_group_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["basinet-list", "inits"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == "basinet-list: unknown group 'inits': did you mean 'init'?"


def test_a_terminal_without_greek_letters_gets_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["basinet-list", "descent"])
    main()
    sys.stdout.flush()
    assert b"gradient_descent" in written.getvalue()
    assert b"theta" in written.getvalue()
    assert b"?" not in written.getvalue()


def test_what_has_no_comment_has_no_description(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# @package _global_\nname: a\n")
    assert describe(tmp_path / "a.yaml") == ""
