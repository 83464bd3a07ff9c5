"""Which process writes a run, and whether it is still there."""

from __future__ import annotations

import enum
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

HOST, PID, STARTED = "process.host", "process.id", "process.started"
_PROC = Path("/proc")


class Presence(enum.Enum):
    """What can be said from here of the process that opened a run."""

    ALIVE = "is at it"
    GONE = "is gone"
    ELSEWHERE = "is, or was, on another machine"
    UNKNOWN = "is not known"


def process_tags() -> dict[str, str]:
    """Tags by which this process can be found again; a number alone will be another process's one day."""
    started = _started(os.getpid())
    tags = {HOST: socket.gethostname(), PID: str(os.getpid())}
    return tags if started is None else {**tags, STARTED: started}


def presence(tags: Mapping[str, str]) -> Presence:
    """Whether the process that `process_tags` is of still runs."""
    if not {HOST, PID, STARTED} <= tags.keys() or not tags[PID].isdigit():
        return Presence.UNKNOWN
    if tags[HOST] != socket.gethostname():
        return Presence.ELSEWHERE
    mine, theirs = _scope(_started(os.getpid())), _scope(tags[STARTED])
    if mine[:1] == theirs[:1] and mine != theirs:  # another container on this machine: its processes are not seen
        return Presence.ELSEWHERE
    found = _started(int(tags[PID]))
    if found is None and _hidden(int(tags[PID])):
        return Presence.UNKNOWN
    return Presence.ALIVE if found == tags[STARTED] else Presence.GONE


def _scope(started: str | None) -> list[str]:
    """Within what a process's number means anything: the boot of the machine, and the container."""
    return (started or "").split()[:-1]


def _hidden(pid: int) -> bool:
    """Whether there is a process of somebody else's that the system does not show."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False


def _started(pid: int) -> str | None:
    """When a process started, as a text that no other process shares; None if there is none."""
    if not (_PROC / "self" / "stat").is_file():
        return _started_by_ps(pid)
    try:
        # The name of the program, in brackets, may hold blanks and brackets itself.
        state, *fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        container = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return None
    return None if state in "ZX" else f"{boot} {container} {fields[18]}"  # in clock ticks since the boot


def _started_by_ps(pid: int) -> str | None:
    environment = {**os.environ, "LC_ALL": "C"}
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "-".join(answer.stdout.split()) or None
