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
    """A member of `init=`: frozen settings that make starts."""

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

__all__ = ["INITS", "Given", "Init"]
