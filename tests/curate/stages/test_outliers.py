"""outliers: what is far from everything of its label goes, whatever the order, and few rows are too few to tell."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from curate.core.config import plain
from curate.core.manifest import Manifest
from curate.core.shipped import bundled
from curate.dataset.look import show
from curate.pipeline.recipe import read_recipe
from curate.stages.outliers import Outliers

DIM, TOPICS, COUNT, NOISE = 64, 6, 240, 8


def rows(seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """Rows around a few topics, half of them toxic, and planted noise: vectors of no topic; which those are."""
    draw = np.random.default_rng(seed)
    made = draw.normal(size=(TOPICS, DIM))[draw.integers(TOPICS, size=COUNT)] + 0.5 * draw.normal(size=(COUNT, DIM))
    noise = np.zeros(COUNT, bool)
    noise[draw.choice(COUNT, NOISE, replace=False)] = True
    made[noise] = draw.normal(size=(NOISE, DIM)) - made[~noise].mean(axis=0)
    made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    frame = pl.DataFrame({"vector": pl.Series(made, dtype=pl.Array(pl.Float32, DIM)), "toxic": np.arange(COUNT) % 2 == 0})
    return frame.with_columns(rank=pl.int_range(pl.len(), dtype=pl.UInt32)), noise


def verdicts(stage: Outliers, frame: pl.DataFrame) -> pl.DataFrame:
    keys = stage.keys(frame.select(stage.reads))
    edges = stage.edges(keys.buckets, keys.payload.with_columns(frame["rank"], frame["toxic"]))
    assert (edges["a"] < edges["b"]).all() and not edges.select("a", "b").is_duplicated().any()
    return stage.decide(edges, frame.select("rank", "toxic"))


@pytest.mark.parametrize("references", [COUNT, 60])
def test_planted_noise_goes_and_nothing_else(references: int) -> None:
    frame, noise = rows()
    said = verdicts(Outliers(threshold=0.45, neighbours=5, references=references), frame)
    assert (said["reason"].is_not_null().to_numpy() == noise).all()
    assert set(said["reason"].drop_nulls()) == {"outlier"} and said["score"].drop_nulls().max() < 0.45


def test_the_score_is_the_mean_cosine_with_the_nearest_rows_of_the_label() -> None:
    frame, _ = rows()
    said = verdicts(Outliers(threshold=1, neighbours=5), frame)
    vectors, toxic = frame["vector"].to_numpy().astype(np.float64), frame["toxic"].to_numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = np.where(toxic[:, None] == toxic, vectors @ vectors.T, -np.inf)
    np.fill_diagonal(likeness, -np.inf)
    assert said["score"].to_numpy() == pytest.approx(np.sort(likeness)[:, -5:].mean(axis=1), abs=1e-6)


def test_a_row_that_looks_like_the_other_label_is_far_from_its_own() -> None:
    frame, noise = rows()
    first = frame["vector"].to_numpy()[:, :1]
    apart = np.where(frame["toxic"].to_numpy()[:, None], first * 0 + 1, first * 0 - 1)
    apart[7] = -apart[7]  # its text is of the other side
    made = np.concatenate([0.3 * frame["vector"].to_numpy(), apart], axis=1).astype(np.float16).astype(np.float32)
    said = verdicts(Outliers(threshold=0, neighbours=5), frame.with_columns(vector=pl.Series(made)))
    assert said["reason"].is_not_null().arg_true().to_list() == [7] and not noise[7]


def test_rows_without_a_label_are_a_group_of_their_own() -> None:
    frame, noise = rows()
    said = verdicts(Outliers(threshold=0.45, neighbours=5), frame.with_columns(toxic=pl.lit(None, pl.Boolean)))
    assert (said["reason"].is_not_null().to_numpy() == noise).all()


def test_the_order_of_the_rows_decides_nothing() -> None:
    frame, _ = rows()
    stage = Outliers(threshold=0.45, neighbours=5, references=60)
    order = np.random.default_rng(1).permutation(COUNT)
    assert verdicts(stage, frame[order]).equals(verdicts(stage, frame)[order])


def test_few_rows_are_too_few_to_tell() -> None:
    frame, _ = rows()
    assert verdicts(Outliers(threshold=1), frame[:20])["reason"].null_count() == 20  # ten of a label: nine others
    assert verdicts(Outliers(threshold=1), frame[:22])["reason"].null_count() == 0
    assert verdicts(Outliers(), frame[:0]).height == 0


def test_show_counts_from_stored_cosines_what_each_threshold_drops() -> None:
    frame, _ = rows()
    frame = frame.with_columns(id=pl.int_range(pl.len()).cast(pl.String))
    stage = Outliers(threshold=0.45, neighbours=5, references=60)
    keys = stage.keys(frame.select(stage.reads))
    edges = stage.edges(keys.buckets, keys.payload.with_columns(frame["rank"], frame["toxic"]))
    named = edges.with_columns(pl.col("a", "b").cast(pl.String))
    manifest = Manifest(recipe={"stages": [{"outliers": plain(stage)}]})
    lines = show._outliers(manifest, named, frame.select("id", "rank", "toxic"), None)
    assert next(line for line in lines if line.startswith("0.45 *")).split()[2] == str(NOISE)
    assert show._outliers(manifest, named, frame.select("id", "rank", "toxic"), 1.0)[2].split()[:2] == ["1", str(COUNT)]


def test_the_recipe_with_outliers_is_read() -> None:
    stages = read_recipe(bundled("outliers")).stages
    assert stages[-1] == Outliers(threshold=0.2)
    assert stages[:-1] == read_recipe(bundled("singlish")).stages
