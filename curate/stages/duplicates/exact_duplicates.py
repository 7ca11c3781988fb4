"""Merge rows whose prompt and completion are the same into the one of best evidence, and pool their labels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.core.schema import EVIDENCE
from curate.text.normalise import normalise, normalised
from curate.text.prompts import flatten
from curate.text.similarity.leaders import edge_frame, keep_first, stars

CLUSTER = "exact_cluster"
REASON = "exact_duplicate"
MACHINE = EVIDENCE.index("machine")
MOST_VOTES = 2**16 - 1  # what the column holds


@config
class ExactDuplicates:
    """Drop a row when an equal row is kept: the first by rank, whatever their labels. Score 1, twin the kept row.

    Two rows are equal when their prompts have the same roles and texts in the same order and their completions are the same
    text; case, width, composition and spacing do not count, punctuation and emoji do. The same completion under another
    prompt is another row.

    The kept row's `given` becomes the share of all its copies' votes that say toxic and its `votes` their number, a label
    without votes counting as one: copies that contradict each other evenly leave a share near a half, on which the consensus
    abstains. What people said is not pooled with what a machine did.
    """

    VERSION: ClassVar[int] = 2

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it compares."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it adds."""
        return {CLUSTER: pl.String, "given": pl.Float32, "votes": pl.UInt16}

    @property
    def models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """The two halves of a 128-bit hash of the key; the lower one is the bucket."""
        low, high = halves(key_texts(rows))
        buckets = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32), "bucket": low})
        return Keys(buckets, pl.DataFrame({"low": low, "high": high}))

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """The first row of each set of equals with each of the others."""
        rows = buckets["row"].to_numpy().astype(np.int64)
        a, b, _ = stars(payload["low"].to_numpy()[rows], rows, payload["high"].to_numpy()[rows])
        return edge_frame(a, b, np.ones(len(a), np.float32))

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the first of each set of equals; it speaks for all of them."""
        verdicts = keep_first(edges, rows, REASON, CLUSTER)
        return verdicts.hstack(_pooled(rows, verdicts["twin"]))


def _pooled(rows: pl.DataFrame, twin: pl.Series) -> pl.DataFrame:
    """`given` and `votes` of each row, a kept row's with those of its copies; summed by rank, so that no order shows."""
    order = rows["rank"].arg_sort().to_numpy()
    leader = twin.fill_null(pl.arange(rows.height, dtype=pl.UInt32, eager=True)).to_numpy()
    kind = rows["kind"].to_numpy()
    pools = rows["given"].is_not_null().to_numpy() & ((kind < MACHINE) | (kind[leader] >= MACHINE))
    weight = np.where(pools, np.maximum(rows["votes"].to_numpy(), 1), 0).astype(np.float64)
    share = weight * rows["given"].fill_null(0).to_numpy().astype(np.float64)
    labels, total, toxic = (
        np.bincount(leader[order], values[order].astype(np.float64), rows.height) for values in (pools, weight, share)
    )
    pool = pl.DataFrame({"labels": labels, "total": total, "toxic": toxic})
    return (
        rows.select("given", "votes")
        .hstack(pool)
        .select(
            given=pl.when(pl.col("labels") > 1).then(pl.col("toxic") / pl.col("total")).otherwise("given").cast(pl.Float32),
            votes=pl.when(pl.col("labels") > 1)
            .then(pl.col("total").clip(upper_bound=MOST_VOTES))
            .otherwise("votes")
            .cast(pl.UInt16),
        )
    )


def halves(texts: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Two numbers of 64 bits for each text; equal for equal texts, and for no others that anyone will meet."""
    digests = b"".join(map(xxhash.xxh3_128_digest, texts.cast(pl.Binary).to_list()))
    both = np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)
    return both[:, 1].copy(), both[:, 0].copy()


def key_texts(rows: pl.DataFrame) -> pl.Series:
    """Everything that makes a row what it is, in one text; different keys never give the same text.

    The separator counts as white space, so no normalised text contains it; the completion comes last, and every message
    before it gives two fields.
    """
    flat = flatten(rows.select("prompt"))
    completions = normalised(rows["completion"].fill_null(""))
    if not flat.height:
        return completions
    fields: list[list[str]] = [[] for _ in range(rows.height)]
    normal_forms = {text: normalise(text) for text in {*flat["content"], *flat["role"]}}
    for row, role, content in zip(flat["row"], flat["role"], flat["content"], strict=True):
        fields[row] += (normal_forms[role], normal_forms[content])
    for before, completion in zip(fields, completions, strict=True):
        before.append(completion)
    return pl.Series(["\x1f".join(parts) for parts in fields], dtype=pl.String)
