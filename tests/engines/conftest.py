"""A cache of kernels of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from basinet.engines.native import compiler, library


def _forget() -> None:
    compiler.find_compiler.cache_clear()
    compiler._fleeting_folder.cache_clear()
    library.descent_library.cache_clear()
    library.curvature_library.cache_clear()


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Makes this process forget what it knows about compilers, folders and libraries, as it does after the test."""
    _forget()
    yield _forget
    _forget()


@pytest.fixture
def fresh(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> Path:
    """An empty cache, which is still to be made, and no memory of any other."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "basinet" / "native"


@pytest.fixture
def failing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, fresh: Path, forget: Callable[[], None]
) -> Callable[[str], None]:
    """Sets `CXX` to a program, or to a script that says it is a compiler and does this when asked for a library."""

    def choose(program: str) -> None:
        if " " in program:
            script = tmp_path_factory.mktemp("bin") / "failing"
            script.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo 1.0; exit 0;; esac\n{program}\n')
            script.chmod(0o755)
            program = str(script)
        monkeypatch.setenv("CXX", program)
        forget()

    return choose
