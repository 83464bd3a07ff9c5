"""How console scripts end: with one line that says what is wrong, or that they were interrupted."""

from __future__ import annotations

import _thread
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from basinet.foundation.errors import ConfigError, is_interrupt

NOT_OURS = (ConfigError, OSError, MemoryError)
"""Errors that are none of the program's: what was asked for, the disk or the memory is to blame."""

_MOMENT = 0.05  # seconds


@contextmanager
def script(program: str, when_interrupted: str = "") -> Iterator[None]:
    """The work of a console script: what the user, the disk and the memory are to blame for is one line.

    Exit codes are 1 for that, and 130 for Ctrl-C and a scheduler's SIGTERM.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler that stops us is a user with Ctrl-C
    keep_interrupts()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if is_interrupt(error):
            print(f"{program}: interrupted{when_interrupted}", file=sys.stderr)
            sys.exit(130)
        if isinstance(error, NOT_OURS):
            sys.exit(f"{program}: {' '.join(str(error).splitlines()) or type(error).__name__}")
        raise


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
