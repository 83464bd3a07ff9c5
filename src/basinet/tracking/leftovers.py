"""What is written beside the results while somebody is at work, and is left behind when he is killed.

Whoever makes such a file or folder holds a lock on it, which goes with his process however that ends: what nobody holds
has been left, and the next launch sweeps it away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

if TYPE_CHECKING:
    from basinet.pipeline.blocks import FolderStore

_JOURNALS = "journal-*.jsonl"
_MOMENT = 2.0  # seconds that whoever makes a file has to take hold of it


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Within, a file or folder is somebody's."""
    number = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # a disk without locks, where nothing is taken to be left either
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def is_left(path: Path) -> bool:
    """Whether nobody holds a file or folder, and nobody is about to."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # gone meanwhile
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return time.time() - os.fstat(number).st_mtime > _MOMENT
    except OSError:  # held, or a disk without locks
        return False
    finally:
        os.close(number)


def are_held(blocks: FolderStore[Any]) -> bool:
    """Whether somebody computes a condition."""
    if not Path(blocks.lock.lock_file).exists():
        return False
    try:
        with blocks.lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def leftovers(work_folder: Path) -> list[Path]:
    """Files and folders of unfinished work that nobody will finish; blocks of restarts that are whole are none."""
    from basinet.pipeline.blocks import WRITING, FolderStore  # which take the time of torch, and no lock does

    own = [*work_folder.glob(_JOURNALS), *work_folder.glob(f"{WRITING}*")]
    conditions = [path for path in work_folder.glob("blocks/*") if path.is_dir() and not are_held(FolderStore(path))]
    of_blocks = [path for folder in conditions for path in folder.rglob(f"{WRITING}*")]
    return sorted(path for path in own + of_blocks if is_left(path))


def sweep_away(left: Iterable[Path]) -> None:
    """Remove what killed processes have left."""
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
