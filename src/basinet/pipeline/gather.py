"""What needs all restarts of a study: the distinct bottoms, whether there are enough restarts, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis import cards, unseen, wording
from basinet.analysis.cards import Card
from basinet.foundation.outcomes import Kind
from basinet.foundation.stopwatch import Stopwatch
from basinet.pipeline import tables
from basinet.pipeline.blocks import Block
from basinet.pipeline.landscape import Landscape
from basinet.pipeline.until_best import until_best
from basinet.pipeline.visits import visits_table
from basinet.stages.certify import classify
from basinet.stages.merge import Minima
from basinet.stages.modes import count_modes
from basinet.study.study import Study


@dataclass(frozen=True, repr=False)
class Findings:
    """What came out of a study."""

    study: Study
    restarts: pd.DataFrame  # one row per restart
    minima: pd.DataFrame  # one row per distinct bottom
    evidence_arrays: dict[str, npt.NDArray[Any]]  # what the verdicts were made of, by the names of `Evidence`
    curves: pd.DataFrame  # one row per restart and record, of the first restarts
    quantiles: pd.DataFrame  # one row per record, of all restarts
    parameters: dict[str, npt.NDArray[np.floating]]  # "initial" and "final", [restart, parameter]
    visits: pd.DataFrame | None  # one row per visit of a run to a bottom; None where there are no runs
    symmetry: str  # what may be done to the problem without changing the objective, in words; empty if nothing may
    seconds: dict[str, float]  # wall time by stage: descend, polish, certify, blocks, merge, tables, connect
    landscape: Landscape | None = None  # what lies between the minima, where that was asked for

    @property
    def evidence(self) -> pd.DataFrame:
        """One row per restart: what its verdict was made of."""
        frame: pd.DataFrame = tables.evidence_arrow(self.evidence_arrays).to_pandas()
        return frame

    def __repr__(self) -> str:
        return self._card.text()

    def _repr_html_(self) -> str:
        return self._card.html()

    @property
    def _card(self) -> Card:
        facts = [f"{len(self.restarts):,} restarts: {cards.ends(self.restarts['kind'])}", cards.best(self.minima)]
        rest = ".restarts  .minima  .curves  .quantiles  .evidence  .parameters"
        between = "" if self.landscape is None else "  .landscape"
        visits = "" if self.visits is None else "  .visits"
        title = f"Findings of {self.study.label}"
        return Card(title, facts, cards.bottoms(self.minima), f"{rest}{visits}{between}")


def enough(study: Study, blocks: list[Block]) -> bool:
    """Whether Boender and Rinnooy Kan's rule says that hardly a minimum can be missing (`unseen.enough`)."""
    kind, found = _judged(study, blocks, tables.evidence_arrays(blocks))
    return unseen.enough(int((found.kind == Kind.MINIMUM).sum()), int((kind == Kind.MINIMUM).sum()))


def _judged(
    study: Study, rows: Sequence[tables.Examined], evidence: dict[str, npt.NDArray[Any]]
) -> tuple[npt.NDArray[np.int8], Minima]:
    """The kind of every row, and the distinct bottoms among them."""
    kind = classify(evidence, study.tolerances)
    return kind, tables.merged(rows, kind, study.exact_objective.symmetry, study.tolerances)


def gather(study: Study, blocks: list[Block], curves_max: int, watch: Stopwatch | None = None) -> Findings:
    """What needs all restarts: the distinct bottoms, and the tables."""
    watch = watch or Stopwatch()
    with watch.stage("merge"):
        rows, count = tables.examined(blocks), sum(len(block.restarts) for block in blocks)
        every = tables.evidence_arrays(rows)
        kind, found = _judged(study, rows, every)
        evidence = {name: values[:count] for name, values in every.items()}
        orbit = tables.orbits_of(rows, found, study)
        zero_modes, _ = count_modes(evidence["eigenvalues"], study.tolerances)
    with watch.stage("tables"):
        restarts = tables.restarts_table(blocks, study, kind[:count], evidence, zero_modes, found)
        visits = visits_table(blocks, found)
        if visits is not None and study.escape.allowance.target == "best":
            restarts, visits = until_best(restarts, visits)
        minima = tables.minima_table(rows, count, every, found, study.exact_objective)
        return Findings(
            study=study,
            restarts=tables.with_orbits(restarts, orbit),
            minima=tables.with_orbits(minima, orbit),
            evidence_arrays=evidence,
            curves=tables.curves_table(blocks, curves_max),
            quantiles=tables.quantiles_table(blocks),
            parameters=tables.parameters(blocks),
            visits=visits,
            symmetry=wording.symmetry(study.exact_objective.problem_symmetry),
            seconds=watch.seconds,
        )
