"""Orthogonal matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from basinet.foundation import random_streams
from basinet.inits.scaled import Drawn, require_positive
from basinet.mlp.network import Network

_LANES = 64  # restarts are padded to a multiple of this, see basinet.mlp.layouts


@dataclass(frozen=True)
class Orthogonal(Drawn):
    """W = gain · Q with orthonormal rows or columns, uniform (Haar) among all such matrices; biases are zero.

    Q comes from Gram-Schmidt on a normal matrix. Source: Saxe, McClelland & Ganguli (2014).
    """

    gain: float
    bias: Literal["zero"]

    def __post_init__(self) -> None:
        require_positive("init.gain", self.gain)

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        theta = torch.from_numpy(random_streams.normal(seed, restarts, network.size))
        for layer in network.layers(theta):
            tall = layer.weight.shape[1] >= layer.weight.shape[2]
            matrix = layer.weight if tall else layer.weight.mT
            for part in matrix.split(4096):
                part.copy_(_orthonormal_columns(part).mul_(self.gain))
            if layer.bias is not None:
                layer.bias.zero_()
        return theta


def _orthonormal_columns(matrix: Tensor) -> Tensor:
    """Gram-Schmidt, made twice per column for full accuracy, on `[restart, row, column]` with row ≥ column.

    Written out with the restarts innermost, so that a restart's numbers do not depend on the others, which a LAPACK
    routine does not promise.
    """
    restarts, rows, columns = matrix.shape
    lanes = -(-restarts // _LANES) * _LANES
    v = matrix.new_ones(columns, rows, lanes)
    v[:, :, :restarts] = matrix.movedim(0, -1).movedim(0, 1)
    for j in range(columns):
        for _ in range(2 if j else 0):
            overlap = (v[:j] * v[j]).sum(1, keepdim=True)  # [earlier column, 1, restart]
            v[j] -= (v[:j] * overlap).sum(0)
        square = (v[j] * v[j]).sum(0)
        v[j] /= torch.from_numpy(np.sqrt(square.numpy()))  # torch's is MKL's: not always rounded correctly
    return v[:, :, :restarts].movedim(-1, 0).mT.contiguous()
