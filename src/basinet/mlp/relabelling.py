"""What it does to a network's parameters when inputs and outputs of its problem change places or are reflected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.mlp.network import Network
from basinet.permutations.signed import Signed


@dataclass(frozen=True)
class Relabelling:
    """Signed permutations of inputs and outputs about their centres c and d, carried to the parameters.

        X(x)_i = s_i (x_π(i) - c_π(i)) + c_i            Y(y)_o = t_o (y_τ(o) - d_τ(o)) + d_o

    The network that answers Y⁻¹ a_L(X(x)) has, in the first layer and then in the last one,

        W'_π(i) = s_i W_i (columns)      b' = b + Σ_i W_i (c_i - s_i c_π(i))
        W'_τ(o) = t_o W_o (rows)         b'_τ(o) = t_o (b_o - d_o) + d_τ(o)

    where the last shift is that of an output which is its pre-activation; another one is reflected by its activation:
    1 - σ(z) = σ(-z), d = ½, for the logistic function, d = 0 for odd ones. Norms of weights stay as they are, those
    of biases where all centres are 0. If (X, Y) maps the samples to themselves, so does the loss.
    """

    network: Network
    centres: npt.NDArray[np.float64]  # [row]: of the inputs, then of the outputs that may be moved

    @property
    def features(self) -> int:
        """Number of inputs."""
        return self.network.widths[0]

    def moved(self, theta: Tensor, element: Signed) -> Tensor:
        """θ' of `theta [parameter]`; `element` says π and τ, s and t of inputs and then, if they move, outputs."""
        result = theta.clone()
        image, sign = torch.from_numpy(element.image), torch.from_numpy(element.sign).to(theta)
        centres = torch.from_numpy(self.centres).to(theta)
        self._move_inputs(result, image[: self.features], sign[: self.features], centres[: self.features])
        if len(image) > self.features:
            rows = slice(self.features, None)
            self._move_outputs(result, image[rows] - self.features, sign[rows], centres[rows])
        return result

    def _move_inputs(self, theta: Tensor, image: Tensor, sign: Tensor, centres: Tensor) -> None:
        weight, bias = next(iter(self.network.layers(theta.unsqueeze(0))))
        before = weight.clone()
        weight[:, :, image] = before * sign
        if bias is not None:
            bias += (before * (centres - sign * centres[image])).sum(2)

    def _move_outputs(self, theta: Tensor, image: Tensor, sign: Tensor, centres: Tensor) -> None:
        *_, (weight, bias) = self.network.layers(theta.unsqueeze(0))
        weight[:, image] = weight * sign.unsqueeze(1)
        if bias is not None:
            shift = centres if self.network.output == "identity" else torch.zeros_like(centres)
            bias[:, image] = sign * (bias - shift) + shift[image]
