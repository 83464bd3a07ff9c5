"""Distributions of the starts: one file per init."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from basinet.inits.constant import Constant
from basinet.inits.given import Given
from basinet.inits.kaiming_normal import KaimingNormal
from basinet.inits.kaiming_uniform import KaimingUniform
from basinet.inits.lecun_normal import LecunNormal
from basinet.inits.normal import Normal
from basinet.inits.orthogonal import Orthogonal
from basinet.inits.uniform import Uniform
from basinet.inits.xavier_normal import XavierNormal
from basinet.inits.xavier_uniform import XavierUniform
from basinet.mlp.network import Network


class Init(Protocol):
    """A member of `init=`: frozen settings that make starts. `scaled.Drawn` answers the first three for most."""

    @property
    def max_restarts(self) -> int | None:
        """How many starts there are; None if as many as are asked for."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of what the settings do not say, the content of a file; empty if they say it all."""
        ...

    def check(self, network: Network, restarts: int) -> None:
        """Raise `ConfigError` if there are no such starts for that network."""
        ...

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        """Starts `[restart, parameter]`, float64 on the CPU: every row depends on (seed, its own restart) only."""
        ...


INITS: dict[str, type[Init]] = {
    "normal": Normal,
    "uniform": Uniform,
    "xavier_normal": XavierNormal,
    "xavier_uniform": XavierUniform,
    "kaiming_normal": KaimingNormal,
    "kaiming_uniform": KaimingUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "constant": Constant,
    "given": Given,
}

__all__ = ["INITS", "Init"]
