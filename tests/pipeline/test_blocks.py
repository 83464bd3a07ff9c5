"""Blocks of restarts on disk: what is read is what was written, and what is damaged is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from basinet import Study, run
from basinet.pipeline.blocks import Block, FolderStore
from basinet.pipeline.solve import solve

# Holdout and classes fill the optional columns, a large learning rate gives NaNs.
STUDY: dict[str, Any] = {
    "problem": {"name": "digits", "points": 12, "holdout": 0.25},
    "network": {"width": 2},
    "descent": {"steps": 30, "learning_rate": 50.0},
    "polish": {"dense_max": 0},
    "restarts": 40,
    "engine": "torch",
}


@cache
def solved(first: int, after: int) -> Block:
    return solve(Study.from_config(STUDY), range(first, after))


def leaves(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def assert_same(mine: Block, theirs: Block) -> None:
    for (name, one), (_, other) in zip(leaves(mine), leaves(theirs), strict=True):
        if isinstance(one, torch.Tensor):
            assert one.dtype == other.dtype, name
            assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0)), name
        else:
            assert one == other, name


def test_a_block_comes_back_as_it_was(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "blocks")
    for block in (solved(0, 16), solved(16, 40)):
        store.add(block)
    assert store.finished() == 40
    for mine, theirs in zip(store.blocks(), (solved(0, 16), solved(16, 40)), strict=True):
        assert_same(mine, theirs)


def test_a_shorter_block_is_that_of_fewer_restarts() -> None:
    assert_same(solved(0, 40).within(16), solved(0, 16))
    assert solved(0, 16).within(40) is solved(0, 16)


@pytest.mark.parametrize("damage", ["cut", "gone", "empty"])
def test_what_follows_a_damaged_block_counts_as_missing(damage: str, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "blocks")
    for block in (solved(0, 8), solved(8, 16), solved(16, 24)):
        store.add(block)
    path = sorted(store.folder.glob("*.parquet"))[1]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: -100 if damage == "cut" else 0])
    assert store.finished() == 8
    assert [block.restarts for block in store.blocks()] == [range(8)]


def test_a_run_that_goes_on_ends_with_the_tables_of_one_that_was_never_interrupted(tmp_path: Path) -> None:
    study = Study.from_config(STUDY)
    store = FolderStore(tmp_path / "blocks")
    store.add(solved(0, 16))
    whole, continued = run(study), run(study, store=store)
    for name in ("restarts", "minima", "evidence", "curves", "quantiles"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(continued, name), check_exact=True)
    assert [block.restarts for block in store.blocks()] == [range(16), range(16, 40)]


def test_restarts_of_two_makers_are_never_joined(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of another engine, or of another machine's last bits: they are made again, and that is said, once."""
    theirs = FolderStore(tmp_path / "blocks", made_by="torch engine, another machine")
    theirs.add(solved(0, 16))
    theirs.add(solved(16, 40))
    mine = FolderStore(tmp_path / "blocks", made_by="native engine, this machine")
    assert mine.finished() == 0
    assert mine.blocks() == []
    said = f"{tmp_path}/blocks/000000000000-000000000016.parquet was made by the torch engine, another machine"
    assert [record.message for record in caplog.records if record.message.startswith(said)] == [
        f"{said}, and is made again by the native engine, this machine"
    ]
    mine.add(solved(0, 16))
    assert mine.finished() == 16
    assert theirs.finished() == 0
    assert FolderStore(tmp_path / "blocks").finished() == 40  # whoever does not say who they are reads all


def test_a_condition_begun_by_one_engine_is_not_continued_by_another(tmp_path: Path) -> None:
    """`engine=auto` without a compiler is torch; once there is a compiler, nothing of that is taken."""
    study = Study.from_config(STUDY)
    before = FolderStore(tmp_path / "blocks", made_by=study.made_by)
    before.add(solved(0, 16))
    after = FolderStore(tmp_path / "blocks", made_by=study.made_by.replace("torch", "native"))
    assert len(run(study, store=after).restarts) == 40
    assert [block.restarts for block in after.blocks()] == [range(40)]
