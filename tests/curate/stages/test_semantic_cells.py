"""Above a size semantic_duplicates compares rows by cells: nearly all pairs, none that is not one, and it says so."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from curate.stages.duplicates.semantic_duplicates import SemanticDuplicates


def rows(count: int, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    made = draw.normal(size=(count, 32)) + 2 * draw.normal(size=(20, 32))[draw.integers(20, size=count)]
    made[: count // 3] = made[-(count // 3) :] + 0.2 * draw.normal(size=(count // 3, 32))
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    vectors = made.astype(np.float16).astype(np.float32)
    kind = pl.Array(pl.Float32, 32)
    return pl.DataFrame(
        {"vector": pl.Series(vectors, dtype=kind), "prompt_vector": pl.Series(np.zeros_like(vectors), dtype=kind)}
    )


def test_cells_find_nearly_every_pair_and_measure_it_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    frame = rows(3000)
    exact, cells = SemanticDuplicates(), SemanticDuplicates(exact_up_to=100)
    keys = exact.keys(frame)
    every = exact.edges(keys.buckets, keys.payload)
    assert not capsys.readouterr().err
    some = cells.edges(keys.buckets, keys.payload)
    assert "3,000 different rows, compared within" in capsys.readouterr().err
    assert some.join(every, on=["a", "b", "score"], how="anti").is_empty()
    assert every.height > 900 and some.height / every.height >= 0.98
    assert cells.edges(keys.buckets, keys.payload).equals(some)
