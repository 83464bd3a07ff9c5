"""What is said where a library has changed what its documentation never promised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def as_it_was(library: str, what: str, used_by: str) -> Iterator[None]:
    """Whatever goes wrong within is said in one sentence: which version of the library has broken what."""
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        pytest.fail(f"{library} has broken {what}, which {used_by} uses ({reason})", pytrace=False)
