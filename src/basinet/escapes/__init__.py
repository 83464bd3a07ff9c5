"""Ways out of a local minimum: one file per method, frozen settings and pure functions; the loop is elsewhere, once."""

from __future__ import annotations

from basinet.escapes.annealing import Annealing
from basinet.escapes.basin_hopping import BasinHopping
from basinet.escapes.langevin import Langevin
from basinet.escapes.none import Stay
from basinet.escapes.restart import Restart
from basinet.escapes.seam import Escape
from basinet.escapes.stun import Stun
from basinet.escapes.trust import Trust
from basinet.escapes.tunnelling import Tunnelling

ESCAPES: dict[str, type[Escape]] = {
    "none": Stay,
    "restart": Restart,
    "basin_hopping": BasinHopping,
    "annealing": Annealing,
    "langevin": Langevin,
    "tunnelling": Tunnelling,
    "stun": Stun,
    "trust": Trust,
}

__all__ = ["ESCAPES", "Escape"]
