"""Proofs, by interval arithmetic, that there is a critical point of an objective in a box, of a certain index.

Free of torch and of everything that computes elsewhere in this package: what is proved rests on the balls of
python-flint alone. `krawczyk` proves a point, `theorem` that points are no copies of each other, `document` writes it
down, and `check` believes none of them.
"""

from __future__ import annotations

from importlib.util import find_spec

from basinet.foundation.errors import require


def require_flint() -> None:
    """Raise `ConfigError` unless python-flint is there: whoever proves nothing does not need it."""
    told = (
        "proofs need python-flint, which is not installed: pip install 'basinet[proofs]', or pip install python-flint"
    )
    require(find_spec("flint") is not None, told)
