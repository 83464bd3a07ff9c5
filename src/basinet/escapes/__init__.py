"""Ways out of a local minimum: one file per method, frozen settings and pure functions; the loop is elsewhere, once."""

from __future__ import annotations

from basinet.escapes.basin_hopping import BasinHopping
from basinet.escapes.none import Stay
from basinet.escapes.restart import Restart
from basinet.escapes.seam import Escape

ESCAPES: dict[str, type[Escape]] = {"none": Stay, "restart": Restart, "basin_hopping": BasinHopping}

__all__ = ["ESCAPES", "Escape"]
