"""Blocks of restarts: what is computed at a time, and where it is kept until all are there."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from torch import Tensor

from basinet.foundation.errors import ConfigError
from basinet.stages.certify import Evidence
from basinet.stages.polish import Polished
from basinet.stages.solution import Solution

_log = logging.getLogger(__name__)

WRITING = "writing-"
"""How the names of files begin that are not complete yet."""

_FORMAT_KEY = b"basinet_block"
_MAKER_KEY = b"basinet_made_by"
_FORMAT = 4
"""Of the files of blocks; raised when `Block` changes: what is of another one is computed again."""


@dataclass(frozen=True)
class Block:
    """Everything known about a contiguous range of restarts; tensors are on the CPU."""

    restarts: range
    starts: Tensor  # [restart, parameter]
    solution: Solution
    polished: Polished
    evidence: Evidence
    signature: Tensor  # [restart, 2 · n], see Objective.signature
    loss_holdout: Tensor | None  # [restart], without penalties
    accuracy: Tensor | None  # [restart], share of the samples in the right class
    accuracy_holdout: Tensor | None  # [restart]
    loss_original: Tensor | None = None  # [restart], without penalties, in the units that targets were given in
    loss_holdout_original: Tensor | None = None  # [restart]
    elsewhere: Tensor | None = None  # [restart] bool: a more exact descent ends at another point

    def within(self, restarts: int) -> Block:
        """Without the restarts from number `restarts` on."""
        return cut(self, restarts)


Kept = TypeVar("Kept")
"""What is kept: a dataclass of tensors, one row each for a range of numbers, which is a field of it."""


def numbers(block: Any) -> range:
    """The range of restarts, or of searches, that a block is of."""
    found = (getattr(block, entry.name) for entry in dataclasses.fields(block))
    return next(value for value in found if isinstance(value, range))


def cut(block: Kept, stop: int) -> Kept:
    """A block without what comes from number `stop` on."""
    own = numbers(block)
    count = min(len(own), stop - own.start)
    if count == len(own):
        return block
    tensors = dict(_tensors(block, ""))
    steps = {_STEP: tensors.pop(_STEP)} if _STEP in tensors else {}
    kept = {name: tensor.narrow(int(name in _BY_RECORD), 0, count) for name, tensor in tensors.items()}
    return _part(type(block), {**kept, **steps}, "", own[:count])  # type: ignore[no-any-return]


class Store(Protocol[Kept]):
    """Where finished blocks are kept."""

    def add(self, block: Kept) -> None:
        """Keep a block."""
        ...

    def finished(self) -> int:
        """How many restarts are there, from the first on without a gap."""
        ...

    def blocks(self) -> list[Kept]:
        """The blocks of these restarts, in their order."""
        ...

    def beside(self, name: str, kind: type[Any]) -> Store[Any]:
        """Where blocks of another kind are kept that belong to these."""
        ...


@dataclass
class MemoryStore(Generic[Kept]):
    """Blocks in memory."""

    kept: list[Kept] = field(default_factory=list)
    others: dict[str, MemoryStore[Any]] = field(default_factory=dict)

    def add(self, block: Kept) -> None:
        self.kept.append(block)

    def finished(self) -> int:
        return numbers(self.kept[-1]).stop if self.kept else 0

    def blocks(self) -> list[Kept]:
        return list(self.kept)

    def beside(self, name: str, kind: type[Any]) -> MemoryStore[Any]:
        return self.others.setdefault(name, MemoryStore())


@dataclass(frozen=True)
class FolderStore(Generic[Kept]):
    """Blocks as Parquet files `<first restart>-<after the last>.parquet` in a folder, one row per restart.

    A file appears when it is complete (it is written aside and renamed), so that a process that dies at any moment
    costs the block it was at and nothing else. A file that cannot be read counts as missing and is made again; so does
    one of another maker: the restarts of a condition are never of two engines, or of two machines' last bits.
    """

    folder: Path
    made_by: str | None = None  # as `Study.made_by`: stands in every file; None: whoever made a file, it is read
    kind: type[Kept] = Block  # type: ignore[assignment]  # of blocks

    @property
    def lock(self) -> FileLock:
        """Held by whoever computes the condition: whoever comes second finds it done."""
        return FileLock(f"{self.folder}.lock")

    def add(self, block: Kept) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        table, own = _table(block, self.made_by), numbers(block)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=WRITING, delete=False) as aside:
            try:
                pq.write_table(table, aside, compression="zstd", use_dictionary=False, write_page_checksum=True)
                aside.flush()
                os.fsync(aside.fileno())
                os.replace(aside.name, self.folder / f"{own.start:012d}-{own.stop:012d}.parquet")
            except BaseException:  # a full disk, Ctrl-C
                Path(aside.name).unlink(missing_ok=True)
                raise

    def clear(self) -> None:
        """Forget all blocks."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def finished(self) -> int:
        return max((restarts.stop for _, restarts in self._files()), default=0)

    def blocks(self) -> list[Kept]:
        return [_block(self.kind, _read(path), restarts) for path, restarts in self._files()]

    def beside(self, name: str, kind: type[Any]) -> FolderStore[Any]:
        """In a folder within this one, which goes where this one goes."""
        return FolderStore(self.folder / name, self.made_by, kind)

    def _files(self) -> Iterator[tuple[Path, range]]:
        """The files that follow each other without a gap from the first restart on."""
        end = 0
        for path in sorted(self.folder.glob("*-*.parquet")):
            first, stop = (int(part) for part in path.stem.split("-"))
            if first == end and self._is_usable(path):
                end = stop
                yield path, range(first, stop)

    def _is_usable(self, path: Path) -> bool:
        metadata = _metadata(path)
        if metadata.get(_FORMAT_KEY) != str(_FORMAT).encode():
            return False
        maker = metadata.get(_MAKER_KEY, b"").decode()
        if self.made_by in (None, maker):
            return True
        _say_once(f"{path} was made by the {maker}, and is made again by the {self.made_by}")
        return False


