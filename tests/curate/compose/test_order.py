"""Subsets: every size is there, the smaller lies within the larger, and each looks like the whole."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.compose.outputs import subset_rank


def rows(count: int, common: int) -> pl.DataFrame:
    kinds = ["common" if at % 10 < common else "rare" for at in range(count)]
    splits = ["train" if at % 4 else "test" for at in range(count)]
    return pl.DataFrame({"id": [f"row{at}" for at in range(count)], "split": splits, "kind": kinds})


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 120), st.integers(0, 10), st.integers(0, 3))
def test_every_beginning_holds_each_kind_in_its_share_to_within_one_row(count: int, common: int, seed: int) -> None:
    made = rows(count, common).with_columns(rank=subset_rank(rows(count, common), ["kind"], seed))
    for _, part in made.group_by("split"):
        assert sorted(part["rank"]) == list(range(part.height))
        for size in range(part.height + 1):
            first = part.filter(pl.col("rank") < size)
            for (_,), kind in part.group_by("kind"):
                assert abs(first.join(kind, on="id", how="semi").height - size * kind.height / part.height) <= 1 + 1e-9


def test_the_order_hangs_on_seed_and_ids_alone() -> None:
    some = rows(50, 7)
    ranks = dict(zip(some["id"], subset_rank(some, ["kind"], 0), strict=True))
    turned = some.reverse()
    assert dict(zip(turned["id"], subset_rank(turned, ["kind"], 0), strict=True)) == ranks
    assert dict(zip(some["id"], subset_rank(some, ["kind"], 1), strict=True)) != ranks


@pytest.mark.parametrize("output", ["paired", "unpaired", "sft"])
def test_the_outputs_carry_it(dataset_folder: Path, output: str) -> None:
    ranks = pl.read_parquet(dataset_folder / f"{output}/train-00000.parquet")["subset_rank"]
    assert sorted(ranks) == list(range(len(ranks)))
