"""One block as a worker computes it: a study and a range go out, plain arrays come back; nothing is written.

A worker needs this package, of the same version; neither the tracking store nor a folder that it shares with others.
What is raised is sent back as text: an exception that reaches whoever asked is of the way, not of the work.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

import basinet
from basinet.engines import compiled_by
from basinet.foundation.errors import ConfigError
from basinet.foundation.machine import numerics
from basinet.pipeline.blocks import arrays_of, block_of
from basinet.pipeline.solve import go_on, solve
from basinet.study.study import Study

Arrays = Mapping[str, npt.NDArray[Any]]

_KEPT = 8  # studies whose engines, which may be compiled code, are kept for their next blocks
_known: dict[Any, Study] = {}


@dataclass(frozen=True)
class Job:
    """Some restarts of a study; of no restarts, the question who would make them."""

    study: Study
    restarts: range
    begun: Arrays | None = None  # of these restarts, whose runs have had a smaller budget
    kind: str | None = None  # of machine that may do it; None: any


def kind_of_machine() -> str:
    """One line that is the same on machines whose blocks may stand in one condition."""
    return f"basinet {basinet.__version__}, {compiled_by()}, {numerics()}"


def work(job: Job) -> dict[str, Any]:
    """What a worker answers, in plain values and arrays.

    `kind` of machine it is; unless that is another one than was wanted: `made_by`, the maker of its blocks, the block's
    `arrays` and the `seconds` it took, or what has `failed`, a traceback, with `blame` where it is a user's error.
    """
    kind = kind_of_machine()
    if job.kind not in (None, kind):
        return {"kind": kind}
    try:
        study = _known_study(job.study)
        answer = {"kind": kind, "made_by": study.made_by}
        return answer | _block(study, job) if len(job.restarts) > 0 else answer
    except Exception as error:
        blame = str(error) if isinstance(error, ConfigError | MemoryError) else None
        return {"kind": kind, "failed": traceback.format_exc(), "blame": blame}


def _block(study: Study, job: Job) -> dict[str, Any]:
    start = time.perf_counter()
    block = solve(study, job.restarts) if job.begun is None else go_on(study, block_of(job.begun, job.restarts))
    return {"arrays": arrays_of(block), "seconds": time.perf_counter() - start}


def _known_study(study: Study) -> Study:
    """The same study, with the engine that an earlier block has made ready."""
    key = (study.key, study.execution)
    if key not in _known:
        for old in list(_known)[: max(0, len(_known) + 1 - _KEPT)]:
            _known.pop(old, None)
        _known[key] = study
    return _known.get(key, study)
