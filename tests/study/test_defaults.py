from __future__ import annotations

from typing import Any

import pytest

from basinet import Study
from basinet.foundation.errors import ConfigError
from basinet.study.defaults import complete


@pytest.mark.parametrize(
    ("group", "key", "typed", "meant"),
    [
        ("polish", "radius", 1, 1.0),
        ("polish", "radius", "1e-3", 0.001),
        ("descent", "steps", 20.0, 20),
        ("descent", "steps", "1e3", 1000),
        ("init", "std", 2, 2.0),
        ("objective", "l2_weights", 0, 0.0),
    ],
)
def test_a_number_is_one_setting_however_it_is_typed(group: str, key: str, typed: Any, meant: float) -> None:
    value = complete({group: {key: typed}})[group][key]
    assert (value, type(value)) == (meant, type(meant))


def test_the_numbers_of_a_list_are_of_one_type() -> None:
    inputs = complete({"problem": {"name": "chain", "inputs": [1, "2", 0.5]}})["problem"]["inputs"]
    assert [(value, type(value)) for value in inputs] == [(1.0, float), (2.0, float), (0.5, float)]


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("descent", "steps", 1.5),
        ("descent", "steps", True),
        ("descent", "learning_rate", "fast"),
        ("descent", "learning_rate", None),
        ("descent", "schedule", 1),
        ("init", "bias", 0),
        ("network", "bias", 1),
        ("network", "width", 3),
        ("problem", "seed", 2**62 + 1),  # a float would round it
    ],
)
def test_what_is_not_a_number_of_another_type_stays_as_it_is(group: str, key: str, value: Any) -> None:
    kept = complete({group: {key: value}})[group][key]
    assert (kept, type(kept)) == (value, type(value))


def test_a_group_may_be_given_by_its_name_or_as_a_mapping() -> None:
    assert complete({"init": "uniform"}) == complete({"init": {"name": "uniform"}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"foo": 1}, "unknown setting 'foo': choose one of"),
        ({"tracking": {}}, "unknown setting 'tracking'"),
        ({"init": "xaver"}, "unknown init 'xaver': did you mean 'xavier_normal'"),
        ({"init": {"name": "xaver"}}, "unknown init 'xaver': did you mean 'xavier_normal'"),
        ({"init": 3}, "init=3: must be a name or a mapping"),
        ({"init": None}, "init=None: must be a name or a mapping"),
    ],
)
def test_what_conf_does_not_know_is_refused_by_its_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        complete(settings)
    assert str(refusal.value).startswith(message)


def test_settings_that_were_stored_before_a_tolerance_was_there_have_its_default() -> None:
    stored = Study.from_config({"certify": {"zero": 1e-7}}).settings
    older = {**stored, "certify": {key: stored["certify"][key] for key in ("name", "zero", "floor")}}
    assert Study.from_config(older).settings == stored
