"""What the documentation tells a newcomer to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
KERNELS = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")}  # compiled once


def blocks(page: str, language: str) -> list[str]:
    """The fenced code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def commands(page: str) -> list[str]:
    """The `basinet` command lines of a page, without comments."""
    lines = [line.partition(" #")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("basinet ")]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true", **KERNELS},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", [*commands("README.md"), *commands("docs/usage.md")])
def test_a_command_of_the_documentation_runs(line: str, tmp_path: Path) -> None:
    """With fewer restarts and steps, which change nothing about its form; the ones said to be refused are refused."""
    smaller = "" if "--cfg" in line else " restarts=8 descent.steps=8 tracking.figures=none"
    answer = shell(line + smaller, tmp_path)
    if "init.gain=1" in line:  # documented as refused
        assert answer.returncode != 0
        assert "init.gain" in answer.stderr
    else:
        assert answer.returncode == 0, answer.stderr


def test_make_sweep_runs_a_study_that_exists() -> None:
    (target,) = re.findall(
        r"^sweep:.*\n\t\$\(BIN\)/basinet experiment=(\w+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert (ROOT / "conf" / "experiment" / f"{target}.yaml").is_file()
    assert f'load_restarts("{target}")' in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_documentation_runs(tmp_path: Path) -> None:
    """After the sweep that it reads, made smaller."""
    sweep = shell("basinet experiment=depth restarts=8 descent.steps=8 tracking.figures=none", tmp_path)
    assert sweep.returncode == 0, sweep.stderr
    for page in ("README.md", "docs/usage.md"):
        for number, code in enumerate(blocks(page, "python")):
            script = tmp_path / f"{Path(page).stem}_{number}.py"
            script.write_text(
                code.replace('"restarts": 100', '"restarts": 8').replace('"restarts": 200', '"restarts": 8')
            )
            answer = shell(f"python {script.name}", tmp_path)
            assert answer.returncode == 0, answer.stderr


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "experiments").glob("*.md")]
    assert len(pages) > 5
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
