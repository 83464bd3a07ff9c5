"""Which cases of a test are slow."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(quick: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """The cases, all but the quick ones marked slow; a quick one that is not a case is a mistake."""
    cases = list(cases)
    assert quick, "a module keeps something quick"
    assert all(case in cases for case in quick)
    return [
        case if case in quick else pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.slow)
        for case in cases
    ]
