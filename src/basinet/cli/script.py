"""How console scripts end: with one line that says what is wrong, or that they were interrupted."""

from __future__ import annotations

import _thread
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from basinet.cli.terminal import deliver, give_up_output, print_plainly
from basinet.foundation.errors import ConfigError, is_interrupt

NOT_OURS = (ConfigError, OSError, MemoryError)
"""Errors that are none of the program's: what was asked for, the disk or the memory is to blame."""

_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory")
_NOBODY_READS = 128 + signal.SIGPIPE
_NOT_HEEDED = {
    "MLFLOW_TRACKING_URI": "tracking.uri, or --tracking-uri, names the store",
    "MLFLOW_EXPERIMENT_NAME": "tracking.experiment names the experiment",
    "MLFLOW_EXPERIMENT_ID": "tracking.experiment names the experiment",
    "MLFLOW_RUN_ID": "every condition has a run of its own",
}
_MOMENT = 0.05  # seconds


@contextmanager
def script(program: str, when_interrupted: str = "") -> Iterator[None]:
    """The work of a console script: what the user, the disk and the memory are to blame for is one line.

    Exit codes are 1 for that, 130 for Ctrl-C and a scheduler's SIGTERM, and 141 where nobody reads on (`| head`).
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler that stops us is a user with Ctrl-C
    keep_interrupts()
    keep_logs_quiet()
    print_plainly()
    try:
        try:
            yield
        finally:
            if isinstance(sys.exc_info()[1], SystemExit | None):
                deliver()
    except (Exception, KeyboardInterrupt) as error:
        give_up_output()
        if isinstance(error, BrokenPipeError):
            sys.exit(_NOBODY_READS)
        if is_interrupt(error):
            print(f"{program}: interrupted{when_interrupted}", file=sys.stderr)
            sys.exit(130)
        told = blame(error)
        if told is not None:
            sys.exit(f"{program}: {told}")
        raise


def blame(error: Exception | KeyboardInterrupt) -> str | None:
    """One line for an error that is none of the program's; None if it is one."""
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _OUT_OF_MEMORY):  # torch's
        first = str(error).partition("\n")[0]
        return f"not enough memory ({first.partition('DefaultCPUAllocator: ')[2] or first})"
    if isinstance(error, NOT_OURS):
        return " ".join(str(error).splitlines()) or type(error).__name__
    return None


def keep_logs_quiet() -> None:
    """Let a log that cannot be written to, on a disk that is full, be no reason for tracebacks."""
    logging.raiseExceptions = False


def tell_environment(uri: str | None) -> None:
    """Say of variables that MLflow's own programs heed that they decide nothing here.

    Args:
        uri: the store that is used; None: that of the working directory.
    """
    for name, key in _NOT_HEEDED.items():
        value = os.environ.get(name)
        if value and value != uri:
            print(f"{name}={value} in the environment is not used: {key}", file=sys.stderr)


def keep_interrupts() -> None:
    """See to it that no interrupt of this process is lost.

    Python drops an exception that is raised while it clears up, in a `__del__` or the callback of a weak reference, and
    goes on: a sweep would run to its end as if nobody had pressed Ctrl-C. Such an interrupt comes again a moment later.
    """
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


@dataclass(frozen=True)
class _Hook:
    """What Python calls with an exception that it drops."""

    otherwise: Callable[[Any], None]

    def __call__(self, dropped: Any) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            self.otherwise(dropped)
            return
        with suppress(RuntimeError):  # no thread can be started any more: the process is ending
            _thread.start_new_thread(_interrupt_again, ())


def _interrupt_again() -> None:
    time.sleep(_MOMENT)
    heard = (number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number)))
    _thread.interrupt_main(next(heard, signal.SIGINT))
