"""Cap the rows that answer different prompts with one and the same completion."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.stages.duplicates.exact_duplicates import halves
from curate.text.normalise import normalised
from curate.text.similarity.leaders import edge_frame, stars

REASON = "repeated_completion"


@config
class RepeatedCompletions:
    """Keep the first `most` rows by rank that share a completion; drop the others, twin the first of them.

    A stock reply under many prompts is no copy, so some of it stays; all of it would teach little else. Case, width, composition
    and spacing do not count. Sides of records that came as pairs neither count nor go: a pair needs both. Score: how many rows
    with this completion came before the row.

    Args:
        most: rows kept of one completion.
    """

    most: Annotated[int, Field(ge=1)] = 10
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it compares."""
        return ("completion", "side")

    @property
    def writes(self) -> Schema:
        """None."""
        return {}

    @property
    def models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """The two halves of a 128-bit hash of the completion; the lower one is the bucket. Empty completions have none."""
        texts = normalised(rows["completion"].fill_null(""))
        low, high = halves(texts)
        compared = (texts != "").to_numpy() & rows["side"].is_null().to_numpy()
        row = np.flatnonzero(compared)
        buckets = pl.DataFrame({"row": row.astype(np.uint32), "bucket": low[row]})
        return Keys(buckets, pl.DataFrame({"low": low, "high": high}))

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """The first row of each completion with each of its others."""
        rows = buckets["row"].to_numpy().astype(np.int64)
        a, b, _ = stars(payload["low"].to_numpy()[rows], rows, payload["high"].to_numpy()[rows])
        return edge_frame(a, b, np.ones(len(a), np.float32))

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Count by rank within each completion."""
        own = pl.arange(rows.height, dtype=pl.UInt32, eager=True).alias("row")
        tied = own.to_frame().join(edges.select(row="b", first="a").unique("row"), on="row", how="left", maintain_order="left")
        ranked = tied.select("row", pl.coalesce("first", "row").alias("first")).with_columns(rows["rank"]).sort("rank")
        before = pl.int_range(pl.len(), dtype=pl.UInt32).over("first")
        places = ranked.with_columns(before=before, best=pl.col("row").first().over("first")).sort("row")
        gone = pl.col("before") >= self.most
        return places.select(
            reason=pl.when(gone).then(pl.lit(REASON)),
            score=pl.when(gone).then("before").cast(pl.Float32),
            twin=pl.when(gone).then("best"),
        )
