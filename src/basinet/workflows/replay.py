"""One restart, or a round of its run, again, from its address alone: the same numbers, with everything on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from basinet.analysis.cards import Card, Shown
from basinet.foundation.errors import ConfigError, require
from basinet.mlp.trained import Trained
from basinet.pipeline.solve import descent_again
from basinet.stages.descend import retrace
from basinet.stages.polish import polish
from basinet.study.study import Study
from basinet.tracking.results import Results
from basinet.tracking.row_choice import only

_PATH = 1000  # points of the descent whose parameters are kept
_NAMED = 8  # rounds that a message names


@dataclass(frozen=True, repr=False)
class Replay(Shown):
    """A restart's whole descent."""

    run_id: str
    restart: int
    round: int  # 0: the restart's own descent
    study: Study
    curve: pd.DataFrame  # step loss gradient_norm gradient_norm_0 … (per layer) parameter_norm, one row per step
    path_steps: npt.NDArray[np.int64]  # [point]
    path: npt.NDArray[np.float64]  # [point, parameter], parameters along the way
    theta: npt.NDArray[np.float64]  # [parameter], in the end: polished where the table's row is
    eigenvalues: npt.NDArray[np.float64] | None  # [parameter] of the Hessian there, ascending; None if it is too large
    row: pd.Series  # the restart's row in the table; of a later round, of what it visited
    identical: bool  # whether the loss where the descent ended is that of the table, to the bit

    @property
    def _card(self) -> Card:
        row, same = self.row, "the same" if self.identical else "NOT the same"
        losses = f"loss {self.curve['loss'].iloc[0]:.4g} → {row['loss_descended']:.4g}"
        lowest = "" if self.eigenvalues is None else f", λ min {self.eigenvalues[0]:.3g}"
        facts = [
            self.study.label,
            f"{losses} in {len(self.curve) - 1:,} steps, {same} as in the table",
            f"ended as: {str(row['kind']).replace('_', ' ')}, loss {row['loss']:.6g}{lowest}",
        ]
        rest = ".curve  .path  .theta  .eigenvalues  .row  .state_dict()  .save(folder)"
        which = f"restart {self.restart}" + (f", round {self.round}" if self.round else "")
        return Card(f"Replay of {which} of run {self.run_id[:8]}", facts, rest=rest)

    def state_dict(self) -> dict[str, Tensor]:
        """The network in the end as `torch.nn.Sequential(Linear, activation, Linear, …)` would name its parameters."""
        return dict(Trained(self.study.network, self.theta).module().state_dict())

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


def replay(run_id: str, restart: int, *, round: int = 0, tracking_uri: str | None = None) -> Replay:
    """Train one restart of a finished run again, from (settings, seed, index), and watch every step.

    Args:
        run_id: the run of a condition.
        restart: its index.
        round: of the run that the restart went on as (`escape=…`); 0: its own descent.
        tracking_uri: the store; the one of the working directory if None.

    Raises:
        ConfigError: if there is no such run, restart or round, or the tables have no visit of that round.
    """
    results = Results.open(run_id, tracking_uri)
    settings, last = results.settings(), results.last_restart()
    run_id = str(results.finished[0].info.run_id)  # which may have been given shortened
    require(0 <= restart <= last, f"run {run_id} has restarts 0 to {last}, not {restart}")
    row = results.load_table("restarts", choice=only(restart)).iloc[0]
    visit = _visit(results, row, round)
    engine = "torch" if row["engine"] == "torch" else settings["engine"]  # whatever is installed by now
    study = Study.from_config({**settings, "restarts": restart + 1, "engine": engine})
    start = study.starts(range(restart, restart + 1))[0]
    if visit is not None:
        start, row = _round_again(study, restart, visit)
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
        run_id, restart, round, study, curve, np.array(kept), path, theta.numpy(), _spectrum(study, theta), row, same
    )


def _visit(results: Results, row: pd.Series, number: int) -> pd.Series | None:
    """What a round of the run of a restart, the `row` of the table, came to; None: round 0, the restart itself."""
    where = f"restart {row['restart']} of run {row['run_id']}"
    require(number >= 0, f"round {number}: must be 0 or more")
    if number == 0:
        return None
    require("rounds" in row.index, f"{where} has no round {number}: it ended with its descent (escape=none)")
    require(number < row["rounds"], f"{where} has rounds 0 to {row['rounds'] - 1}, not {number}")
    visits = results.load_table("visits")
    visits = visits[visits["restart"] == row["restart"]]
    found = visits[visits["round"] == number]
    known = ", ".join(str(one) for one in visits["round"].iloc[:_NAMED]) + ", …" * (len(visits) > _NAMED)
    require(len(found) == 1, f"{where}: round {number} came to no bottom that is kept; rounds {known} did")
    minima = results.load_table("minima", ["minimum", "kind"]).set_index("minimum")["kind"]
    kind = minima.get(found["minimum"].iloc[0], "no certified bottom")
    visit: pd.Series = found.assign(kind=kind).iloc[0]
    return visit


def _round_again(study: Study, restart: int, visit: pd.Series) -> tuple[Tensor, pd.Series]:
    """Where the descent to a visit began, and the visit with its `steps` and `status`, which tables do not have."""
    number = int(visit["round"])
    found = descent_again(study, restart, number)
    if found is None:
        raise ConfigError(f"restart {restart} has no round {number} here: another machine, engine or version made it")
    told: pd.Series = pd.concat([visit, pd.Series({"steps": found.steps, "status": found.status.name.lower()})])
    return found.start, told


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
