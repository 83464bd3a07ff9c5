"""Blocks of restarts: what is computed at a time, and where it is kept until all are there."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, Generic, Protocol, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from torch import Tensor

from basinet.foundation.errors import ConfigError
from basinet.foundation.rows import rows
from basinet.stages.certify import Evidence
from basinet.stages.escape import Standing, Visits
from basinet.stages.polish import Polished
from basinet.stages.solution import Solution

_log = logging.getLogger(__name__)

WRITING = "writing-"
"""How the names of files begin that are not complete yet."""

_APART = ("visits", "bottoms")
"""What stands in files beside a block's own, one row per visit and per bottom."""

_FORMAT_KEY = b"basinet_block"
_MAKER_KEY = b"basinet_made_by"
_BUDGET_KEY = b"basinet_budget"
_FORMAT = 4
"""Of the files of blocks; raised when `Block` changes: what is of another one is computed again."""


@dataclass(frozen=True)
class Visited:
    """What is known of bottoms that runs have visited beside those of their restarts, one row each."""

    restart: Tensor  # [bottom] int64: the first run that was there
    round: Tensor  # [bottom] int64: … and when
    polished: Polished
    evidence: Evidence
    signature: Tensor  # [bottom, 2 · n]
    loss_original: Tensor | None = None  # [bottom], as those of a block


@dataclass(frozen=True)
class Life:
    """What became of runs after the descents of their restarts, one row each."""

    standing: Standing  # from where they go on with a larger budget
    rounds: Tensor  # [restart] int64, begun so far, the restart's own descent among them
    spent: Tensor  # [restart] float64, gradients, all in all


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
    life: Life | None = None  # of runs, where there are any
    visits: Visits | None = None  # [visit]
    bottoms: Visited | None = None  # [bottom]
    elsewhere: Tensor | None = None  # [restart] bool: a more exact descent ends at another point

    def within(self, restarts: int) -> Block:
        """Without the restarts from number `restarts` on."""
        if restarts >= self.restarts.stop:
            return self
        alone = dataclasses.replace(self, visits=None, bottoms=None)
        return dataclasses.replace(cut(alone, restarts), **self._visited(restarts))

    def _visited(self, restarts: int) -> dict[str, Any]:
        """Visits and bottoms of the runs below number `restarts`.

        A bottom is that of the first run that was there, so that no visit which is kept loses its own.
        """
        if self.visits is None or self.bottoms is None:
            return {}
        there = self.bottoms.restart < restarts
        number = torch.cat([torch.where(there, there.cumsum(0) - 1, -1), torch.tensor([-1])])  # … and of none: -1
        visits = rows(self.visits, (self.visits.restart < restarts).nonzero().squeeze(1))
        return {
            "visits": dataclasses.replace(visits, bottom=number[visits.bottom]),
            "bottoms": rows(self.bottoms, there.nonzero().squeeze(1)),
        }


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


def whole_until(ranges: Sequence[range]) -> int:
    """Up to which number ranges, in their order, follow each other from 0 on without a gap.

    >>> whole_until([range(0, 4), range(4, 6), range(9, 12)])
    6
    """
    end = 0
    for own in ranges:
        if own.start != end:
            break
        end = own.stop
    return end


class Store(Protocol[Kept]):
    """Where finished blocks are kept."""

    def add(self, block: Kept) -> None:
        """Keep a block."""
        ...

    def finished(self) -> int:
        """How many restarts are there, from the first on without a gap."""
        ...

    def stream(self) -> Iterator[Kept]:
        """The blocks of these restarts one after the other, in their order."""
        ...

    def blocks(self) -> list[Kept]:
        """All of them."""
        ...

    def there(self) -> list[range]:
        """The restarts of all blocks that are there, whatever is missing between them; the gaps can be filled."""
        ...

    def begun(self, first: int) -> Kept | None:
        """A block from restart number `first` on whose runs have had a smaller budget than they have now."""
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
        self.kept.sort(key=lambda one: numbers(one).start)

    def finished(self) -> int:
        return whole_until(self.there())

    def stream(self) -> Iterator[Kept]:
        end = self.finished()
        return (block for block in self.kept if numbers(block).stop <= end)

    def blocks(self) -> list[Kept]:
        return list(self.stream())

    def there(self) -> list[range]:
        return [numbers(block) for block in self.kept]

    def begun(self, first: int) -> Kept | None:
        return None

    def beside(self, name: str, kind: type[Any]) -> MemoryStore[Any]:
        return self.others.setdefault(name, MemoryStore())


