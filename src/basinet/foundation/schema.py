"""What every stored table has in common; free of torch, so that reading results does not wait for it."""

from __future__ import annotations

SCHEMA_VERSION = 1
"""Of every stored table; raised when a column changes its name or meaning."""

SCHEMA_KEY = b"basinet_schema"
"""Where a Parquet file's metadata says its version."""
