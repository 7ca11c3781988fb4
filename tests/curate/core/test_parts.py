"""Parts and layers: every row is accounted for, cached answers are believed only for the same input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import polars as pl
import pytest
from pydantic import Field

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.core.parts import Part
from curate.core.schema import ROW
from curate.core.store import commit
from curate.stages.engine import Conservation, run


@config
class Shout:
    """Upper-cases; drops what is short."""

    least: Annotated[int, Field(ge=0)] = 3
    VERSION: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("completion",)
    writes: ClassVar[Schema] = {"completion": pl.String}
    models: ClassVar[tuple[str, ...]] = ()
    calls: ClassVar[list[int]] = []

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        self.calls.append(rows.height)
        length = pl.col("completion").str.len_chars()
        return rows.select(
            pl.col("completion").str.to_uppercase(),
            pl.when(length < self.least).then(pl.lit("short")).alias("reason"),
            length.alias("score"),
        )


@config
class Loses:
    """Breaks the law: one row is gone."""

    VERSION: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[Schema] = {}
    models: ClassVar[tuple[str, ...]] = ()

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select("id").head(rows.height - 1)


@config
class SameText:
    """Drops equal texts."""

    VERSION: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("completion",)
    writes: ClassVar[Schema] = {"cluster": pl.String}
    models: ClassVar[tuple[str, ...]] = ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        bucket = rows["completion"].hash(0)
        row = pl.Series("row", range(rows.height), dtype=pl.UInt32)
        return Keys(pl.DataFrame({"row": row, "bucket": bucket}), rows.select(pl.col("id").str.len_chars().alias("payload")))

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        both = buckets.join(buckets, on="bucket", suffix="_b").filter(pl.col("row") < pl.col("row_b"))
        return both.select(pl.col("row").alias("a"), pl.col("row_b").alias("b"), pl.lit(1.0, pl.Float32).alias("score"))

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        rank = rows["rank"].to_list()
        twin: dict[int, int] = {}
        for a, b, _ in edges.iter_rows():
            late, early = (a, b) if rank[a] > rank[b] else (b, a)
            twin[late] = early if late not in twin or rank[early] < rank[twin[late]] else twin[late]
        at = [twin.get(row) for row in range(rows.height)]
        return pl.DataFrame(
            {
                "reason": [None if row is None else "same" for row in at],
                "score": [None if row is None else 1.0 for row in at],
                "twin": pl.Series(at, dtype=pl.UInt32),
                "cluster": [rows["id"][index if row is None else row] for index, row in enumerate(at)],
            }
        )


def make(folder: Path, name: str, texts: list[str], votes: list[int] | None = None) -> Part:
    rows = []
    for index, text in enumerate(texts):
        row = dict.fromkeys(ROW)
        many = votes[index] if votes else 0
        row |= {"id": f"{name}{index}", "prompt": [], "completion": text, "votes": many, "evidence": "votes" if many else None}
        rows.append(row)
    return Part(commit(folder / f"{name}.parquet", pl.DataFrame(rows, schema=ROW)))


def test_rows_in_are_kept_or_dropped_with_a_reason(tmp_path: Path) -> None:
    outcome = run("shout", Shout(), [make(tmp_path, "a", ["yes", "no", "maybe"])], tmp_path / "columns")
    assert (outcome.rows_in, outcome.kept, outcome.dropped) == (3, 2, {"short": 1})
    assert outcome.parts[0].kept(["completion"]).rows() == [("a0", "YES"), ("a2", "MAYBE")]


def test_a_stage_that_loses_a_row_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(Conservation, match="loses: 2 rows in, 1 lines out"):
        run("loses", Loses(), [make(tmp_path, "a", ["x", "y"])], tmp_path / "columns")


def test_the_same_input_is_not_worked_on_twice_and_a_changed_option_is(tmp_path: Path) -> None:
    parts = [make(tmp_path, "a", ["yes", "no"])]
    Shout.calls.clear()
    first = run("shout", Shout(), parts, tmp_path / "columns")
    second = run("shout", Shout(), parts, tmp_path / "columns")
    assert len(Shout.calls) == 1 and first.parts[0].lineage == second.parts[0].lineage
    run("shout", Shout(least=2), parts, tmp_path / "columns")
    assert len(Shout.calls) == 2


def test_a_damaged_column_file_is_made_again(tmp_path: Path) -> None:
    parts = [make(tmp_path, "a", ["yes", "no"])]
    first = run("shout", Shout(), parts, tmp_path / "columns")
    path = first.parts[0].layers[0].stored.path
    good = path.read_bytes()
    path.write_bytes(good[:40] + bytes([good[40] ^ 1]) + good[41:])
    run("shout", Shout(), parts, tmp_path / "columns")
    assert path.read_bytes() == good


def test_a_twin_in_another_part_is_named_by_its_id_and_better_evidence_stays(tmp_path: Path) -> None:
    parts = [make(tmp_path, "a", ["same", "own"]), make(tmp_path, "b", ["same"], votes=[3])]
    outcome = run("same_text", SameText(), parts, tmp_path / "columns")
    told = pl.concat([part.all_rows() for part in outcome.parts])
    dropped = told.filter(pl.col("reason").is_not_null()).select("id", "stage", "reason", "twin").rows()
    assert dropped == [("a0", "same_text", "same", "b0")]
    assert outcome.similarity is not None and outcome.similarity.read().rows() == [("a0", "b0", 1.0)]


def test_text_from_before_the_pii_stage_is_not_told(tmp_path: Path) -> None:
    parts = run("shout", Shout(), [make(tmp_path, "a", ["yes", "no"])], tmp_path / "columns").parts
    assert parts[0].all_rows()["completion"].to_list() == [None, None]
    safe = run("pii", Shout(least=0), parts, tmp_path / "columns").parts[0].all_rows()
    assert safe.select("completion", "stage", "reason").rows() == [("YES", None, None), (None, "shout", "short")]
