"""From tensors to tidy tables: the only crossing from torch to pandas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from basinet.blocks import Block
from basinet.protocols import Status

SCHEMA_VERSION = 1
"""Of every stored table; raised when a column changes its name or meaning."""

QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}

STATUS = [status.name.lower() for status in Status if status is not Status.RUNNING]


def restarts_table(blocks: list[Block], seed: int) -> pd.DataFrame:
    """One row per restart."""
    status = _column(blocks, lambda block: block.solution.status)
    columns: dict[str, object] = {
        "restart": np.concatenate([np.arange(b.restarts.start, b.restarts.stop) for b in blocks]),
        "seed": seed,
        "status": pd.Categorical.from_codes((status - 1).tolist(), categories=pd.Index(STATUS)),
        "steps": _column(blocks, lambda block: block.solution.steps),
        "loss_initial": _column(blocks, lambda block: block.loss_initial),
        "loss_descended": _column(blocks, lambda block: block.solution.loss),
        "loss": _column(blocks, lambda block: block.solution.loss),
        "gradient_norm": _column(blocks, lambda block: block.solution.gradient_norm),
        "parameter_norm": _column(blocks, lambda block: torch.linalg.vector_norm(block.solution.theta.double(), dim=1)),
    }
    for name in ("loss_holdout", "accuracy", "accuracy_holdout"):
        if getattr(blocks[0], name) is not None:
            columns[name] = _column(blocks, lambda block, name=name: getattr(block, name))  # type: ignore[misc]
    return pd.DataFrame(columns)


def curves_table(blocks: list[Block], curves_max: int) -> pd.DataFrame:
    """One row per record of the first `curves_max` restarts; a diverged one is left out from where it diverged."""
    parts = []
    left = curves_max
    for block in blocks:
        count = min(left, len(block.restarts))
        left -= count
        parts.append(_curves_of(block, count))
    return pd.concat(parts, ignore_index=True)


def _curves_of(block: Block, count: int) -> pd.DataFrame:
    trajectory = block.solution.trajectory
    records = len(trajectory.step)
    loss = trajectory.loss[:, :count].T.numpy()  # [restart, record]
    frame = pd.DataFrame(
        {
            "restart": np.repeat(np.arange(block.restarts.start, block.restarts.start + count), records),
            "record": np.tile(np.arange(records, dtype=np.int32), count),
            "step": np.tile(trajectory.step.numpy(), count),
            "loss": loss.reshape(-1),
            "gradient_norm": trajectory.gradient_norm[:, :count].T.numpy().reshape(-1),
        }
    )
    return frame[frame["loss"].notna()].reset_index(drop=True)


def quantiles_table(blocks: list[Block]) -> pd.DataFrame:
    """One row per record: quantiles over all restarts that have not diverged, and how many of them there are."""
    steps = blocks[0].solution.trajectory.step.numpy()
    rows = []
    for record, step in enumerate(steps):
        row: dict[str, float] = {"record": record, "step": int(step)}
        for name in ("loss", "gradient_norm"):
            values = np.concatenate([getattr(b.solution.trajectory, name)[record].numpy() for b in blocks])
            values = values[~np.isnan(values)]
            row["restarts"] = len(values)
            row.update({f"{name}_{key}": value for key, value in _quantiles(values).items()})
        rows.append(row)
    return pd.DataFrame(rows).astype({"record": np.int32})


def _quantiles(values: npt.NDArray[np.float32]) -> dict[str, float]:
    if len(values) == 0:
        return dict.fromkeys(QUANTILES, np.nan)
    return dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values())).tolist(), strict=True))


def parameters(blocks: list[Block]) -> dict[str, npt.NDArray[np.floating]]:
    """The starts and the ends of all restarts, `[restart, parameter]` each."""
    return {
        "initial": np.concatenate([block.starts.numpy() for block in blocks]),
        "final": np.concatenate([block.solution.theta.numpy() for block in blocks]),
    }


def _column(blocks: list[Block], get: Callable[[Block], Tensor]) -> npt.NDArray[Any]:
    return np.concatenate([get(block).numpy() for block in blocks])
