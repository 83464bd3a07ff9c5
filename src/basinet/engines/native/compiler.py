"""From the sources in this folder to a shared library: the system's compiler, and a cache of what it made."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_log = logging.getLogger(__name__)

SOURCES = Path(__file__).parent
# The kernels write down every rounding themselves, and nothing here changes the floating-point mode of the process.
FLAGS = (
    *("-std=c++17", "-march=native", "-fPIC", "-shared"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
# Steps of descents and flows are a fifth faster with more. The rest is not, and takes 60 % longer to compile.
_OPTIMISATION = {"descend.cpp": "-O3", "flow.cpp": "-O3"}
_CANDIDATES = ("c++", "g++", "clang++")
_REMEDY = "install g++ or clang++, or name a C++17 compiler in the environment variable CXX"
_OF_A_SOURCE = re.compile(r":\d+(:\d+)?: (fatal )?error:")  # file:line:column, as all of them write it
_PATIENCE = 600  # seconds that a compiler may take
_ABANDONED = 86400  # seconds after which the remains of a killed compilation are swept up


class NativeError(Exception):
    """There is no native library, and why; the message is one line."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that can be started."""

    command: tuple[str, ...]
    version: str  # what it says about itself


@cache
def find_compiler() -> Compiler:
    """The compiler named by `CXX`, else c++, g++ or clang++.

    Raises:
        NativeError: if there is none, with the remedy.
    """
    chosen = os.environ.get("CXX", "").strip()
    for candidate in [chosen] if chosen else _CANDIDATES:
        try:
            command = tuple(shlex.split(candidate))
            answer = _run([*command, "--version"], timeout=60)
        except (ValueError, OSError, subprocess.TimeoutExpired):  # no command line, no program, no answer
            continue
        if answer.returncode == 0:
            return Compiler(command, answer.stdout)
    looked = f"CXX={chosen}" if chosen else ", ".join(_CANDIDATES)
    raise NativeError(f"no C++ compiler ({looked}): {_REMEDY}")


def _run(command: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout)


def build(source: str, definitions: Mapping[str, str | int | Path], extra: Sequence[str] = ()) -> Path:
    """The shared library of a source with some macros defined; compiled once per machine and then kept.

    Safe while other processes build the same: a library is made aside and then renamed. Its name carries a checksum of
    its content, so that a damaged one is noticed and made again.

    Args:
        source: a file of this folder.
        definitions: macros; integers, known names and lists of them, headers of this folder (or by their whole paths),
            nothing that a user wrote.
        extra: more flags for the compiler (tests build with sanitizers).

    Raises:
        NativeError: if there is no compiler, or it fails, or the library cannot be kept.
    """
    compiler = find_compiler()
    macros = [f"-D{name}={_macro(value)}" for name, value in definitions.items()]
    flags = [_OPTIMISATION.get(source, "-O2"), *FLAGS, *extra, *macros]
    headers = [value for value in definitions.values() if isinstance(value, Path)]
    try:
        folder, key = cache_folder(), _key(compiler, source, flags, headers)
        return _kept(folder, key) or _made(folder, key, compiler, [*flags, str(SOURCES / source)])
    except OSError as error:
        raise NativeError(f"no kernel can be kept: {error}") from None


def _macro(value: str | int | Path) -> str:
    return f'"{value}"' if isinstance(value, Path) else str(value)


def _kept(folder: Path, key: str) -> Path | None:
    """The library that was made before, if it is whole."""
    for path in folder.glob(f"{key}-*.so"):
        with suppress(FileNotFoundError):  # another process has found it damaged too
            if path.stem == f"{key}-{_checksum(path)}":
                return path
            _log.warning("%s was damaged and is compiled again", path)
            path.unlink()
    return None


def _made(folder: Path, key: str, compiler: Compiler, arguments: Sequence[str]) -> Path:
    _sweep_up(folder)
    _log.info("compiling the kernel, which is kept for networks of this shape")
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as aside:
        made = Path(aside) / "made.so"
        _compile(compiler, arguments, made)
        path = folder / f"{key}-{_checksum(made)}.so"
        os.replace(made, path)
    return path


def _compile(compiler: Compiler, arguments: Sequence[str], made: Path) -> None:
    name = compiler.command[0]
    try:
        answer = _run([*compiler.command, *arguments, "-o", str(made)], timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise NativeError(f"{name} did not end within {_PATIENCE} s: {_REMEDY}") from None
    if answer.returncode != 0:
        raise NativeError(_failure(name, answer))
    if not made.is_file():
        raise NativeError(f"{name} made no library: {_REMEDY}")


def _failure(name: str, answer: subprocess.CompletedProcess[str]) -> str:
    """What to say of a compiler that failed: of a mistake in a source its own first error, which says where it is."""
    lines = answer.stderr.splitlines()
    mistake = next((line for line in lines if _OF_A_SOURCE.search(line)), None)
    if mistake is not None:
        return f"{name} refuses a source: {mistake.strip()}"
    said = next((line for line in lines if "error" in line), lines[0] if lines else "it said nothing")
    return f"{name} failed with exit code {answer.returncode} ({said.strip()}): {_REMEDY}"


def _key(compiler: Compiler, source: str, flags: Sequence[str], headers: Sequence[Path] = ()) -> str:
    digest = hashlib.sha256()
    for path in [*sorted(SOURCES.glob("*.h")), *(SOURCES / header for header in headers), SOURCES / source]:
        digest.update(path.read_bytes())
    for text in (*compiler.command, compiler.version, *flags, _processor()):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:32]


@cache
def _processor() -> str:
    """What `-march=native` looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _sweep_up(folder: Path) -> None:
    for path in folder.glob("building-*"):
        with suppress(FileNotFoundError):  # another process has just finished there
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def cache_folder() -> Path:
    """Where libraries are kept: `$XDG_CACHE_HOME` (or `~/.cache`) `/basinet/native`, the user's own.

    If nothing can be written there, or others could, a folder that lasts as long as this process.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "basinet" / "native"
    if not folder.is_absolute():  # the working directory, or a user without a home
        return _fleeting_folder(f"{folder} is no absolute path")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        if state.st_uid != os.getuid() or state.st_mode & 0o022:
            return _fleeting_folder(f"{folder} can be written by others")
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        return _fleeting_folder(f"{folder} cannot be written ({error.strerror})")


@cache
def _fleeting_folder(reason: str) -> Path:
    _log.warning("%s: kernels are compiled anew by every process; XDG_CACHE_HOME names another folder", reason)
    folder = Path(tempfile.mkdtemp(prefix="basinet-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
