"""Choose the rows that are worth an expensive labeler: those that the cheap ones cannot decide, the least certain first."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.text.similarity.leaders import edge_frame

Share = Annotated[float, Field(ge=0, le=1)]


@config
class Undecided:
    """Write `undecided`: true for at most `max_rows` rows whose mean score lies in the band, nearest to its middle first.

    A row that people labelled is decided, and so is one that no named labeler has a score for. Ties go by id, so the choice does
    not depend on files, parts or order. Drops nothing. Labelers with `only: undecided` behind it score the chosen rows alone.

    Args:
        labelers: recipe words of the cheap labelers that ran before; the mean of those that have a score counts.
        band: scores, in [0, 1], ends included, between which a row is undecided.
        max_rows: the budget: most rows chosen in the whole build.
        judged: most rows chosen beside these that people labelled, nearest to the middle of the band first, in it or not: by them
            `curate label weigh` finds how far the labelers are to be believed that are asked about the chosen rows alone.

    Source: Lewis & Gale (1994), A Sequential Algorithm for Training Text Classifiers (uncertainty sampling).
    """

    labelers: Annotated[tuple[str, ...], Field(min_length=1)] = ("head",)
    band: tuple[Share, Share] = (0.2, 0.8)
    max_rows: Annotated[int, Field(ge=0)] = 10_000
    judged: Annotated[int, Field(ge=0)] = 0
    VERSION: ClassVar[int] = 1

    @model_validator(mode="after")
    def _band(self) -> Undecided:
        if self.band[0] > self.band[1]:
            raise ValueError(f"band must be (low, high), low first, found {list(self.band)}")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it decides by."""
        return tuple(f"score_{name}" for name in self.labelers)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return {"undecided": pl.Boolean}

    @property
    def models(self) -> tuple[str, ...]:
        """None: it decides by scores alone."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """None: rows are not compared, only their scores are put in order."""
        return Keys(pl.DataFrame(schema={"row": pl.UInt32, "bucket": pl.UInt64}), rows.select(self.reads))

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """None."""
        none = np.zeros(0, np.int64)
        return edge_frame(none, none, none.astype(np.float32))

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Take rows in the band by distance from its middle, then id, until the budget is spent; then rows with a label."""
        low, high = (pl.lit(end, pl.Float32) for end in self.band)
        mean = pl.mean_horizontal(*self.reads).cast(pl.Float32)
        near = (
            rows.select("id", "toxic", mean=mean)
            .with_row_index("row")
            .drop_nulls("mean")
            .sort((pl.col("mean") - (low + high) / 2).abs(), "id")
        )
        doubtful = near.filter(pl.col("toxic").is_null(), pl.col("mean").is_between(low, high)).head(self.max_rows)
        labelled = near.filter(pl.col("toxic").is_not_null()).head(self.judged)
        places = pl.concat([doubtful["row"], labelled["row"]])
        chosen = pl.int_range(rows.height, dtype=pl.UInt32, eager=True).is_in(places.implode())
        return pl.DataFrame({"undecided": chosen}).with_columns(
            reason=pl.lit(None, pl.String), score=pl.lit(None, pl.Float32), twin=pl.lit(None, pl.UInt32)
        )
