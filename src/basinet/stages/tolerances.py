"""Where verdicts draw their lines, and which restarts count as the same bottom: the group `certify`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from basinet.foundation.errors import require


@dataclass(frozen=True)
class Tolerances:
    """What `conf/certify/` says; each number is explained there. All are dimensionless and 0 or more."""

    stationary: float
    settled: float
    near: float
    lowest: float
    zero: float
    floor: float
    leaves: float
    moved: float
    falls: float
    remaining: float
    reached: float
    swift: float
    flat: float
    fading: float
    faded: float
    growth: float
    lasting: float
    aside: float
    kink: float
    same_function: float
    same_parameters: float
    same_level: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            require(0 <= value < float("inf"), f"certify.{field.name}={value:g}: must be 0 or more, and finite")
