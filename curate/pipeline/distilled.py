"""`encoder: static`: a static model of the corpus itself, distilled before its rows are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from curate.compose.evaluation_sets import cleaned
from curate.core.contracts import RowStage
from curate.core.prompts import flatten, last_user
from curate.core.store import Stored
from curate.stages.encode import Encode
from curate.text.encoders.kept import is_kept, keep_static

SAMPLE = 20_000  # rows whose texts the model is fitted to


def distilled(encode: Encode, parts: Sequence[Stored], cleaning: Sequence[RowStage]) -> Encode:
    """The stage with the model of this corpus in place of the word `static`; any other as it stands.

    Which rows the model is fitted to hangs on their ids alone: a corpus that grows by one part in a hundred changes about one
    of a hundred, and the teacher's vectors of the others are in the cache.

    Args:
        encode: the recipe's stage.
        parts: what was read; generated rows do not count, so that a model does not hang on what is made with its help.
        cleaning: the recipe's stages that change texts, in order.

    Raises:
        UserError: the teacher cannot be read, or the disk fails.
    """
    if not is_kept(encode.encoder):
        return encode
    chosen = pl.concat(_ids(part).head(SAMPLE) for part in parts).sort().head(SAMPLE)
    rows = pl.concat(part.read().filter(pl.col("id").is_in(chosen.implode())) for part in parts)
    rows = cleaned(rows, cleaning)
    texts = [*rows["completion"].drop_nulls(), *last_user(flatten(rows), rows.height)]
    return replace(encode, encoder=keep_static(encode.teacher, texts))


def _ids(part: Stored) -> pl.Series:
    """Ids of the rows that were found, not generated, in order."""
    return part.read(["id", "derived_from"]).filter(pl.col("derived_from").is_null())["id"].sort()
