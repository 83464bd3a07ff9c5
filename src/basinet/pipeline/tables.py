"""From tensors to tidy tables: the only crossing from torch to pandas."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from basinet.analysis import unseen
from basinet.foundation.outcomes import KIND_NAMES, REASON_NAMES, STATUS_NAMES, Kind
from basinet.pipeline.blocks import Block, Life, Visited
from basinet.pipeline.critical_points import CriticalPoints
from basinet.pipeline.searches import Points
from basinet.protocols import Objective, Symmetry
from basinet.stages.certify import Evidence
from basinet.stages.merge import Bottoms, Minima, distinct
from basinet.stages.orbits import orbits
from basinet.stages.reasons import reasons
from basinet.stages.tolerances import Tolerances
from basinet.study.study import Study

Part = TypeVar("Part")

SPECTRUM = ["dense", "lanczos", "none"]


Examined = Block | Visited
"""What has rows of bottoms: those of restarts, and those that runs have visited."""


def examined(blocks: list[Block]) -> list[Examined]:
    """All that is known of bottoms: restarts first, in their order, then what runs have visited beside."""
    return [*blocks, *(block.bottoms for block in blocks if block.bottoms is not None)]


def evidence_arrays(blocks: Sequence[Examined]) -> dict[str, npt.NDArray[Any]]:
    """The evidence of all rows, by the names of `Evidence`."""
    names = [field.name for field in dataclasses.fields(Evidence)]
    return {name: column(blocks, lambda block, name=name: getattr(block.evidence, name)) for name in names}  # type: ignore[misc]


def evidence_arrow(evidence: dict[str, npt.NDArray[Any]], first: int = 0) -> pa.Table:
    """One row per restart from number `first` on: the evidence.

    Eigenvalues are lists, for which pandas would need an object per restart.
    """
    columns = {name: _arrow_lists(values) if values.ndim == 2 else values for name, values in evidence.items()}
    return pa.table({"restart": np.arange(first, first + len(evidence["converged"])), **columns})


def _arrow_lists(values: npt.NDArray[Any]) -> pa.Array:
    offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
    return pa.LargeListArray.from_arrays(offsets, values.reshape(-1))


def with_orbits(table: pd.DataFrame, orbit: npt.NDArray[np.int64]) -> pd.DataFrame:
    """A table with the column `minimum` and, behind it, the orbit of that: -1 for none."""
    of_none = np.append(orbit, -1)  # where the minimum is -1
    table.insert(list(table.columns).index("minimum") + 1, "orbit", of_none[table["minimum"].to_numpy()])
    return table


def restarts_table(
    blocks: list[Block],
    study: Study,
    kind: npt.NDArray[np.int8],
    evidence: dict[str, npt.NDArray[Any]],
    zero_modes: npt.NDArray[np.int64],
    minimum: npt.NDArray[np.int64],
) -> pd.DataFrame:
    """One row per restart of these blocks; all but the blocks and the study has a row for each, too."""
    status = column(blocks, lambda block: block.solution.status)
    outcome = column(blocks, lambda block: block.polished.outcome)
    because = reasons(kind, outcome, evidence, study.tolerances)
    eigenvalues = evidence["eigenvalues"]
    timed = blocks[0].solution.time
    columns: dict[str, object] = {
        "restart": np.concatenate([np.arange(b.restarts.start, b.restarts.stop) for b in blocks]),
        "seed": study.seed,
        "start": column(blocks, lambda block: _start_numbers(block.starts)),
        "engine": pd.Categorical([study.engine.name] * len(status), categories=pd.Index(["torch", "native"])),
        "status": pd.Categorical.from_codes((status - 1).tolist(), categories=pd.Index(STATUS_NAMES)),
        "kind": pd.Categorical.from_codes(kind.tolist(), categories=pd.Index(KIND_NAMES)),
        "unfinished_because": pd.Categorical.from_codes(because.tolist(), categories=pd.Index(REASON_NAMES)),
        "minimum": minimum,
        "steps": column(blocks, lambda block: block.solution.steps),
        "time": np.nan if timed is None else column(blocks, lambda block: _given(block.solution.time)),
        "gradients": column(blocks, lambda block: block.solution.gradients),
        "loss_initial": column(blocks, lambda block: block.solution.loss_initial),
        "loss_descended": column(blocks, lambda block: block.solution.loss),
        "loss": column(blocks, lambda block: block.polished.loss),
        "gradient_norm": column(blocks, lambda block: block.polished.gradient_norm),
        "parameter_norm": column(blocks, lambda block: _norms(block.polished.theta)),
        "parameter_norm_descended": column(blocks, lambda block: _norms(block.solution.theta)),
        "distance_polished": column(blocks, lambda block: block.polished.distance),
        "last_newton_step": column(blocks, lambda block: block.polished.last_step),
        "spectrum": pd.Categorical([_spectrum(study)] * len(status), categories=pd.Index(SPECTRUM)),
        "lambda_min": eigenvalues[:, 0],
        "lambda_max": eigenvalues[:, -1],
        "zero_modes": zero_modes,
        "explained_zero_modes": evidence["explained_zero_modes"],
    }
    columns |= _lives(blocks)
    columns["loss_holdout"] = np.nan
    optional = ("loss_holdout", "loss_original", "loss_holdout_original", "accuracy", "accuracy_holdout", "elsewhere")
    for name in optional:
        if getattr(blocks[0], name) is not None:
            columns[name] = column(blocks, lambda block, name=name: getattr(block, name))  # type: ignore[misc]
    return pd.DataFrame(columns)


def _given(column: Tensor | None) -> Tensor:
    if column is None:
        raise ValueError("blocks of one study have the same columns")
    return column


def _spectrum(study: Study) -> str:
    """How the ends of spectra are found: from the whole Hessian, from products with it, or not at all.

    The settings say it, and not what became of some restarts: all of a block may have diverged.
    """
    if study.network.size <= study.polishing.dense_max:
        return "dense"
    return "lanczos" if study.polishing.lanczos_steps > 0 else "none"


def _start_numbers(starts: Tensor) -> Tensor:
    """A number for each start, `[restart]` int64, that is the same where the start is the same to the bit.

    So conditions that began from the same starts can be compared restart by restart, whatever their settings are.
    64 bits: among a million different starts two have the same number once in 10⁷ times.
    """
    hashes = pd.util.hash_pandas_object(pd.DataFrame(starts.numpy()), index=False)
    return torch.from_numpy(hashes.to_numpy().view(np.int64).copy())


def _norms(theta: Tensor) -> Tensor:
    """Euclidean norm of each restart's parameters."""
    norms: Tensor = torch.linalg.vector_norm(theta.double(), dim=1)
    return norms


