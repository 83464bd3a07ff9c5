"""One restart again, from its address alone: the same numbers, with everything on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from basinet.foundation.errors import require
from basinet.stages.descend import retrace
from basinet.stages.polish import polish
from basinet.study.study import Study
from basinet.tracking.results import Results
from basinet.tracking.row_choice import only

_PATH = 1000  # points of the descent whose parameters are kept


@dataclass(frozen=True)
class Replay:
    """A restart's whole descent."""

    run_id: str
    restart: int
    study: Study
    curve: pd.DataFrame  # step loss gradient_norm gradient_norm_0 … (per layer) parameter_norm, one row per step
    path_steps: npt.NDArray[np.int64]  # [point]
    path: npt.NDArray[np.float64]  # [point, parameter], parameters along the way
    theta: npt.NDArray[np.float64]  # [parameter], in the end: polished where the table's row is
    eigenvalues: npt.NDArray[np.float64] | None  # [parameter] of the Hessian there, ascending; None if it is too large
    row: pd.Series  # the restart's row in the table
    identical: bool  # whether the loss where the descent ended is that of the table, to the bit

    def state_dict(self) -> dict[str, Tensor]:
        """The network in the end as `torch.nn.Sequential(Linear, activation, Linear, …)` would name its parameters."""
        layers = self.study.network.layers(torch.from_numpy(self.theta).unsqueeze(0))
        state = {}
        for index, layer in enumerate(layers):
            state[f"{2 * index}.weight"] = layer.weight[0].clone()
            if layer.bias is not None:
                state[f"{2 * index}.bias"] = layer.bias[0].clone()
        return state

    def save(self, folder: Path) -> list[Path]:
        """Write `curve.parquet`, `path.npz`, and the network as `network.safetensors` and `network.npz`."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        names = ("curve.parquet", "path.npz", "network.safetensors", "network.npz")
        paths = [folder / name for name in names]
        self.curve.to_parquet(paths[0], index=False)
        np.savez(paths[1], step=self.path_steps, theta=self.path)
        state = self.state_dict()
        save_file(state, paths[2])
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in state.items()}
        np.savez(paths[3], **arrays)
        return paths


def replay(run_id: str, restart: int, *, tracking_uri: str | None = None) -> Replay:
    """Train one restart of a finished run again, from (settings, seed, index), and watch every step.

    Args:
        run_id: the run of a condition.
        restart: its index.
        tracking_uri: the store; the one of the working directory if None.

    Raises:
        ConfigError: if there is no such run or restart.
    """
    results = Results.open(run_id, tracking_uri)
    settings, last = results.settings(), results.last_restart()
    run_id = str(results.finished[0].info.run_id)  # which may have been given shortened
    require(0 <= restart <= last, f"run {run_id} has restarts 0 to {last}, not {restart}")
    row = results.load_table("restarts", rows=only(restart)).iloc[0]
    engine = "torch" if row["engine"] == "torch" else settings["engine"]  # whatever is installed by now
    study = Study.from_config({**settings, "restarts": restart + 1, "engine": engine})
    start = study.starts(range(restart, restart + 1))[0]
    rows, points, kept = [], [], []
    keep = _kept_steps(int(row["steps"]))
    for step in retrace(study.objective, study.descent, study.engine, start, int(row["steps"])):
        timed = {} if step.time is None else {"time": step.time}
        rows.append({**_row(study, step.step, step.loss, step.theta, step.gradient), **timed})
        if step.step in keep:
            points.append(step.theta.double().cpu().numpy())
            kept.append(step.step)
    curve = pd.DataFrame(rows)
    theta = _end(study, step.theta, row)
    same = np.array_equal(step.loss, row["loss_descended"], equal_nan=True)
    path = np.stack(points)
    return Replay(
        run_id, restart, study, curve, np.array(kept), path, theta.numpy(), _spectrum(study, theta), row, same
    )


def _spectrum(study: Study, theta: Tensor) -> npt.NDArray[np.float64] | None:
    """The eigenvalues of the Hessian; None where it is too large, or, of a diverged restart, not finite."""
    exact = study.exact_objective
    if exact.size > study.polishing.dense_max:
        return None
    values = study.exact_engine.eigenvalues(exact, theta.unsqueeze(0))[0]
    return values.numpy() if bool(torch.isfinite(values).all()) else None


def _kept_steps(steps: int) -> set[int]:
    return {0, *np.rint(np.geomspace(1, max(steps, 1), _PATH)).astype(int).tolist()}


def _row(study: Study, step: int, loss: float, theta: Tensor, gradient: Tensor) -> dict[str, Any]:
    per_layer = gradient.split(list(study.network.layer_sizes))
    return {
        "step": step,
        "loss": loss,
        "gradient_norm": float(torch.linalg.vector_norm(gradient)),
        **{f"gradient_norm_{layer}": float(torch.linalg.vector_norm(part)) for layer, part in enumerate(per_layer)},
        "parameter_norm": float(torch.linalg.vector_norm(theta)),
    }


def _end(study: Study, theta: Tensor, row: pd.Series) -> Tensor:
    """Where the restart is in the table: polished as it was there, or as it was left by the descent."""
    descended = theta.double().cpu()
    if row["kind"] == "diverged":
        return descended
    start = descended.unsqueeze(0)
    return polish(study.exact_objective, start, study.polishing, study.tolerances, study.exact_engine).theta[0]
