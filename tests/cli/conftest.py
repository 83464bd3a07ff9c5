"""The command line, called in this process: quicker than a new one by three seconds a call."""

from __future__ import annotations

import logging
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from basinet.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a command ended with."""

    code: int
    out: str
    err: str


Command = Callable[[str], Answer]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], Answer]]:
    """`basinet`, as a function of what stands behind it on the command line; run in the empty `tmp_path`."""

    def call(line: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["basinet", *shlex.split(line)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        written = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, written.out, written.err)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASINET_PLACE", "")  # so that what a sweep writes there is undone
    handler = signal.getsignal(signal.SIGTERM)
    yield call
    signal.signal(signal.SIGTERM, handler)
    for log in list(logging.root.handlers):  # of the jobs that Hydra ran; pytest's own have no file in tmp_path
        if isinstance(log, logging.FileHandler) and Path(log.baseFilename).is_relative_to(tmp_path):
            logging.root.removeHandler(log)
            log.close()


@pytest.fixture
def sweeps(command: Command, empty_store: Path, tmp_path: Path) -> Command:
    """`command`, where a tracking store is there already."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return command
