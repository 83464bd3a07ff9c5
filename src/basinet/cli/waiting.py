"""What a terminal says while nothing can be shown yet: libraries are loaded, conditions checked, a store is opened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from basinet.cli.terminal import columns

_USUAL = 80  # characters of a line

Say = Callable[[str], None]
"""Called with what is being done from now on."""


def say_nothing(what: str) -> None:
    """What nobody is to be told."""


@contextmanager
def waiting() -> Iterator[Say]:
    """Within, one line on standard error says what is being done; each replaces the one before, and none is left.

    Where standard error is no terminal, nothing is written: what goes wrong has to be the only line there.
    """
    if not sys.stderr.isatty():
        yield say_nothing
        return
    line = _Line()
    try:
        yield line.say
    finally:
        line.clear()


class _Line:
    """The last line of the terminal; blanks clear it, which every terminal understands."""

    def __init__(self) -> None:
        self._length = 0

    def say(self, what: str) -> None:
        room = (columns(sys.stderr) or _USUAL) - 1  # in the last column many terminals begin a new line
        text = f"{what} …"[: max(room, 0)]
        self.clear()
        self._write(text)
        self._length = len(text)

    def clear(self) -> None:
        if self._length:
            self._write("\r" + " " * self._length + "\r")
            self._length = 0

    def _write(self, text: str) -> None:
        encoding = sys.stderr.encoding or "ascii"
        sys.stderr.write(text.encode(encoding, "replace").decode(encoding))
        sys.stderr.flush()
