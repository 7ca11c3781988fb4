"""Drop rows whose prompt and completion both repeat those of a row that is kept."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import xxhash

from curate.contracts import Keys, Schema
from curate.recipe import config
from curate.similarity import normalise
from curate.stages.leaders import edge_frame, keep_leaders, stars
from curate.stages.prompts import flatten

CLUSTER = "exact_cluster"
REASON = "exact_duplicate"


@config
class ExactDuplicates:
    """Drop a row when an equal row is kept: the first by rank. Score 1, twin the kept row.

    Two rows are equal when their prompts have the same roles and texts in the same order and their completions are the same
    text; case, width, composition and spacing do not count, punctuation and emoji do. The same completion under another
    prompt is another row. Equal rows with opposite labels share a cluster and are both kept.
    """

    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it compares."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it adds."""
        return {CLUSTER: pl.String}

    @property
    def models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """The two halves of a 128-bit hash of the key; the lower one is the bucket."""
        state = np.empty((rows.height, 2), np.uint64)
        for place, text in enumerate(key_texts(rows)):
            number = xxhash.xxh3_128_intdigest(text.encode("utf-8", "surrogatepass"))
            state[place] = number & 0xFFFFFFFFFFFFFFFF, number >> 64
        buckets = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32), "bucket": state[:, 0]})
        return Keys(buckets, pl.DataFrame({"low": state[:, 0], "high": state[:, 1]}))

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """The first row of each set of equals with each of the others."""
        rows = buckets["row"].to_numpy().astype(np.int64)
        low, high = payload["low"].to_numpy()[rows], payload["high"].to_numpy()[rows]
        a, b, _ = stars(np.unique(np.stack([low, high], axis=1), axis=0, return_inverse=True)[1].astype(np.uint64), rows)
        return edge_frame(a, b, np.ones(len(a)))

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep the first of each set of equals, and the first with the opposite label."""
        return keep_leaders(edges, rows, 1.0, REASON, CLUSTER)


def key_texts(rows: pl.DataFrame) -> list[str]:
    """Everything that makes a row what it is, in one text; different keys never give the same text.

    The separator counts as white space, so no normalised text contains it; the completion comes last, and every message
    before it gives two fields.
    """
    fields: list[list[str]] = [[] for _ in range(rows.height)]
    flat = flatten(rows.select("prompt"))
    known = {text: normalise(text) for text in {*flat["content"], *flat["role"]}}
    for row, role, content in zip(flat["row"], flat["role"], flat["content"], strict=True):
        fields[row] += (known[role], known[content])
    for before, completion in zip(fields, rows["completion"].fill_null(""), strict=True):
        before.append(normalise(completion))
    return ["\x1f".join(parts) for parts in fields]
