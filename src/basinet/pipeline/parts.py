"""The tables that have rows for each restart: of some blocks at a time, so that they need not be held together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from basinet.pipeline import tables
from basinet.pipeline.blocks import Block
from basinet.pipeline.survey import Survey, Verdicts
from basinet.pipeline.until_best import lowest_certified, until_best
from basinet.pipeline.visits import visits_table
from basinet.stages.certify import classify
from basinet.stages.modes import count_modes
from basinet.study.study import Study


@dataclass(frozen=True)
class Part:
    """What is written of some restarts that follow each other."""

    restarts: pd.DataFrame  # one row per restart
    evidence_arrays: dict[str, npt.NDArray[Any]]  # what the verdicts were made of, by the names of `Evidence`
    curves: pd.DataFrame  # one row per restart and record, of those whose curves are kept
    parameters: dict[str, npt.NDArray[np.floating]]  # "initial" and "final", [restart, parameter]
    visits: pd.DataFrame | None  # one row per visit of a run to a bottom; None where there are no runs

    def tables(self) -> dict[str, pd.DataFrame | pa.Table]:
        """By the names of their files."""
        first = int(self.restarts["restart"].iloc[0])
        found = {
            "restarts": self.restarts,
            "curves": self.curves,
            "evidence": tables.evidence_arrow(self.evidence_arrays, first),
        }
        return found if self.visits is None else {**found, "visits": self.visits}

    def within(self, restarts: int) -> Part:
        """Without the restarts from number `restarts` on."""
        count = int((self.restarts["restart"] < restarts).sum())
        if count == len(self.restarts):
            return self
        visits = self.visits
        return replace(
            self,
            restarts=self.restarts.iloc[:count],
            evidence_arrays={name: values[:count] for name, values in self.evidence_arrays.items()},
            curves=self.curves[(self.curves["restart"] < restarts).to_numpy()],
            parameters={name: values[:count] for name, values in self.parameters.items()},
            visits=None if visits is None else visits[(visits["restart"] < restarts).to_numpy()],
        )


@dataclass(frozen=True)
class Parts:
    """Every block of a study as a part, made when it is asked for; can be gone through again."""

    study: Study
    blocks: Iterable[Block]  # … as often as parts can
    survey: Survey
    curves_max: int

    def __iter__(self) -> Iterator[Part]:
        for place, block in enumerate(self.blocks):
            left = max(0, self.curves_max - block.restarts.start)
            yield self._of([block], [self.survey.verdicts(place)], left)

    def head(self, restarts: int) -> Part:
        """The first so many restarts in one part: a random sample, as restarts do not know of each other."""
        blocks: list[Block] = []
        for block in self.blocks:
            if block.restarts.start >= restarts:
                break
            blocks.append(block)
        verdicts = [self.survey.verdicts(place) for place in range(len(blocks))]
        return self._of(blocks, verdicts, self.curves_max).within(restarts)

    def _of(self, blocks: list[Block], verdicts: Sequence[Verdicts], curves_max: int) -> Part:
        made = part(self.study, blocks, verdicts, self.survey, curves_max)
        if made.visits is None or self.study.escape.allowance.target != "best":
            return made
        restarts, visits = until_best(made.restarts, made.visits, self._level)
        return replace(made, restarts=restarts, visits=visits)

    @cached_property
    def _level(self) -> float:
        """The lowest certified bottom that any run has come to."""
        losses = self.survey.representatives.polished.loss.numpy()
        found = (
            visits_table([block], [self.survey.verdicts(place)], losses) for place, block in enumerate(self.blocks)
        )
        return min((lowest_certified(visits) for visits in found if visits is not None), default=np.inf)


def part(study: Study, blocks: list[Block], verdicts: Sequence[Verdicts], everything: Survey, curves_max: int) -> Part:
    """The tables of some blocks that follow each other, whose `verdicts` are known; curves of the first ones."""
    evidence = tables.evidence_arrays(blocks)
    kind = classify(evidence, study.tolerances)
    zero_modes, _ = count_modes(evidence["eigenvalues"], study.tolerances)
    minimum = np.concatenate([mine.minimum for mine in verdicts])
    restarts = tables.restarts_table(blocks, study, kind, evidence, zero_modes, minimum)
    return Part(
        restarts=tables.with_orbits(restarts, everything.orbit),
        evidence_arrays=evidence,
        curves=tables.curves_table(blocks, curves_max),
        parameters=tables.parameters(blocks),
        visits=visits_table(blocks, verdicts, everything.representatives.polished.loss.numpy()),
    )
