"""Ctrl-C, a scheduler's SIGTERM, a worker that is shot, a job that raises: the same command completes the sweep."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from basinet.pipeline import run as pipeline
from basinet.study.study import Study

JOBLIB = "hydra/launcher=joblib hydra.launcher.n_jobs=2 hydra.launcher.batch_size=1"
GOODBYE = "basinet: interrupted; what had finished is kept, the same command goes on from there"


@pytest.fixture
def complete(
    sweep: Any, undisturbed: Any, left: Any, launch: Any, furnish: Any, tmp_path: Path
) -> Callable[[str], None]:
    """The same command again, to the end: with what is there then, nothing is missing."""
    furnish(tmp_path)

    def call(launcher: str) -> None:
        code, err = launch(tmp_path, f"{sweep.line} {launcher}").end()
        assert code == 0, err
        left(tmp_path).assert_complete(sweep.conditions)
        left(tmp_path).assert_same_as(undisturbed)

    return call


def interrupt(launched: Any, number: signal.Signals, blocks: int, seconds: float = 0.0) -> tuple[int, str]:
    """Ctrl-C reaches the whole group, a scheduler's signal the process that it has started."""
    launched.wait_until_it_works()
    launched.wait_for_blocks(blocks)
    time.sleep(seconds)
    begun = len(launched.blocks())
    if number is signal.SIGINT:
        launched.signal_group(number)
    else:
        launched.process.send_signal(number)
    code, err = launched.end()
    assert len(launched.blocks()) <= begun + 2, err  # in two processes, while the signal was on its way
    return code, err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "launcher"), [(signal.SIGTERM, ""), pytest.param(signal.SIGINT, JOBLIB, marks=pytest.mark.stress)]
)
def test_an_interrupted_sweep_leaves_no_run_open_and_goes_on_when_asked_again(
    number: signal.Signals, launcher: str, sweep: Any, launch: Any, left: Any, complete: Any, tmp_path: Path
) -> None:
    code, err = interrupt(launch(tmp_path, f"{sweep.line} {launcher}"), number, blocks=7)
    assert (code, err.splitlines()[-1]) == (130, GOODBYE)
    assert "Traceback" not in err
    assert {"KILLED"} <= set(left(tmp_path).statuses()) <= {"KILLED", "FINISHED"}
    complete(launcher)


@pytest.mark.stress
@pytest.mark.parametrize("launcher", ["", JOBLIB])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sweep_can_be_interrupted_at_any_moment(
    number: signal.Signals, launcher: str, sweep: Any, launch: Any, left: Any, complete: Any, tmp_path: Path
) -> None:
    chance, codes = random.Random(1), []
    for _ in range(8):
        launched = launch(tmp_path, f"{sweep.line} {launcher}")
        code, err = interrupt(launched, number, chance.randint(0, 4), chance.uniform(0, 1))
        codes.append(code)
        if code == 130:
            assert err.splitlines()[-1] in (GOODBYE, "basinet: interrupted")
        else:
            assert code in (0, -number), err  # it was at its end, or at its beginning: nothing had been written
    print(f"\n{number.name} {launcher}: exit codes {codes}")
    complete(launcher)


@pytest.mark.stress
def test_a_worker_that_is_shot_ends_the_sweep_which_goes_on_when_asked_again(
    sweep: Any, launch: Any, left: Any, complete: Any, tmp_path: Path
) -> None:
    """As the kernel does when the memory is used up."""
    launched = launch(tmp_path, f"{sweep.line} {JOBLIB}")
    launched.wait_until_it_works()
    launched.wait_for_blocks(7)
    os.kill(worker_of(launched.process.pid), signal.SIGKILL)
    code, err = launched.end()
    assert code == 1
    assert "TerminatedWorkerError" in err
    assert "RUNNING" not in left(tmp_path).statuses()
    complete(JOBLIB)


def worker_of(group: int) -> int:
    """The number of a process of joblib's in a process group."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = b"LokyProcess" in (path / "cmdline").read_bytes() and os.getpgid(int(path.name)) == group
        except OSError:
            continue
        if is_worker:
            return int(path.name)
    raise LookupError(f"no worker in group {group}")


@pytest.mark.slow
def test_a_sweep_of_which_a_condition_fails_is_completed_when_asked_again(
    sweeps: Any, left: Any, furnish: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it had computed before it failed is not computed again."""
    line = "-m init=normal,uniform,orthogonal restarts=192 descent.steps=50 engine=torch tracking.figures=none"
    monkeypatch.setattr(pipeline, "_BLOCK_RESTARTS", 64)
    solve, solved = pipeline.solve, []

    def failing(study: Study, restarts: range, *rest: Any) -> Any:
        if fails and study.settings["init"]["name"] == "uniform" and restarts.start == 128:
            raise RuntimeError("no luck")
        solved.append((study.key, restarts))
        return solve(study, restarts, *rest)

    monkeypatch.setattr(pipeline, "solve", failing)
    fails = True
    answer = sweeps(line)
    assert answer.code == 1
    assert "RuntimeError: no luck" in answer.err
    assert left(tmp_path).statuses().count("FAILED") == 2  # the condition and the sweep
    fails = False
    assert sweeps(line).code == 0
    assert len(set(solved)) == len(solved) == 3 * 3
    left(tmp_path).assert_complete(3)
    furnish(tmp_path / "elsewhere")
    assert sweeps(f"{line} tracking.uri=sqlite:///elsewhere/mlflow.db").code == 0
    left(tmp_path).assert_same_as(left(tmp_path / "elsewhere"))
