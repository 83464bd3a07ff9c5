"""What the documentation tells a newcomer to type works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import basinet

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "experiments").glob("*.md"))]
LONG = {"width", "flow", "escape", "student_teacher", "barriers", "landscape_xor", "proof"}  # studies of minutes

SMALL = "restarts=20 descent.steps=8 polish=none tracking.figures=none"
FEWER = {
    "experiment=depth": "init=normal,orthogonal network.depth=1,2",
    "experiment=proof": "network.activation=logistic network.width=1,2",
    "experiment=textbook": "network.depth=1,2",
    "experiment=xor": "network.width=2,3",
    "experiment=barriers": "network.depth=2 network.width=2,3 landscape.searches=8",
    "experiment=landscape_xor": "network.width=1 objective.l2_weights=1e-3 landscape.searches=8",
    "network.depth=2,3,4": "network.depth=2",
}
"""What makes commands quick and changes nothing about their form: there is hardly anything to compute."""
ELSEWHERE = ("basinet-ui", "tracking.uri=http", "executor.address=", "executor.jobqueue=", "executor=ray")
"""What the commands have in common that need a server, a browser or a cluster: they have tests of their own."""


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page that are in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of a page that begin with a console script or `python -c`, fenced or indented, without comments."""
    text = page.read_text(encoding="utf-8")
    indented = re.findall(r"^    (\S.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    fenced = [line for block in blocks(text, "sh") for line in block.splitlines()]
    lines = [line.partition(" #")[0].strip() for line in (*fenced, *indented)]
    found = [line for line in lines if re.match(r"(basinet[a-z-]*|python -c)( |$)", line)]
    return [line for line in found if not any(part in line for part in ELSEWHERE)]


def smaller(line: str) -> str:
    """A command with so little to compute that its form is all that is left of it."""
    if not line.startswith("basinet ") or "--cfg" in line:
        return line
    less = [more for part, more in FEWER.items() if part in line]
    here = "" if "hydra/launcher" in line else "hydra/launcher=basic"  # others take seconds to start processes
    made = " ".join([line.replace("n_jobs=8", "n_jobs=2"), *less, here])
    small = SMALL.replace("polish=none", "polish.steps=20") if "landscape" in made else SMALL  # which takes Hessians
    return f"{made} {small}"


@pytest.fixture(scope="module")
def studied_once(tmp_path_factory: pytest.TempPathFactory, furnish: Callable[[Path], Path]) -> Path:
    """A folder in which the study `depth` is finished; to look at only."""
    folder = furnish(tmp_path_factory.mktemp("studied"))
    script = Path(sys.executable).parent / "basinet"
    subprocess.run(
        [script, *shlex.split(smaller("basinet experiment=depth"))[1:]], cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.fixture
def studied(studied_once: Path, tmp_path: Path, shell: Callable[[str], Any]) -> Callable[[str], Any]:
    """`shell` in a folder in which the study `depth` is finished, where RUN and ID stand for a run and a sweep."""
    shutil.copytree(studied_once, tmp_path, dirs_exist_ok=True)
    run = basinet.load_runs("depth").iloc[0]
    ids = {"RUN": run["run_id"], "--remove ID": f"--remove {run['sweep_id']} --yes"}
    return lambda line: shell(re.sub("|".join(ids), lambda found: ids[found[0]], line))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.stress if page.stem in LONG else pytest.mark.slow)
        for page in PAGES
        if commands(page)
    ],
    ids=lambda page: page.stem,
)
def test_the_commands_of_a_page_and_then_its_python_run(page: Path, studied: Callable[[str], Any]) -> None:
    """With fewer restarts and steps, which change nothing about their form; what is said to be refused is refused."""
    for line in commands(page):
        if line.startswith("python -c"):
            exec(shlex.split(line)[2], {})
            continue
        answer = studied(smaller(line))
        refused = "init.gain" in answer.err if "init.gain=1" in line else False
        assert answer.code == int(refused), f"{line}: {answer.err}"
    for number, code in enumerate(blocks(page.read_text(encoding="utf-8"), "python")):
        few = re.sub(r'"restarts": \d+', '"restarts": 8', code)
        exec(compile(few, f"{page.name}, block {number}", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_shell_reads_the_commands_of_a_page_as_these_tests_do(page: Path, tmp_path: Path) -> None:
    (tmp_path / "init=glob").touch()  # what an unquoted pattern could mean
    for line in commands(page):
        echoed = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], cwd=tmp_path, capture_output=True, check=True)
        assert echoed.stdout.decode().splitlines() == shlex.split(line)


def test_make_sweep_runs_a_study_that_exists() -> None:
    (target,) = re.findall(
        r"^sweep:.*\n\t\$\(BIN\)/basinet experiment=(\w+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert (ROOT / "conf" / "experiment" / f"{target}.yaml").is_file()
    assert f'load_restarts("{target}")' in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    pages = [*PAGES, *ROOT.glob("*.md")]
    assert len(pages) > 5
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
