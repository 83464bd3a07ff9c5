"""The whole program in a real terminal of 80 columns, from the first letter to the last line."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from basinet.cli.dry_run import _HEADINGS, _fitting
from basinet.cli.terminal import folded

CONTROL = r"\x1b\[[0-9;?]*[a-zA-Z]"


def typed(words: str, folder: Path, columns: int, program: str = "basinet") -> str:
    """What a terminal of so many columns receives while a command runs in it."""
    ours, theirs = pty.openpty()
    script = Path(sys.executable).parent / program
    with subprocess.Popen(
        ["bash", "-c", f"stty cols {columns} rows 40; exec {script} {words}"],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"TERM": "xterm"},
    ) as process:
        os.close(theirs)
        received = b""
        try:
            while part := os.read(ours, 1 << 16):
                received += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
    assert process.returncode == 0, received.decode()
    return re.sub(CONTROL, "", received.decode())


def test_what_there_is_to_choose_from_fits_the_terminal_and_no_word_is_lost(tmp_path: Path) -> None:
    narrow, wide = (typed("experiment", tmp_path, columns, "basinet-list") for columns in (80, 500))
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))
    assert narrow.split() == wide.split()


def test_a_line_is_broken_between_words_only_and_only_in_a_terminal() -> None:
    line = f"note: objective.loss=cross_entropy, {'a' * 30}"
    assert folded(line, 6, None) == folded(line, 6, len(line)) == line
    assert folded(line, 6, len(line) - 1) == f"note: objective.loss=cross_entropy,\n      {'a' * 30}"


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (None, set()),
        (102, set()),
        (101, {"state"}),
        (80, {"state", "restarts to do"}),
        (63, {"state", "restarts to do", "memory", "disk"}),
    ],
)
def test_a_dry_run_leaves_out_first_what_is_the_same_for_all_conditions(width: int | None, left_out: set[str]) -> None:
    beginnings = ["problem=xor init=normal network.depth=2", "problem=xor init=normal network.depth=3"]
    sizes = [("583 MB", "3.7 MB"), ("584 MB", "3.8 MB")]
    rows = [
        [beginning, "new", "1,000", *size, *times]
        for beginning, size, times in zip(beginnings, sizes, (("1.2 s", "0.11 s"), ("1.3 s", "0.2 s")), strict=True)
    ]
    shown = _fitting([_HEADINGS, *rows], width)
    assert set(_HEADINGS) - {_HEADINGS[column] for column in shown} == left_out


@pytest.mark.slow
def test_a_dry_run_fits_the_terminal(tmp_path: Path) -> None:
    received = typed("init=orthogonal restarts=5 dry_run=true", tmp_path, 80)
    shown = re.split(r"[\r\n]+", received)
    long = [line for line in shown if len(line) > 80]
    assert [line for line in long if line.split() != [str(tmp_path)]] == []  # a word is not broken
    assert "dry run: nothing was done" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "columns"),
    [
        ("init=orthogonal restarts=20", 80),
        ("-m problem=sine init=normal,orthogonal network.depth=1,2 restarts=20 hydra/launcher=basic", 80),
        ("problem=digits restarts=2 polish=none", 50),
    ],
)
def test_a_launch_fits_the_terminal_and_ends_with_what_to_type_next(words: str, columns: int, tmp_path: Path) -> None:
    received = typed(f"{words} descent.steps=50 tracking.figures=none", tmp_path, columns)
    shown = re.split(r"[\r\n]+", received)
    assert shown[0].startswith("loading Hydra …")
    assert any(line.startswith("loading PyTorch …") for line in shown)
    to_be_copied = ("analyse ", "report ")
    assert [line for line in shown if len(line) > columns and not line.startswith(to_be_copied)] == []
    *_, last, _ = shown
    assert re.fullmatch(r"report    basinet-report \w{32}", last)
    assert "ended at" in received or "Where they ended" in received
