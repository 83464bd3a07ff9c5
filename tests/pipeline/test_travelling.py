"""A study and what came out of it go to other processes."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pandas as pd
import pytest

from basinet.objectives.losses import LOSSES
from basinet.pipeline.run import run
from basinet.study.study import Study

SETTINGS = {"restarts": 20, "descent": {"steps": 50}, "engine": "torch"}


def travelled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))  # noqa: S301  # what has just been written


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_travels(loss: str) -> None:
    assert travelled(LOSSES[loss]) == LOSSES[loss]


def test_a_study_that_has_run_and_its_findings_travel() -> None:
    """After a run a study has made threads, and perhaps compiled code: these stay where they are."""
    findings = run(Study.from_config(SETTINGS))
    there = travelled(findings)
    assert there.study.key == findings.study.key
    pd.testing.assert_frame_equal(there.restarts, findings.restarts, check_exact=True)
    pd.testing.assert_frame_equal(run(there.study).restarts, findings.restarts, check_exact=True)


@pytest.mark.slow
def test_another_process_finds_the_same() -> None:
    study = Study.from_config(SETTINGS)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
        found = elsewhere.submit(run, study).result()
    pd.testing.assert_frame_equal(found.restarts, run(study).restarts, check_exact=True)
