"""basinet: thousands of random restarts of a small network, and the spread of the local minima they end in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from basinet.mlp.textbook import forward_backward
    from basinet.study import Study, run

_WHERE = {
    "Study": "basinet.study",
    "run": "basinet.study",
    "forward_backward": "basinet.mlp.textbook",
}
"""Public names and their modules, imported on first use: torch alone takes two seconds."""

__all__ = ["Study", "__version__", "forward_backward", "run"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'basinet' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
