"""Pairs that came as pairs: a record with a chosen and a rejected side, checked before it is believed."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from curate.pairing.pairer import PAIR
from curate.recipe import config


@config
class Given:
    """Take a record's own two sides when the labels agree that chosen is non_toxic and rejected is toxic.

    "Chosen" in data that came as pairs often means "preferred", which is not the same as "not toxic": a record whose
    sides the labels do not separate is refused and counted. Reasons: `side_dropped` (one side is no longer there),
    `abstained` (a side has no label), `not_separated`, `different_prompt`, `different_split`.
    """

    VERSION: ClassVar[int] = 1

    def pair(self, index: pl.DataFrame) -> pl.DataFrame:
        """One candidate per record that has at least one side left."""
        wanted = ("record", "id", "prompt_key", "split", "toxic", "toxicity")
        chosen, rejected = (
            index.filter(pl.col("side") == side).select(wanted).sort("id").unique("record", keep="first", maintain_order=True)
            for side in ("chosen", "rejected")
        )
        both = chosen.join(rejected, on="record", how="full", coalesce=True, suffix="_rejected")
        reason = (
            pl.when(pl.col("id").is_null() | pl.col("id_rejected").is_null())
            .then(pl.lit("side_dropped"))
            .when(pl.col("toxic").is_null() | pl.col("toxic_rejected").is_null())
            .then(pl.lit("abstained"))
            .when(pl.col("toxic") | ~pl.col("toxic_rejected"))
            .then(pl.lit("not_separated"))
            .when(pl.col("prompt_key").ne_missing(pl.col("prompt_key_rejected")))
            .then(pl.lit("different_prompt"))
            .when(pl.col("split") != pl.col("split_rejected"))
            .then(pl.lit("different_split"))
        )
        return both.select(
            chosen_id=pl.col("id"),
            rejected_id=pl.col("id_rejected"),
            prompt_id=pl.col("id_rejected"),
            strategy=pl.lit("given"),
            margin=pl.col("toxicity_rejected") - pl.col("toxicity"),
            reason=reason,
        ).cast(PAIR)  # type: ignore[arg-type]