@cache
def _say_once(message: str) -> None:
    _log.warning("%s", message)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:  # the file is whole, but the disk has changed what is in it
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{path}: is damaged ({reason}); delete it, and the same command makes it again") from error


def _metadata(path: Path) -> Mapping[bytes, bytes]:
    """What a file says about itself; nothing if it cannot be read."""
    try:
        return pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        _log.warning("%s is damaged and made again (%s)", path, str(error).partition("\n")[0])
        return {}


# A block as a table: a column per tensor, named by its place in the block; a matrix is a column of lists.

_STEP = "solution.trajectory.step"  # one number per record, not per restart: it stands in the metadata
_BY_RECORD = tuple(f"solution.trajectory.{name}" for name in ("loss", "gradient_norm", "steps"))


def _table(block: Any, made_by: str | None) -> pa.Table:
    tensors = dict(_tensors(block, ""))
    steps = tensors.pop(_STEP, None)
    columns = {name: _column(tensor.t() if name in _BY_RECORD else tensor) for name, tensor in tensors.items()}
    metadata: dict[str | bytes, str] = {_FORMAT_KEY: str(_FORMAT)}
    metadata |= {} if steps is None else {_STEP: ",".join(str(step) for step in steps.tolist())}
    metadata |= {} if made_by is None else {_MAKER_KEY: made_by}
    return pa.table(columns).replace_schema_metadata(metadata)


def _tensors(part: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for entry in dataclasses.fields(part):
        value = getattr(part, entry.name)
        if isinstance(value, Tensor):
            yield prefix + entry.name, value
        elif dataclasses.is_dataclass(value):
            yield from _tensors(value, f"{prefix}{entry.name}.")


def _column(tensor: Tensor) -> pa.Array:
    values = pa.array(tensor.contiguous().view(-1).numpy())
    return values if tensor.dim() == 1 else pa.FixedSizeListArray.from_arrays(values, tensor.shape[1])


def _block(kind: type[Kept], table: pa.Table, restarts: range) -> Kept:
    tensors = {name: _tensor(table.column(name)) for name in table.column_names}
    steps = table.schema.metadata.get(_STEP.encode())
    if steps is not None:
        tensors |= {name: tensors[name].t().contiguous() for name in _BY_RECORD if name in tensors}
        tensors[_STEP] = torch.from_numpy(np.array(json.loads(f"[{steps.decode()}]")))
    return _part(kind, tensors, "", restarts)  # type: ignore[no-any-return]


def _part(kind: type, tensors: Mapping[str, Tensor], prefix: str, own: range) -> Any:
    values: dict[str, Any] = {}
    for name, wanted in _fields(kind).items():
        if wanted is range:
            values[name] = own
        elif dataclasses.is_dataclass(wanted):
            values[name] = _part(wanted, tensors, f"{prefix}{name}.", own)  # type: ignore[arg-type]
        else:
            values[name] = tensors.get(prefix + name)
    return kind(**values)


@cache
def _fields(kind: type) -> Mapping[str, Any]:
    """The fields of a dataclass with their types."""
    return get_type_hints(kind)


def _tensor(column: pa.ChunkedArray) -> Tensor:
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        return torch.from_numpy(array.values.to_numpy(zero_copy_only=False).copy()).view(len(array), -1)
    return torch.from_numpy(array.to_numpy(zero_copy_only=False).copy())
