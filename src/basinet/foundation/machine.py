"""The machine: how much of it there is, and what of it the last bits of a result depend on."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path

from basinet.foundation.errors import require

_COPIES = 4  # of data while it is made and laid out for the engine


@cache
def numerics() -> str:
    """One line that is the same where the same program gives the same bits."""
    import numpy
    import scipy
    import torch  # takes two seconds, and whoever asks for `cores` needs none of it

    libraries = f"torch {torch.__version__}, numpy {numpy.__version__}, scipy {scipy.__version__}"
    return f"{platform.machine()} {processor()} ({torch.backends.cpu.get_cpu_capability()}), {libraries}"


def processor() -> str:
    """What the processor calls itself; empty where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory() -> int:
    """Bytes of memory that this process has had at most, as far as the system says."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def require_room(numbers: int, what: str) -> None:
    """Raise `ConfigError` unless so many numbers, and the copies of them that there will be, fit the memory.

    Asked before they are made: a system that gives out more memory than it has ends the process without a word.
    """
    needed, there = 8 * _COPIES * numbers, memory()
    require(needed < there, f"{what}: takes {needed / 2**30:,.0f} GiB, this machine has {there / 2**30:,.0f}")
