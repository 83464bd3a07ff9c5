"""The minima of a sweep's conditions, and the lines that verdicts were drawn by."""

from __future__ import annotations

from pathlib import Path

import pytest

import basinet
from basinet.foundation.errors import ConfigError
from basinet.study.study import Study
from basinet.workflows.reclassify import reclassify
from basinet.workflows.sweep import merge_sweep


def test_a_condition_that_no_study_is_cannot_be_merged(swept: Path) -> None:
    catalogues = basinet.open("basinet").catalogues()
    stranger = Study.from_config({"seed": 12345})
    with pytest.raises(ConfigError, match=rf"^condition \w+ is none of the studies \({stranger.key}\) whose minima"):
        merge_sweep(catalogues, [stranger])


def test_only_tolerances_of_verdicts_can_be_changed_afterwards(swept: Path) -> None:
    with pytest.raises(ConfigError, match=r"^unknown tolerance of verdicts 'zeros': did you mean 'zero'\?$"):
        reclassify("basinet", zeros=1.0)
    with pytest.raises(ConfigError, match=r"^certify\.zero=-1: must be 0 or more, and finite$"):
        reclassify("basinet", zero=-1)
    with pytest.raises(ConfigError, match=r"^certify\.zero=much: must be a number$"):
        reclassify("basinet", zero="much")
