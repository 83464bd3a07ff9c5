"""Starts for rounds: addressed, others than those of the restarts, and of the law of the init."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from basinet.foundation.errors import ConfigError
from basinet.study.study import Study


def test_a_start_depends_on_its_run_and_round_alone() -> None:
    study = Study.from_config({"escape": "restart"})
    runs, rounds = np.array([0, 5, 5, 9, 0]), np.array([1, 40, 3, 1, 2])
    together = study.fresh_starts(runs, rounds)
    again = Study.from_config({"escape": "restart"}).fresh_starts
    for row in (3, 0, 2, 4, 1):
        assert torch.equal(again(runs[row : row + 1], rounds[row : row + 1])[0], together[row])


def test_starts_of_rounds_are_normal_as_those_of_restarts_and_none_is_one_of_them() -> None:
    study = Study.from_config({"escape": "restart"})
    starts = study.fresh_starts(np.repeat(np.arange(50), 20), np.tile(np.arange(1, 21), 50))
    assert stats.kstest(starts.flatten().numpy(), "norm").pvalue > 1e-3
    every = torch.cat([starts, study.starts(range(1000))])
    assert len(torch.unique(every, dim=0)) == 2000


def test_an_init_that_has_only_so_many_starts_cannot_restart(tmp_path: Path) -> None:
    np.savez(tmp_path / "starts.npz", np.zeros((3, 9)))
    given = {"name": "given", "path": str(tmp_path / "starts.npz")}
    told = "^escape=restart: needs other starts in every round, and init=given has only so many$"
    with pytest.raises(ConfigError, match=told):
        Study.from_config({"escape": "restart", "init": given, "restarts": 1})
