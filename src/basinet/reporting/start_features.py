"""Numbers of the starts of restarts that a person can name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from basinet.mlp.network import Network
from basinet.mlp.trained import outputs
from basinet.reporting.basins import names_of
from basinet.study.study import Study

_WEIGHTS_MAX = 60  # parameters that are features one by one
_ANSWERS_MAX = 8  # answers to samples that are
_TOGETHER = 256  # restarts whose answers are made at a time

_Floats = npt.NDArray[np.float64]


def start_features(study: Study, restarts: pd.DataFrame) -> pd.DataFrame:
    """Numbers of the starts of restarts, one row for each.

    Starts are drawn again: they are the same to the bit. Weights are those of the copy that stands for all that the
    symmetries of the network relate (`Objective.symmetry.canonical`: its hidden units in one order, with one sign and
    scale where these can be chosen), since the number of a unit means nothing otherwise. Everything else is the same
    for all copies, or of that one.

    Args:
        study: the condition.
        restarts: `restart loss_initial`, in any order.

    Returns:
        Of up to 60 parameters each by its name (`mlp.names`); `loss` at the start; of a network also, layer by layer,
        `norm W0` and `norm b0` (Frobenius and Euclid), `positive W0` (how many weights are), and of what it answers to
        the samples the `mean answer`, their standard deviation `answers spread`, and of up to 8 answers each, `answer
        3` being that to sample 3, and `answer 3[1]` its second output where there are several.
    """
    numbers = np.array(restarts["restart"], dtype=np.int64)
    drawn = study.starts(range(int(numbers.max()) + 1)) if len(numbers) else study.starts(range(0))
    theta = study.exact_objective.symmetry.canonical(drawn.double().cpu()[torch.from_numpy(numbers)])
    columns: dict[str, _Floats] = {}
    if theta.shape[1] <= _WEIGHTS_MAX:
        columns |= dict(zip(names_of(study), theta.numpy().T, strict=True))
    columns["loss"] = restarts["loss_initial"].to_numpy(np.float64)
    whole = study.exact_objective.whole(theta)
    if whole is not None:
        columns |= dict(_of_layers(*whole)) | dict(_of_answers(*whole, study.problem.inputs))
    return pd.DataFrame(columns)


def _of_layers(network: Network, theta: torch.Tensor) -> Iterator[tuple[str, _Floats]]:
    for number, (weight, bias) in enumerate(network.layers(theta)):
        if weight[0:1].numel() > 1:  # of a single weight its sign and size are itself
            yield f"norm W{number}", torch.linalg.vector_norm(weight, dim=(1, 2)).numpy()
            yield f"positive W{number}", (weight > 0).sum((1, 2)).double().numpy()
        if bias is not None and bias[0:1].numel() > 1:
            yield f"norm b{number}", torch.linalg.vector_norm(bias, dim=1).numpy()


def _of_answers(network: Network, theta: torch.Tensor, inputs: torch.Tensor) -> Iterator[tuple[str, _Floats]]:
    parts = [
        _told(outputs(network, theta[first : first + _TOGETHER], inputs)) for first in range(0, len(theta), _TOGETHER)
    ]
    several, samples = network.widths[-1] > 1, inputs.shape[1]
    names = [f"answer {sample}[{output}]" if several else f"answer {sample}"
             for output in range(network.widths[-1]) for sample in range(samples)]  # fmt: skip
    told = np.concatenate(parts) if parts else np.zeros((0, 2))
    each = names if len(names) <= _ANSWERS_MAX else []
    yield from zip(["mean answer", "answers spread", *each], told.T, strict=True)


def _told(answers: torch.Tensor) -> _Floats:
    """Mean and spread of answers `[restart, output, sample]`, and the answers themselves where they are few."""
    flat = answers.flatten(1)
    each = flat if flat.shape[1] <= _ANSWERS_MAX else flat[:, :0]
    told: _Floats = torch.cat([flat.mean(1, keepdim=True), flat.std(1, correction=0, keepdim=True), each], 1).numpy()
    return told
