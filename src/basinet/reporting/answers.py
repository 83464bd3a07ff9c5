"""What the minima of a condition compute: their outputs over the data, and their weights, as tidy frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from basinet.mlp.trained import outputs, unflatten
from basinet.study.study import Study

MOST = 6
"""Bottoms whose answers are shown, the lowest: as many as have colours of their own."""

_ALONG = 200  # points of a curve over one input
_ACROSS = 61  # points along each side of a map over two inputs
_BEYOND = 0.15  # of what is shown around the samples, as a share of their extent
_ABOUT = ["minimum", "kind", "loss", "restart"]


def answers(study: Study, minima: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """What the lowest minima answer to every sample and, where there are one or two inputs, between the samples.

    Args:
        study: the condition.
        minima: its table of minima.
        most: of how many.

    Returns:
        `minimum kind loss restart output sample x1 (x2) target answer`, one row per minimum, output and input;
        `restart` is one that ends there, -1 where none does; `sample` is -1 and `target` NaN between the samples. Of
        more than two inputs there are no columns. No rows where the objective is of no network.
    """
    chosen = _chosen(minima, most)
    known = study.problem.inputs
    whole = None if chosen.empty else study.exact_objective.whole(_parameters(chosen))
    if whole is None:
        return pd.DataFrame(columns=[*_ABOUT, "output", "sample", "target", "answer"])
    x = torch.cat([known, _between(known)], 1)
    given = outputs(whole[0], whole[1], x).numpy()  # [minimum, output, input]
    targets = np.full(given.shape[1:], np.nan)
    targets[:, : known.shape[1]] = study.problem.targets.numpy()
    sample = np.where(np.arange(x.shape[1]) < known.shape[1], np.arange(x.shape[1]), -1)
    drawn = {f"x{place + 1}": column for place, column in enumerate(x.numpy())} if len(x) <= 2 else {}
    parts = [
        pd.DataFrame({**_about(about), "output": output, "sample": sample, **drawn, "target": target, "answer": answer})
        for about, every in zip(chosen[_ABOUT].to_dict("records"), given, strict=True)
        for output, (target, answer) in enumerate(zip(targets, every, strict=True))
    ]
    return pd.concat(parts, ignore_index=True)


def weights(study: Study, minima: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """The weights and biases of the lowest minima, as they are trained.

    Returns:
        `minimum kind loss restart layer unit source weight`, one row per parameter: the weight of a layer to a unit
        from a source, counted from 0; the source of a bias is -1. No rows where the objective is of no network.
    """
    chosen = _chosen(minima, most)
    columns = [*_ABOUT, "layer", "unit", "source", "weight"]
    if chosen.empty or study.exact_objective.whole(_parameters(chosen)) is None:
        return pd.DataFrame(columns=columns)
    parts = [
        pd.DataFrame({**_about(about), "layer": layer, "unit": unit, "source": source, "weight": entry})
        for about, theta in zip(chosen[_ABOUT].to_dict("records"), _parameters(chosen).numpy(), strict=True)
        for layer, (weight, bias) in enumerate(unflatten(theta, study.network))
        for unit, source, entry in _entries(weight, bias)
    ]
    return pd.concat(parts, ignore_index=True)[columns]


def _chosen(minima: pd.DataFrame, most: int) -> pd.DataFrame:
    """The lowest bottoms; the restart of one that only runs have visited does not lead there by itself."""
    chosen = minima.head(most)
    return chosen.assign(restart=chosen["restart"].where((chosen["count"] > 0).to_numpy(), -1))


def _entries(
    weight: npt.NDArray[np.float64], bias: npt.NDArray[np.float64] | None
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Units, sources and numbers of a layer's weights, and of its biases."""
    unit, source = np.indices(weight.shape)
    entries = [(unit.ravel(), source.ravel(), weight.ravel())]
    return entries if bias is None else [*entries, (np.arange(len(bias)), np.full(len(bias), -1), bias)]


def _parameters(minima: pd.DataFrame) -> torch.Tensor:
    """θ `[minimum, parameter]`."""
    return torch.from_numpy(np.stack([np.asarray(row, dtype=np.float64) for row in minima["parameters"]]))


def _between(inputs: torch.Tensor) -> torch.Tensor:
    """Inputs `[feature, point]` on a curve or map around samples with one or two features; none of more."""
    low, high = inputs.amin(1), inputs.amax(1)
    wider = _BEYOND * (high - low) + (high == low)
    ends = list(zip((low - wider).tolist(), (high + wider).tolist(), strict=True))
    if len(ends) == 1:
        return _spaced(ends[0], _ALONG).unsqueeze(0)
    if len(ends) > 2:
        return inputs[:, :0]
    first, second = (_spaced(pair, _ACROSS) for pair in ends)
    y, x = torch.meshgrid(second, first, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()])


def _spaced(ends: tuple[float, float], count: int) -> torch.Tensor:
    return torch.linspace(ends[0], ends[1], count, dtype=torch.float64)


def _about(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row's columns by their names."""
    return {str(name): entry for name, entry in row.items()}
