"""Logging as it was, after what sets it up anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logs_as_they_were() -> Iterator[None]:
    """Afterwards the root logger has its handlers and its level of before; Hydra's file is closed.

    A handler of a file that stays behind opens its file again with the next message, and whoever removes it then leaves
    the file open.
    """
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        yield
    finally:
        for handler in set(logging.root.handlers) - set(handlers):
            handler.close()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
