"""What every stored table has in common; free of torch, so that reading results does not wait for it."""

from __future__ import annotations

SCHEMA_VERSION = 1
"""Of every stored table; raised when a column changes its name or meaning."""

SCHEMA_KEY = b"basinet_schema"
"""Where a Parquet file's metadata says its version."""

QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
"""Of losses and gradient norms, by the names of their columns and metrics."""