@dataclass(frozen=True)
class FolderStore(Generic[Kept]):
    """Blocks as Parquet files `<first restart>-<after the last>.parquet` in a folder, one row per restart.

    A file appears when it is complete (it is written aside and renamed), so that a process that dies at any moment
    costs the block it was at and nothing else. A file that cannot be read counts as missing and is made again; so does
    one of another maker: the restarts of a condition are never of two engines, or of two machines' last bits.

    What runs have visited is as many rows as they have made rounds, and stands in two files beside; they are written
    first, and bear the budget in their names, so that those of an earlier one are not taken for them.
    """

    folder: Path
    made_by: str | None = None  # as `Study.made_by`: stands in every file; None: whoever made a file, it is read
    budget: float | None = None  # of runs, stands in every file; None: there are none, or it does not matter
    kind: type[Kept] = Block  # type: ignore[assignment]  # of blocks

    @property
    def lock(self) -> FileLock:
        """Held by whoever computes the condition: whoever comes second finds it done."""
        return FileLock(f"{self.folder}.lock")

    def add(self, block: Kept) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        own = numbers(block)
        path = self.folder / f"{own.start:012d}-{own.stop:012d}.parquet"
        for what, part in _apart(block).items():
            self._write(_plain_table(part), self._file_of(path, what))
        more = {} if self.budget is None else {_BUDGET_KEY: repr(self.budget)}
        more |= {} if self.made_by is None else {_MAKER_KEY: self.made_by}
        self._write(_table(block, more), path)
        for other in {*self.folder.glob(f"{path.stem}.*.*")} - {self._file_of(path, what) for what in _APART}:
            other.unlink(missing_ok=True)  # of an earlier budget

    def _file_of(self, path: Path, what: str) -> Path:
        """The file of visits, or of bottoms, that belongs to the file of a block."""
        return path.with_name(f"{path.stem}.{self.budget!r}.{what}")

    def _write(self, table: pa.Table, path: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=WRITING, delete=False) as aside:
            try:
                pq.write_table(table, aside, compression="zstd", use_dictionary=False, write_page_checksum=True)
                aside.flush()
                os.fsync(aside.fileno())
                os.replace(aside.name, path)
            except BaseException:  # a full disk, Ctrl-C
                Path(aside.name).unlink(missing_ok=True)
                raise

    def clear(self) -> None:
        """Forget all blocks."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def finished(self) -> int:
        return max((restarts.stop for _, restarts in self._files()), default=0)

    def stream(self) -> Iterator[Kept]:
        for path, restarts in self._files():
            yield self._whole(path, restarts)

    def blocks(self) -> list[Kept]:
        return list(self.stream())

    def there(self) -> list[range]:
        found: list[range] = []
        for path in sorted(self.folder.glob("*-*.parquet")):
            own = _numbers_of(path)
            if own.start >= (found[-1].stop if found else 0) and self._is_usable(path):
                found.append(own)
        return found

    def begun(self, first: int) -> Kept | None:
        for path in sorted(self.folder.glob(f"{first:012d}-*.parquet")) if self.budget is not None else ():
            earlier = _metadata(path).get(_BUDGET_KEY)
            if earlier is None or self.budget is None or not float(earlier) < self.budget:
                continue
            then = dataclasses.replace(self, budget=float(earlier))
            if then._is_usable(path):
                return then._whole(path, _numbers_of(path))
        return None

    def beside(self, name: str, kind: type[Any]) -> FolderStore[Any]:
        """In a folder within this one, which goes where this one goes."""
        return FolderStore(self.folder / name, self.made_by, kind=kind)

    def _whole(self, path: Path, own: range) -> Kept:
        """A block with what its runs have visited, if there are any."""
        tensors = _of_block(_read(path))
        if self.budget is not None:
            for what in _APART:
                apart = _tensors_of(_read(self._file_of(path, what)))
                tensors |= {f"{what}.{name}": tensor for name, tensor in apart.items()}
        return _part(self.kind, tensors, "", own)  # type: ignore[no-any-return]

    def _files(self) -> Iterator[tuple[Path, range]]:
        """The files that follow each other without a gap from the first restart on."""
        end = 0
        for path in sorted(self.folder.glob("*-*.parquet")):
            own = _numbers_of(path)
            if own.start == end and self._is_usable(path):
                end = own.stop
                yield path, own

    def _is_usable(self, path: Path) -> bool:
        metadata = _metadata(path)
        if metadata.get(_FORMAT_KEY) != str(_FORMAT).encode():
            return False
        if self.budget is not None:
            same = metadata.get(_BUDGET_KEY, b"").decode() == repr(self.budget)
            if not same or not all(self._file_of(path, what).is_file() for what in _APART):
                return False
        maker = metadata.get(_MAKER_KEY, b"").decode()
        if self.made_by in (None, maker):
            return True
        _say_once(f"{path} was made by the {maker}, and is made again by the {self.made_by}")
        return False


def _numbers_of(path: Path) -> range:
    """What a file is of, as its name says."""
    first, stop = (int(part) for part in path.stem.split("-"))
    return range(first, stop)


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
    found = path.stat()
    return _metadata_of(path, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1 << 14)  # of 10⁸ restarts there are thousands, and whoever adds one asks which are there
def _metadata_of(path: Path, *_: int) -> Mapping[bytes, bytes]:
    """The same, of the file as it is at a time."""
    try:
        return pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        _log.warning("%s is damaged and made again (%s)", path, str(error).partition("\n")[0])
        return {}


# A block as plain arrays: what travels between machines.


def arrays_of(block: Any) -> dict[str, npt.NDArray[Any]]:
    """All that a block holds beside its numbers, by its place there: `solution.theta`, `evidence.eigenvalues`, …"""
    return {name: tensor.contiguous().numpy() for name, tensor in _tensors(block, "")}


def block_of(arrays: Mapping[str, npt.NDArray[Any]], own: range) -> Block:
    """The block of which these are the `arrays_of`; they may lie in memory that cannot be written."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    block: Block = _part(Block, tensors, "", own)
    return block