def _lives(blocks: list[Block]) -> dict[str, object]:
    """What became of runs: how many rounds they began, what they spent, and how much more than their budget."""
    if blocks[0].life is None:
        return {}
    spent = column(blocks, lambda block: life_of(block).spent)
    return {"rounds": column(blocks, lambda block: life_of(block).rounds), "spent": spent}


def life_of(block: Block) -> Life:
    """What became of the runs of a block."""
    if block.life is None:
        raise ValueError("blocks of one study all have runs, or none has")
    return block.life


def minima_table(
    representatives: Visited, found: Minima, reached: npt.NDArray[np.int64], restarts: int, objective: Objective
) -> pd.DataFrame:
    """One row per distinct bottom, in the order of their losses; `share` is of all restarts, with Wilson's interval.

    `loss` is where the representative stands, `level` what the flow from there lowers it to: another number at infinity
    only, on the way to which every descent stops somewhere. `log_det` is ½ log det H without the zeros that continuous
    symmetries explain, and `orbit_size` how many points the symmetries make of a minimum; NaN of other bottoms.

    Args:
        representatives: a row that has reached each bottom.
        found: the bottoms.
        reached: by how many restarts, `[minimum]`; 0 where only runs have visited it.
        restarts: how many there are.
        objective: in float64.
    """
    theta = representatives.polished.theta.numpy()
    loss = representatives.polished.loss.numpy()
    eigenvalues = representatives.evidence.eigenvalues.numpy()
    whole = eigenvalues.shape[1] == theta.shape[1]
    remaining = representatives.evidence.remaining.numpy()
    left = np.where(found.kind == Kind.AT_INFINITY, objective.scale * remaining, 0.0)
    low, high = unseen.wilson(reached, restarts)
    is_minimum = found.kind == Kind.MINIMUM
    explained = representatives.evidence.explained_zero_modes.numpy()
    table = pd.DataFrame(
        {
            "minimum": np.arange(len(loss)),
            "kind": pd.Categorical.from_codes(found.kind.tolist(), categories=pd.Index(KIND_NAMES)),
            "loss": loss,
            "level": loss - left,
            "count": reached,
            "share": reached / restarts,
            "share_low": low,
            "share_high": high,
            "lambda_min": eigenvalues[:, 0],
            "lambda_max": eigenvalues[:, -1],
            "trace": eigenvalues.sum(1) if whole else np.nan,
            "log_det": np.where(is_minimum, half_log_dets(eigenvalues, explained), np.nan) if whole else np.nan,
            "orbit_size": orbit_sizes(objective, theta, is_minimum),
            "parameter_norm": np.linalg.norm(theta, axis=1),
            "looseness": found.diameter,
            "restart": representatives.restart.numpy(),
            "parameters": list(theta),
            "signature": list(representatives.signature.numpy()),
        }
    )
    if representatives.loss_original is not None:
        table.insert(list(table.columns).index("loss") + 1, "loss_original", representatives.loss_original.numpy())
    return table


