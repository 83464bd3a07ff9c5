"""What has been fetched from a server: one temporary folder for each process, in which it is found again."""

from __future__ import annotations

import atexit
import hashlib
import os
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basinet.tracking.leftovers import held, is_left, sweep_away

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_PREFIX = "basinet-fetched-"


def found_again(uri: str, run: Any, relative: str) -> Path | None:
    """An artifact of a run that this process has fetched; None if it has not, or if the run may have another by now."""
    path = _place(uri, run, relative)
    return path if run.info.status == "FINISHED" and path.is_file() else None


def fetch(client: MlflowClient, uri: str, run: Any, relative: str) -> Path:
    """The local path of an artifact of a run, which is fetched; it is there until this process ends."""
    path = _place(uri, run, relative)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_folder(os.getpid())) as aside:
        os.replace(client.download_artifacts(run.info.run_id, relative, aside), path)  # whole, or not at all
    return path


def _place(uri: str, run: Any, relative: str) -> Path:
    store = hashlib.sha256(uri.encode()).hexdigest()[:20]
    return _folder(os.getpid()) / store / str(run.info.run_id) / relative


@cache
def _folder(process: int) -> Path:
    """The folder of this process, made on first use; those of processes that were killed are removed."""
    sweep_away(_left())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX)))
        stack.enter_context(held(folder))
        until_the_end = stack.pop_all()
    atexit.register(lambda: until_the_end.close() if os.getpid() == process else None)  # not in a fork of it
    return folder


def _left() -> list[Path]:
    """Folders that processes of this user's have left."""
    mine = (path for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*") if not path.is_symlink())
    return [path for path in mine if _is_mine(path) and is_left(path)]


def _is_mine(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except OSError:  # gone meanwhile
        return False