# A block as a table: a column per tensor, named by its place in the block; a matrix is a column of lists.

_STEP = "solution.trajectory.step"  # one number per record, not per restart: it stands in the metadata
_BY_RECORD = tuple(f"solution.trajectory.{name}" for name in ("loss", "gradient_norm", "steps"))


def _apart(block: Any) -> dict[str, Any]:
    """What of a block has rows of its own, by its name."""
    parts = {name: getattr(block, name, None) for name in _APART}
    return {name: part for name, part in parts.items() if part is not None}


def _table(block: Any, more: Mapping[bytes, str]) -> pa.Table:
    tensors = dict(_tensors(dataclasses.replace(block, **dict.fromkeys(_apart(block))), ""))
    steps = tensors.pop(_STEP, None)
    columns = {name: _column(tensor.t() if name in _BY_RECORD else tensor) for name, tensor in tensors.items()}
    metadata: dict[Any, str] = {_FORMAT_KEY: str(_FORMAT)}
    metadata |= {} if steps is None else {_STEP: ",".join(str(step) for step in steps.tolist())}
    return pa.table(columns).replace_schema_metadata({**metadata, **more})


def _plain_table(part: Any) -> pa.Table:
    """A table of a dataclass of tensors that all have as many rows."""
    return pa.table({name: _column(tensor) for name, tensor in _tensors(part, "")})


def _tensors_of(table: pa.Table) -> dict[str, Tensor]:
    return {name: _tensor(table.column(name)) for name in table.column_names}


def _tensors(part: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    names = part if isinstance(part, Mapping) else [entry.name for entry in dataclasses.fields(part)]
    for name in names:
        value = part[name] if isinstance(part, Mapping) else getattr(part, name)
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, Mapping) or dataclasses.is_dataclass(value):
            yield from _tensors(value, f"{prefix}{name}.")


def _column(tensor: Tensor) -> pa.Array:
    values = pa.array(tensor.contiguous().view(-1).numpy())
    return values if tensor.dim() == 1 else pa.FixedSizeListArray.from_arrays(values, tensor.shape[1])


def _of_block(table: pa.Table) -> dict[str, Tensor]:
    """The tensors of a block, by their places in it."""
    tensors = _tensors_of(table)
    steps = table.schema.metadata.get(_STEP.encode())
    if steps is not None:
        tensors |= {name: tensors[name].t().contiguous() for name in _BY_RECORD if name in tensors}
        tensors[_STEP] = torch.from_numpy(np.array(json.loads(f"[{steps.decode()}]")))
    return tensors


def _part(kind: type, tensors: Mapping[str, Tensor], prefix: str, own: range) -> Any:
    values: dict[str, Any] = {}
    for name, wanted in _fields(kind).items():
        place = prefix + name
        inner = {other: tensor for other, tensor in tensors.items() if other.startswith(f"{place}.")}
        if wanted is range:
            values[name] = own
        elif wanted is dict:
            values[name] = {other.removeprefix(f"{place}."): tensor for other, tensor in inner.items()}
        elif dataclasses.is_dataclass(wanted):
            values[name] = _part(wanted, inner, f"{place}.", own) if inner else None  # type: ignore[arg-type]
        else:
            values[name] = tensors.get(place)
    return kind(**values)


@cache
def _fields(kind: type) -> Mapping[str, Any]:
    """The fields of a dataclass with their types: of what may be missing the type that it has if it is there."""
    return {name: _given(hint) for name, hint in get_type_hints(kind).items()}


def _given(hint: Any) -> Any:
    parts = get_args(hint)
    wanted = next(entry for entry in parts if entry is not NoneType) if NoneType in parts else hint
    return get_origin(wanted) or wanted


def _tensor(column: pa.ChunkedArray) -> Tensor:
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        values = torch.from_numpy(array.values.to_numpy(zero_copy_only=False).copy())
        return values.view(len(array), array.type.list_size)  # of no rows, too: nothing may have been visited
    return torch.from_numpy(array.to_numpy(zero_copy_only=False).copy())
