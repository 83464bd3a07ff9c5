"""How a segment of a descent is executed, and derivatives in bulk."""

from __future__ import annotations

import logging

from basinet.engines.native import NativeEngine, NativeError
from basinet.engines.native.compiler import find_compiler
from basinet.engines.torch_engine import TorchEngine
from basinet.foundation.errors import ConfigError, unknown
from basinet.protocols import Descent, Engine, Objective

ENGINES = ("auto", "torch", "native")

_log = logging.getLogger(__name__)


def check_engine(name: str, objective: Objective, descent: Descent) -> None:
    """Raise `ConfigError` if the setting `engine` names none, or one that cannot do it."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    reason = NativeEngine().unsupported_reason(objective, descent) if name == "native" else None
    if reason is not None:
        raise ConfigError(f"engine=native: {reason}")


def choose_engine(name: str, threads: int, objective: Objective, descent: Descent) -> Engine:
    """The engine of the setting `engine`, ready to run; `auto` is native where that applies, else torch.

    Raises:
        ConfigError: if there is no such engine, or `native` was asked for and cannot do it.
    """
    check_engine(name, objective, descent)
    if name == "torch":
        _log.info("engine: torch")
        return TorchEngine(threads)
    engine = NativeEngine(threads)
    if name == "auto" and not engine.is_meant_for(objective):  # nothing is amiss, so nobody is told
        _log.info("engine: torch")
        return TorchEngine(threads)
    reason = engine.unsupported_reason(objective, descent)
    if reason is None:
        try:
            engine.prepare(objective, descent)
            _log.info("engine: native")
            return engine
        except NativeError as error:
            reason = str(error)
    if name == "native":
        raise ConfigError(f"engine=native: {reason}")
    _log.warning("engine: torch; %s", reason)
    return TorchEngine(threads)


def compiled_by() -> str:
    """What compiles kernels here, in one line."""
    try:
        return find_compiler().version.partition("\n")[0].strip()
    except NativeError:
        return "no compiler"


def described(engine: Engine) -> str:
    """An engine in one line, one of compiled code with what has compiled it."""
    return f"{engine.name} engine" + (f" ({compiled_by()})" if isinstance(engine, NativeEngine) else "")


__all__ = ["ENGINES", "NativeEngine", "TorchEngine", "check_engine", "choose_engine", "compiled_by", "described"]
