from __future__ import annotations

import logging

import pytest

from basinet.pipeline.run import run
from basinet.study.study import Study


def test_of_what_is_not_polished_no_hessian_is_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even to say how long it would take: 10,000 columns are 100,000² numbers."""
    wide = {"problem": {"name": "digits", "points": 50}, "network": {"width": 40}, "engine": "torch"}
    study = Study.from_config({**wide, "restarts": 2, "descent": {"steps": 2}})
    monkeypatch.setattr(type(study.exact_engine), "hessian", lambda *_: pytest.fail("a Hessian was made"))
    with caplog.at_level(logging.INFO, "basinet"):
        run(study)
    assert "not polished: 3010 parameters, polish.dense_max=300" in caplog.messages
