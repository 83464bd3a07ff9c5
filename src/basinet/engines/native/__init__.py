"""The native engine: kernels in C++, compiled for each network and called by ctypes."""

from __future__ import annotations

from basinet.engines.native.compiler import NativeError
from basinet.engines.native.engine import NativeEngine

__all__ = ["NativeEngine", "NativeError"]
