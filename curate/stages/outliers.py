"""Drop rows that are far from everything that has their label: noise, or a label by mistake."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.core.progress import Progress
from curate.text.similarity.leaders import edge_frame
from curate.text.similarity.measures import Rows

REASON = "outlier"
SIDE = 1024  # rows of one block of products

Doubles = NDArray[np.float64]


@config
class Outliers:
    """Drop a row whose mean cosine with the nearest rows of its own label is below the threshold; the mean is its score.

    Rows without a label are a group of their own. A row is compared with at most `references` rows of its group, those that come
    first by rank (best evidence, then votes, then id), so that the cost grows with the rows and not with their square; up to that
    many rows every pair counts. A row with fewer than `neighbours` others to compare with is kept: too few to tell.

    Products are exact (see `curate.text.similarity.measures.cosine`), so no order, block or processor changes a decision.

    Args:
        neighbours: how many of the nearest rows the mean is over.
        threshold: mean cosine, in [-1, 1], below which a row is dropped.
        references: rows of a label that others are compared with; 20,000 cost about 2 CPU-minutes per 100,000 rows.

    Source: Ramaswamy, Rastogi & Shim (2000), Efficient algorithms for mining outliers (distance to the nearest neighbours).
    """

    neighbours: Annotated[int, Field(ge=1)] = 10
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.2
    references: Annotated[int, Field(ge=2)] = 20_000
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it compares."""
        return ("vector",)

    @property
    def writes(self) -> Schema:
        """None but its verdict."""
        return {}

    @property
    def models(self) -> tuple[str, ...]:
        """None of its own: the vectors were made by `encode`."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """One bucket for all rows: labels are told only when all parts are there."""
        buckets = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32), "bucket": np.zeros(rows.height, np.uint64)})
        return Keys(buckets, rows.select("vector"))

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """Each row with the nearest references of its label."""
        pairs = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        with Progress("outliers", payload.height) as progress:
            for group, references in self._groups(payload):
                if len(references) > self.neighbours:
                    pairs += _nearest(payload["vector"], group, references, self.neighbours, progress)
        one, other, score = (np.concatenate(column) for column in zip(*pairs, strict=True))
        code = np.minimum(one, other) << 32 | np.maximum(one, other)
        code, first = np.unique(code, return_index=True)
        return edge_frame(code >> 32, code & 0xFFFFFFFF, score[first])

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Drop by the mean over the nearest."""
        far = pl.col("score") < pl.lit(self.threshold, pl.Float32)
        return self.means(edges, rows).select(
            reason=pl.when(far).then(pl.lit(REASON)), score=pl.when(far).then("score"), twin=pl.lit(None, pl.UInt32)
        )

    def means(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """`score` of each row, in [-1, 1]: the mean over its nearest references; null where they are too few.

        A pair of a reference with a row that is none counts for the latter alone.
        """
        reference = np.zeros(rows.height, np.bool_)
        for _, references in self._groups(rows):
            reference[references] = True
        both = pl.concat([edges.select(row=one, other=other, score="score") for one, other in (("a", "b"), ("b", "a"))])
        near = both.filter(pl.Series(reference).gather(both["other"])).sort("score", descending=True).group_by("row")
        averages = near.agg(pl.len(), pl.col("score").head(self.neighbours).cast(pl.Float64).mean().cast(pl.Float32))
        every = rows.select(row=pl.int_range(pl.len(), dtype=pl.UInt32))
        return every.join(averages.filter(pl.col("len") >= self.neighbours), on="row", how="left", maintain_order="left").select(
            "score"
        )

    def _groups(self, rows: pl.DataFrame) -> list[tuple[Rows, Rows]]:
        """The rows of each label, and those of them that others are compared with."""
        label = rows["toxic"].cast(pl.Int8).fill_null(-1).to_numpy()
        rank = rows["rank"].to_numpy()
        groups = [np.flatnonzero(label == one) for one in (-1, 0, 1)]
        return [(group, np.sort(group[np.argsort(rank[group])[: self.references]])) for group in groups]


def _nearest(
    vectors: pl.Series, group: Rows, references: Rows, neighbours: int, progress: Progress
) -> list[tuple[Rows, Rows, Doubles]]:
    """Rows, one of the nearest references of each, and their cosine; `neighbours` lines a row."""
    beside, width = _doubles(vectors, references)
    pairs = []
    for start in range(0, len(group), SIDE):
        rows = group[start : start + SIDE]
        some, length = _doubles(vectors, rows)
        likeness = some @ beside.T / np.maximum(np.outer(length, width), 1e-12)
        own = np.minimum(np.searchsorted(references, rows), len(references) - 1)
        is_own = references[own] == rows
        likeness[np.flatnonzero(is_own), own[is_own]] = -np.inf
        nearest = np.argpartition(-likeness, neighbours - 1, axis=1)[:, :neighbours]
        pairs.append(
            (np.repeat(rows, neighbours), references[nearest].ravel(), np.take_along_axis(likeness, nearest, axis=1).ravel())
        )
        progress.add(len(rows))
    return pairs


def _doubles(vectors: pl.Series, rows: Rows) -> tuple[Doubles, Doubles]:
    """Some vectors and their lengths; float64 adds products of float16 values without rounding."""
    doubles = vectors.gather(rows).to_numpy().astype(np.float64)
    return doubles, np.asarray(np.sqrt((doubles**2).sum(axis=1)), np.float64)
