"""How console scripts end when they are interrupted, or when something is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

import pytest

from basinet.cli.script import script, tell_environment
from basinet.foundation.errors import ConfigError

pytestmark = pytest.mark.usefixtures("same_signals")


class Thing:
    """Something to refer to weakly."""


def be_interrupted_in_a_callback(number: signal.Signals) -> None:
    """Be at work for five seconds, at the beginning of which a signal arrives where exceptions are dropped."""
    thing = Thing()
    told = weakref.ref(thing, lambda _: signal.raise_signal(number))
    del thing
    assert told() is None
    for _ in range(500):
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_drops_comes_again(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, script("basinet", "; what had finished is kept"):
        be_interrupted_in_a_callback(number)
    assert (end.value.code, capsys.readouterr().err) == (130, "basinet: interrupted; what had finished is kept\n")


def test_also_where_ctrl_c_is_ignored_as_behind_nohup() -> None:
    program = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from test_script import be_interrupted_in_a_callback, script
with script("basinet"):
    be_interrupted_in_a_callback(signal.SIGTERM)
"""
    here = Path(__file__).parent
    answer = subprocess.run([sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (130, "basinet: interrupted\n")


def test_what_else_is_dropped_is_told_as_ever() -> None:
    told: list[object] = []
    sys.unraisablehook = lambda dropped: told.append(dropped.exc_type)
    thing = Thing()
    with script("basinet"), script("basinet"):
        reference = weakref.ref(thing, lambda _: 1 / 0)
        del thing
    assert reference() is None
    assert told == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("unknown init 'x'"), "basinet: unknown init 'x'"),
        (OSError(28, "No space left", "mlflow.db"), "basinet: [Errno 28] No space left: 'mlflow.db'"),
        (MemoryError("asked for 1 TB\nin one piece"), "basinet: asked for 1 TB in one piece"),
        (MemoryError(), "basinet: MemoryError"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate: 8 bytes\nframe"),
            "basinet: not enough memory (can't allocate: 8 bytes)",
        ),
    ],
)
def test_what_users_disk_and_memory_are_to_blame_for_is_one_line(error: Exception, line: str) -> None:
    with pytest.raises(SystemExit) as end, script("basinet"):
        raise error
    assert end.value.code == line  # which the interpreter prints, and exits with 1


def fail_while_clearing_up() -> None:
    try:
        raise KeyboardInterrupt
    finally:
        try:
            raise AttributeError("half made")
        except AttributeError as error:
            raise ConfigError("'NoneType' object has no attribute 'x'") from error


def test_what_fails_while_it_clears_up_after_an_interrupt_is_no_error_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end, script("basinet"):
        fail_while_clearing_up()
    assert (end.value.code, capsys.readouterr().err) == (130, "basinet: interrupted\n")


def fail_afterwards() -> None:
    with suppress(KeyboardInterrupt):
        raise KeyboardInterrupt
    raise ConfigError("no room")


def test_what_fails_after_an_interrupt_was_dealt_with_is_an_error() -> None:
    with pytest.raises(SystemExit) as end, script("basinet"):
        fail_afterwards()
    assert end.value.code == "basinet: no room"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), script("basinet"):
        raise ZeroDivisionError


LIST = [sys.executable, "-c", "from basinet.cli.listing import main; main()"]
MUCH = [sys.executable, "-c", "from basinet.cli.script import script\nwith script('much'):\n    print('x' * 10**6)"]


@pytest.fixture
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output as it is for most: argparse drops what it cannot write at once."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.usefixtures("buffered")
@pytest.mark.parametrize("command", [LIST, [*LIST, "--help"], MUCH], ids=["little", "help", "much"])
def test_an_output_that_takes_nothing_is_said_in_one_line(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        answer = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert answer.returncode == 1
    assert "No space left on device" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert ("standard output" in answer.stderr) == (command is not MUCH)  # of which a part is written meanwhile


@pytest.mark.usefixtures("buffered")
@pytest.mark.parametrize("command", [LIST, [*LIST, "--help"], MUCH], ids=["little", "help", "much"])
def test_a_pipe_that_nobody_reads_is_a_quiet_end(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    answer = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (141, "")


def test_an_output_that_is_closed_from_the_start_is_no_error() -> None:
    answer = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *LIST], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_characters_that_a_terminal_lacks_are_written_as_others() -> None:
    program = "from basinet.cli.script import script\nwith script('it'):\n    print('‖θ‖ ≤ ½ … é, 東 \\udcff')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert (answer.stdout, answer.stderr) == (b"||theta|| <= 1/2 ... e, ? \\xff\n", b"")


def test_a_variable_of_mlflows_that_decides_nothing_is_said_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    tell_environment("http://elsewhere:5000")
    assert capsys.readouterr().err == ""
    tell_environment(None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("MLFLOW_TRACKING_URI=http://elsewhere:5000 in the environment is not used: tracking.uri")


def test_a_log_on_a_full_disk_is_no_reason_for_tracebacks() -> None:
    program = """
import logging
from basinet.cli.script import script
logging.root.addHandler(logging.FileHandler("/dev/full"))
with script("it"):
    logging.warning("nobody will read this")
    logging.warning("nor that")
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
