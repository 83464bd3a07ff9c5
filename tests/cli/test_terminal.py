"""The whole program in a real terminal of 80 columns, from the first letter to the last line."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONTROL = r"\x1b\[[0-9;?]*[a-zA-Z]"


def typed(words: str, folder: Path, columns: int) -> str:
    """What a terminal of so many columns receives while a command runs in it."""
    ours, theirs = pty.openpty()
    script = Path(sys.executable).parent / "basinet"
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "columns"),
    [
        ("problem=sine init=orthogonal restarts=20", 80),
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