def half_log_dets(eigenvalues: npt.NDArray[np.float64], explained: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """½ Σ log λ_i over all but the `explained` smallest |λ_i|, `[row]`; NaN where one of them is not positive.

    >>> half_log_dets(np.array([[1e-17, np.exp(2), np.exp(4)], [-1.0, 1.0, 1.0]]), np.array([1, 0])).tolist()
    [3.0, nan]
    """
    order = np.abs(eigenvalues).argsort(axis=1, kind="stable")
    counted = np.arange(eigenvalues.shape[1]) >= explained[:, None]
    values = np.where(counted, np.take_along_axis(eigenvalues, order, axis=1), 1.0)
    positive: npt.NDArray[np.bool_] = np.all(values > 0, axis=1)
    result: npt.NDArray[np.float64] = np.log(np.where(positive[:, None], values, 1.0)).sum(1) / 2
    return np.where(positive, result, np.nan)


def orbit_sizes(
    objective: Objective, theta: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """How many points the objective's symmetries make of each row of `theta [row, parameter]` that is `chosen`."""
    sizes = np.full(len(theta), np.nan)
    sizes[chosen] = objective.symmetry.orbit_size(torch.from_numpy(theta[chosen])).numpy()
    return sizes


def with_new_minima(minima: pd.DataFrame, new: Points, study: Study, restarts: int) -> pd.DataFrame:
    """The table of minima with those behind that only searches between them have reached: no restart has, `count` is 0.

    `restart` is -1 for these, which tells them from those that only runs have visited, and ids go on where those of the
    restarts and runs end. `restarts` is how many there were, of which shares are.
    """
    if len(new.theta) == 0:
        return minima
    eigenvalues, loss, objective = new.eigenvalues.numpy(), new.loss.numpy(), study.exact_objective
    low, high = unseen.wilson(np.zeros(len(loss)), restarts)
    rows = pd.DataFrame(
        {
            "minimum": np.arange(len(minima), len(minima) + len(loss)),
            "orbit": _orbits_of_new(minima, new, study),
            "kind": pd.Categorical(["minimum"] * len(loss), categories=pd.Index(KIND_NAMES)),
            "loss": loss,
            "level": loss,
            "count": np.zeros(len(loss), dtype=np.int64),
            "share": 0.0,
            "share_low": low,
            "share_high": high,
            "lambda_min": eigenvalues[:, 0],
            "lambda_max": eigenvalues[:, -1],
            "trace": eigenvalues.sum(1),
            "log_det": half_log_dets(eigenvalues, new.explained_zero_modes.numpy()),
            "orbit_size": orbit_sizes(objective, new.theta.numpy(), np.ones(len(loss), dtype=np.bool_)),
            "parameter_norm": _norms(new.theta).numpy(),
            "looseness": 0.0,
            "restart": -1,
            "parameters": list(new.theta.numpy()),
            "signature": list(new.signature.numpy()),
        }
    )
    original = objective.loss_original(new.theta)
    if original is not None:
        rows["loss_original"] = original.numpy()
    return pd.concat([minima, rows], ignore_index=True)[[*minima.columns]]


def _orbits_of_new(minima: pd.DataFrame, new: Points, study: Study) -> npt.NDArray[np.int64]:
    """The orbit of each new minimum: that of a known one if symmetries of the problem relate the two, else another."""
    known = minima[(minima["kind"] == "minimum").to_numpy()]
    theta = [torch.from_numpy(np.array(row)) for row in known["parameters"]]
    signature = [*known["signature"], *new.signature.numpy()]
    together = Bottoms(
        kind=np.full(len(signature), int(Kind.MINIMUM), dtype=np.int8),
        loss=np.concatenate([known["loss"].to_numpy(np.float64), new.loss.numpy()]),
        signature=np.stack(signature),
        theta=torch.stack([*theta, *new.theta]),
    )
    found = orbits(together, study.exact_objective, study.tolerances)
    number = dict(zip(found[: len(known)].tolist(), known["orbit"].tolist(), strict=True))
    first = int(minima["orbit"].max()) + 1 if len(minima) > 0 else 0
    for label in found[len(known) :].tolist():
        if label not in number:
            number[label] = first
            first += 1
    return np.array([number[label] for label in found[len(known) :].tolist()], dtype=np.int64)


def saddles_table(
    found: CriticalPoints, minima: pd.DataFrame, numbers: npt.NDArray[np.int64], objective: Objective
) -> pd.DataFrame:
    """One row per saddle, in the order of index and loss: `saddle index kind loss … minimum_a minimum_b …`.

    `negative` counts the negative eigenvalues, which is the index unless the point is degenerate (index -1). A saddle
    of index 1 joins `minimum_a` and `minimum_b`, the lower one first; -1 where the flow has led to no minimum, and of
    all others. `images` tells that both are copies of one minimum. `numbers` are the ids of the minima by their places.
    """
    points, loss = found.saddles, found.saddles.loss.numpy()
    loss_of = minima.set_index("minimum")["loss"]
    ids = np.where(found.sides >= 0, np.append(numbers, -1)[found.sides], -1)
    heights = loss_of.reindex(ids.reshape(-1)).to_numpy(np.float64).reshape(-1, 2)
    order = np.lexsort((ids, np.where(ids < 0, np.inf, heights)), axis=1)
    ids, heights = np.take_along_axis(ids, order, axis=1), np.take_along_axis(heights, order, axis=1)
    eigenvalues = points.eigenvalues.numpy()
    return pd.DataFrame(
        {
            "saddle": np.arange(len(loss)),
            "index": found.index,
            "kind": pd.Categorical.from_codes(found.kind.tolist(), categories=pd.Index(KIND_NAMES)),
            "loss": loss,
            "lambda_min": eigenvalues[:, 0],
            "lambda_max": eigenvalues[:, -1],
            "negative": found.negative,
            "log_det": half_log_dets(np.abs(eigenvalues), points.explained_zero_modes.numpy()),
            "minimum_a": ids[:, 0],
            "minimum_b": ids[:, 1],
            "barrier_a": loss - heights[:, 0],
            "barrier_b": loss - heights[:, 1],
            "images": (ids[:, 0] == ids[:, 1]) & (ids[:, 0] >= 0),
            "orbit_size": orbit_sizes(objective, points.theta.numpy(), found.kind == Kind.SADDLE),
            "gradient_norm": points.gradient_norm.numpy(),
            "count": found.count,
            "search": found.search,
            "parameters": list(points.theta.numpy()),
        }
    )


def merge_catalogues(minima: pd.DataFrame, symmetry: Symmetry, tolerances: Tolerances) -> npt.NDArray[np.int64]:
    """The same bottom found by several conditions of one objective: an id for every row of their minima tables.

    Ids are in the order of the losses.
    """
    theta = torch.from_numpy(np.stack(minima["parameters"].to_list()))
    kind = pd.Categorical(minima["kind"], categories=KIND_NAMES).codes
    signature = np.stack(minima["signature"].to_list())
    bottoms = Bottoms(np.asarray(kind), minima["loss"].to_numpy(np.float64), signature, theta)
    return distinct(bottoms, symmetry, tolerances).minimum


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

    def by_restart(values: Tensor) -> npt.NDArray[Any]:  # [record, restart]
        return values[:, :count].T.numpy().reshape(-1)

    marks = np.tile(trajectory.step.numpy(), count)
    frame = pd.DataFrame(
        {
            "restart": np.repeat(np.arange(block.restarts.start, block.restarts.start + count), records),
            "record": np.tile(np.arange(records, dtype=np.int32), count),
            **({"step": marks} if trajectory.steps is None else {"step": by_restart(trajectory.steps), "time": marks}),
            "loss": by_restart(trajectory.loss),
            "gradient_norm": by_restart(trajectory.gradient_norm),
        }
    )
    return frame[frame["loss"].notna()].reset_index(drop=True)


def parameters(blocks: list[Block]) -> dict[str, npt.NDArray[np.floating]]:
    """The starts and the ends of all restarts, `[restart, parameter]` each."""
    return {
        "initial": np.concatenate([block.starts.numpy() for block in blocks]),
        "final": np.concatenate([block.polished.theta.numpy() for block in blocks]),
    }


def column(blocks: Sequence[Part], get: Callable[[Part], Tensor]) -> npt.NDArray[Any]:
    """A column of all rows, of what each part has of it."""
    return np.concatenate([get(block).numpy() for block in blocks])
