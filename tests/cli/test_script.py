"""How console scripts end when they are interrupted, or when something is wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

import pytest

from basinet.cli.script import script
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
