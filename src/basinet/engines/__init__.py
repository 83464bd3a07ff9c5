"""How a leg of a descent is executed."""

from __future__ import annotations

from basinet.engines.torch_engine import TorchEngine
from basinet.errors import unknown
from basinet.protocols import Engine

ENGINES = ("auto", "torch")


def choose_engine(name: str, threads: int) -> Engine:
    """The engine of the setting `engine`."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return TorchEngine(threads)


__all__ = ["ENGINES", "TorchEngine", "choose_engine"]
