"""`python -m basinet`, where the console script is not on the path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import basinet


def called(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "basinet", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_package_can_be_called_as_a_module(tmp_path: Path) -> None:
    answer = called("--version", folder=tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"basinet {basinet.__version__}\n", "")


def test_as_a_module_it_ends_like_the_script_does(tmp_path: Path) -> None:
    answer = called("init=xaver", folder=tmp_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "basinet: unknown init 'xaver': did you mean 'xavier_normal'?\n"
    assert list(tmp_path.iterdir()) == []
