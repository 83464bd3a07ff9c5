"""What needs all restarts of a study: the distinct bottoms, whether there are enough restarts, and the tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis import cards, unseen, wording
from basinet.analysis.cards import Card, Shown
from basinet.foundation.stopwatch import Stopwatch
from basinet.pipeline import tables
from basinet.pipeline.blocks import Block
from basinet.pipeline.landscape import Landscape
from basinet.pipeline.parts import Part, Parts
from basinet.pipeline.record_quantiles import RecordQuantiles, quantiles_table
from basinet.pipeline.survey import survey
from basinet.study.study import Study


@dataclass(frozen=True, repr=False)
class Findings(Shown):
    """What came out of a study.

    Of one in `parts` the tables with rows for each restart, their evidence, curves, parameters and visits are of the
    first ones, which are a random sample of all (`foundation.large`); all other fields are of all restarts.
    """

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
    count: int = 0  # restarts, all of them
    parts: Iterable[Part] = ()  # all restarts, where they are too many to be held; can be gone through again

    @property
    def evidence(self) -> pd.DataFrame:
        """One row per restart: what its verdict was made of."""
        frame: pd.DataFrame = tables.evidence_arrow(self.evidence_arrays).to_pandas()
        return frame

    @property
    def _card(self) -> Card:
        facts = [f"{len(self.restarts):,} restarts: {cards.ends(self.restarts['kind'])}", cards.best(self.minima)]
        rest = ".restarts  .minima  .curves  .quantiles  .evidence  .parameters"
        between = "" if self.landscape is None else "  .landscape"
        visits = "" if self.visits is None else "  .visits"
        title = f"Findings of {self.study.label}"
        return Card(title, facts, cards.bottoms(self.minima), f"{rest}{visits}{between}")


def enough(study: Study, blocks: Iterable[Block]) -> bool:
    """Whether Boender and Rinnooy Kan's rule says that hardly a minimum can be missing (`unseen.enough`)."""
    every = survey(study, blocks)
    return unseen.enough(every.minima, every.at_minima)


def gather(
    study: Study, blocks: Iterable[Block], curves_max: int, watch: Stopwatch | None = None, held: int | None = None
) -> Findings:
    """What needs all restarts: the distinct bottoms, and the tables.

    Args:
        study: the condition.
        blocks: of its restarts, in their order; can be gone through again and again.
        curves_max: number of restarts whose whole loss curve is kept.
        watch: by which time is taken.
        held: the tables are of the first so many restarts, and otherwise no more are held than those of one block; of
            all, and all are, if None.
    """
    watch, quantiles = watch or Stopwatch(), RecordQuantiles()
    is_whole = held is None
    with watch.stage("merge"):
        every = survey(study, blocks if is_whole else quantiles.watching(blocks, again=False))
    with watch.stage("tables"):
        parts = Parts(study, blocks, every, curves_max)
        head = parts.head(every.restarts if held is None else held)
        if not is_whole:
            deque(quantiles.watching(blocks, again=True), maxlen=0)
        minima = tables.minima_table(
            every.representatives, every.found, every.reached, every.restarts, study.exact_objective
        )
        return Findings(
            study=study,
            restarts=head.restarts,
            minima=tables.with_orbits(minima, every.orbit),
            evidence_arrays=head.evidence_arrays,
            curves=head.curves,
            quantiles=quantiles_table([*blocks]) if is_whole else quantiles.table(),
            parameters=head.parameters,
            visits=head.visits,
            symmetry=wording.symmetry(study.exact_objective.problem_symmetry),
            seconds=watch.seconds,
            count=every.restarts,
            parts=() if is_whole else parts,
        )
