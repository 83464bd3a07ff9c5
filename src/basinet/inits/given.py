"""Starts from a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from basinet.foundation.errors import ConfigError, require
from basinet.foundation.random_streams import Array
from basinet.mlp.network import Network


@dataclass(frozen=True)
class Given:
    """θ of restart r is row r of a table `[restart, parameter]`.

    The file is an .npz with one array (or one named `starts`), or a Parquet file with one column of numbers per
    parameter.
    """

    path: str

    @cached_property
    def starts(self) -> Array:
        """The file's table, `[restart, parameter]`."""
        path = Path(self.path)
        readers = {".npz": _read_npz, ".parquet": _read_parquet, ".pq": _read_parquet}
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise ConfigError(f"init.path={path}: must end in .npz or .parquet")
        require(path.is_file(), f"init.path={path}: no such file")
        try:
            starts = np.asarray(reader(path), dtype=np.float64)
        except ConfigError:
            raise
        except Exception as error:  # whatever the reader stumbles over, the user's file is what has to change
            raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
        require(starts.ndim == 2, f"{path}: has shape {starts.shape}, should be [restart, parameter]")
        bad = np.argwhere(~np.isfinite(starts))
        require(len(bad) == 0, f"{path}: not a finite number in {f'row {bad[0][0] + 1}' if len(bad) else ''}")
        return starts

    @property
    def max_restarts(self) -> int | None:
        return len(self.starts)

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(
            repr(self.starts.shape).encode() + np.ascontiguousarray(self.starts).tobytes()
        ).hexdigest()

    def check(self, network: Network, restarts: int) -> None:
        """Raise `ConfigError` unless the file has as many parameters and at least as many rows as are asked for."""
        rows, parameters = self.starts.shape
        require(
            parameters == network.size,
            f"{self.path}: has {parameters} parameters a start, the network {network} has {network.size}",
        )
        require(rows >= restarts, f"{self.path}: has {rows} starts, restarts={restarts} asks for more")

    def draw(self, network: Network, seed: int, restarts: range) -> Tensor:
        return torch.from_numpy(self.starts[restarts.start : restarts.stop].copy())


def _read_npz(path: Path) -> Array:
    with np.load(path, allow_pickle=False) as arrays:
        if len(arrays.files) == 1:
            return arrays[arrays.files[0]]  # type: ignore[no-any-return]
        if "starts" not in arrays.files:
            raise ConfigError(f"{path}: has the arrays {', '.join(arrays.files)}; one of them must be named 'starts'")
        return arrays["starts"]  # type: ignore[no-any-return]


def _read_parquet(path: Path) -> Array:
    import pandas as pd

    return pd.read_parquet(path).to_numpy(dtype=np.float64)
