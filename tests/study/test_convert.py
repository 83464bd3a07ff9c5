from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from basinet.foundation.errors import ConfigError
from basinet.study.convert import fill


@dataclass(frozen=True)
class Example:
    count: int
    rate: float
    quick: bool
    path: str
    mode: Literal["fast", "slow"]
    width: int | tuple[int, ...] | None
    names: tuple[str, ...]
    extra: int = 7


GOOD: dict[str, Any] = {
    "count": 3,
    "rate": 0.5,
    "quick": True,
    "path": "x",
    "mode": "fast",
    "width": None,
    "names": ["a"],
}


def test_values_of_the_right_type_are_taken_as_they_are() -> None:
    assert fill(Example, GOOD, "g") == Example(3, 0.5, True, "x", "fast", None, ("a",), 7)


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("count", "12", 12),
        ("count", 12.0, 12),
        ("count", "1e3", 1000),
        ("count", 2**62 + 1, 2**62 + 1),  # not through a float, which would round it
        ("count", 10**400, 10**400),  # nor overflow: whoever wants a range checks it
        ("rate", 2, 2.0),
        ("rate", "1e-3", 0.001),
        ("rate", "inf", float("inf")),
        ("path", 12, "12"),
        ("width", 4, 4),
        ("width", "4", 4),
        ("width", [4, "5"], (4, 5)),
        ("width", (), ()),
        ("names", ("a", 1), ("a", "1")),
        ("names", "abc", ("abc",)),
        ("names", 3, ("3",)),
        ("extra", 1, 1),
    ],
)
def test_what_means_the_same_is_converted(key: str, given: Any, expected: Any) -> None:
    value = getattr(fill(Example, {**GOOD, key: given}, "g"), key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"count": 1.5}, "g.count=1.5: must be a whole number"),
        ({"count": "many"}, "g.count=many: must be a whole number"),
        ({"count": None}, "g.count=null: must be a whole number"),
        ({"count": True}, "g.count=True: must be a whole number"),
        ({"count": float("inf")}, "g.count=inf: must be a whole number"),
        ({"count": float("nan")}, "g.count=nan: must be a whole number"),
        ({"count": [1]}, "g.count=[1]: must be a whole number"),
        ({"rate": "fast"}, "g.rate=fast: must be a number"),
        ({"rate": "nan"}, "g.rate=nan: must be a number"),
        ({"rate": False}, "g.rate=False: must be a number"),
        ({"rate": {}}, "g.rate={}: must be a number"),
        ({"rate": 10**400}, f"g.rate={10**400}: must be a number"),
        ({"quick": "yes"}, "g.quick=yes: must be true or false"),
        ({"quick": 1}, "g.quick=1: must be true or false"),
        ({"path": None}, "g.path=null: must be a text"),
        ({"path": ["x"]}, "g.path=['x']: must be a text"),
        ({"path": True}, "g.path=True: must be a text"),
        ({"mode": "fas"}, "unknown g.mode 'fas': did you mean 'fast'?"),
        ({"mode": 1}, "unknown g.mode '1': choose one of fast, slow"),
        ({"mode": ["fast"]}, "unknown g.mode '['fast']': did you mean 'fast'?"),
        ({"width": 2.5}, "g.width=2.5: must be a whole number"),
        ({"width": [1, 2.5]}, "g.width[1]=2.5: must be a whole number"),
        ({"width": {"a": 1}}, "g.width={'a': 1}: must be a whole number"),
        ({"names": True}, "g.names=True: must be a list"),
        ({"names": None}, "g.names=null: must be a list"),
        ({"names": [None]}, "g.names[0]=null: must be a text"),
        ({"cuont": 3}, "unknown setting 'g.cuont': did you mean 'g.count'?"),
    ],
)
def test_what_does_not_is_refused_with_the_key_and_what_it_should_be(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fill(Example, {**GOOD, **changed}, "g")
    assert str(caught.value) == message


@pytest.mark.parametrize("key", list(GOOD))
def test_a_missing_setting_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^g\.{key} is missing$"):
        fill(Example, {k: v for k, v in GOOD.items() if k != key}, "g")


def test_without_a_group_keys_have_no_dot() -> None:
    with pytest.raises(ConfigError, match=r"^count=x: must be a whole number$"):
        fill(Example, {**GOOD, "count": "x"}, "")


def test_a_given_field_comes_from_the_program_and_is_unknown_to_the_user() -> None:
    rest = {key: value for key, value in GOOD.items() if key != "count"}
    assert fill(Example, rest, "g", count="anything").count == "anything"
    with pytest.raises(ConfigError, match=r"unknown setting 'g\.count'"):
        fill(Example, GOOD, "g", count=1)


def test_what_conf_leaves_open_is_missing_until_it_is_given() -> None:
    with pytest.raises(ConfigError, match=r"^g\.path is missing: give it as g\.path=…$"):
        fill(Example, {**GOOD, "path": "???"}, "g")


@pytest.mark.parametrize("values", [None, "fast", 3, ["a"]])
def test_a_group_that_is_not_a_mapping_is_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match=r"^g=.*: is a group of settings, g\.key=value$"):
        fill(Example, values, "g")
