"""The same rows for every method: sizes nest, no completion counts twice, benign rows stay apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from align.ablation.grid import Grid
from align.ablation.pool import Mixture, Pool, open_pool
from align.data.dataset import open_dataset
from align.objectives import OBJECTIVES
from curate.core.errors import DataError


@pytest.fixture(scope="module")
def pool(grid: Grid, runs: Path) -> Pool:
    dataset = open_dataset(Path(grid.recipe.data))
    return open_pool(dataset, grid.recipe.model.tokenizer(dataset, runs / "cache"), benign=True)


def test_a_smaller_size_is_the_beginning_of_a_larger_and_no_completion_counts_twice(pool: Pool) -> None:
    small, large = pool.draw(0, 8), pool.draw(0, 40)
    rows = pool.rows_for(objective("kto"), Mixture(large, []))
    assert large[:4] == small and len(large) == 20 and pool.draw(1, 40) != large
    assert len(rows) == 40 and len(set(rows.ids)) == 40


def test_every_objective_sees_the_same_completions(pool: Pool) -> None:
    pairs = Mixture(pool.draw(0, 16), [])
    unpaired, paired, chosen = (pool.rows_for(objective(name), pairs) for name in ("kto", "dpo", "sft"))
    assert unpaired.completions == paired.completions and unpaired.ids == paired.ids and set(unpaired.pair) == {-1}
    assert chosen.completions == paired.completions[::2] and all(chosen.desirable)


def test_a_mixture_keeps_the_number_of_labels_and_dpo_takes_pairs_alone(pool: Pool, make_rows: Callable[..., Any]) -> None:
    pool = replace(pool, benign=make_rows(30, share=1.0))
    single, paired = (pool.mixture(objective(name), 0, 40, 0.25) for name in ("kto", "dpo"))
    assert (len(single.pairs), len(single.benign)) == (15, 10) and (len(paired.pairs), len(paired.benign)) == (20, 0)
    rows = pool.rows_for(objective("kto"), single)
    assert len(rows) == 40 and len(set(rows.ids)) == 40 and sum(rows.desirable) == 25 and set(rows.pair) == {-1}
    assert {name[0] for name in rows.ids[-10:]} == {"r"}, "the benign ones"
    assert len(pool.rows_for(objective("sft"), single)) == 25 and len(pool.rows_for(objective("dpo"), paired)) == 40
    smaller = pool.mixture(objective("kto"), 0, 20, 0.25)
    assert (smaller.pairs, smaller.benign) == (single.pairs[:8], single.benign[:4])  # 5 is odd: rounded to 4
    with pytest.raises(DataError, match="benign: 32 benign rows asked for at 128 .* take a smaller share"):
        pool.mixture(objective("kto"), 0, 128, 0.25)


def test_what_is_benign_is_desirable_and_in_no_pair(tmp_path: Path, pairs: Path, grid: Grid, runs: Path) -> None:
    """The fixture has no benign row in training, so some of its single mild ones are declared so."""
    dataset = open_dataset(pairs)
    tokenizer = grid.recipe.model.tokenizer(dataset, runs / "cache")
    table = dataset.split("unpaired", "train")
    dataset._tables["unpaired/train-"] = table.with_columns(benign=True)
    pool = open_pool(dataset, tokenizer, benign=True)
    mild = {row["id"] for row in table.to_dicts() if row["label"]}
    assert pool.benign is not None and all(pool.benign.desirable) and set(pool.benign.ids) == mild - set(pool.rows.ids)
    assert open_pool(dataset, tokenizer).benign is None


def objective(name: str) -> Any:
    return OBJECTIVES[name]()
