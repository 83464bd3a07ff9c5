"""How the conditions of a launch tell the terminal what they are at: lines of JSON in a file.

Conditions may run in other processes than the one that shows their progress; a file that all append to works with every
launcher. Short lines are appended whole.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from basinet.tracking.leftovers import held

if TYPE_CHECKING:
    from basinet.pipeline.ahead import Pace

_log = logging.getLogger("basinet")
_PAUSE = 0.1  # seconds between two looks at the file, and at least between two reports of a condition


class Journal:
    """What one condition writes."""

    def __init__(self, path: Path, condition: str) -> None:
        self._path = path
        self._condition = condition
        self._reported = 0.0

    def write(self, event: str, **facts: Any) -> None:
        """Append an event."""
        line = json.dumps({"event": event, "condition": self._condition, **facts}) + "\n"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)

    def report(self, share: float) -> None:
        """The share of the work that is done; not more often than can be seen, but for the last one."""
        if share >= 1 or time.monotonic() - self._reported > _PAUSE:
            self._reported = time.monotonic()
            with suppress(OSError):  # on a full disk nobody sees how far it is, but it goes on
                self.write("share", share=share)

    def report_pace(self, pace: Pace) -> None:
        """How workers are getting on with all conditions together; not more often than can be seen."""
        if time.monotonic() - self._reported > _PAUSE:
            self._reported = time.monotonic()
            with suppress(OSError):
                self.write("pace", workers=pace.workers, restarts=pace.restarts, rate=pace.rate)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Pass on what is logged meanwhile."""
        handler = _Handler(self)
        level = _log.level
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        try:
            yield
        finally:
            _log.removeHandler(handler)
            _log.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._journal.write("said", message=record.getMessage(), warning=record.levelno >= logging.WARNING)


class Follower:
    """Hands every event of a journal to a function, from a thread, until it is closed; then those that are left."""

    def __init__(self, path: Path, show: Callable[[dict[str, Any]], None]) -> None:
        self._path = path
        self._show = show
        self._closed = threading.Event()
        self._held = ExitStack()
        self._thread = threading.Thread(target=self._follow, name="basinet-journal", daemon=True)

    def __enter__(self) -> Follower:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        self._held.enter_context(held(self._path))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)
        self._held.close()

    def _follow(self) -> None:
        with self._path.open(encoding="utf-8") as file:
            started = ""  # a line of which only a part is there yet
            while True:
                last = self._closed.is_set()
                started += file.read()
                *lines, started = started.split("\n")
                for line in lines:
                    self._show(json.loads(line))
                if last:
                    return
                self._closed.wait(_PAUSE)
