"""Pairs that came as pairs: a record with a chosen and a rejected side, checked before it is believed."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from curate.core.config import config
from curate.pairing.pairer import PREFERRED, TOXICITY, Context, candidates


@config
class GivenPairer:
    """Take a record's own two sides.

    "Chosen" in data that came as pairs often means "preferred", which is not the same as "not toxic". Where the labels say
    that chosen is non_toxic and rejected toxic, the relation is `toxicity`; where both sides are non_toxic, it is `preferred`,
    and nothing is learnt from either side alone. Reasons: `side_dropped` (one side is no longer there, nor an exact copy of it),
    `abstained` (a side has no label), `contradicted` (chosen is toxic and rejected is not), `not_separated` (both are toxic),
    `same_text`, `different_prompt`, `different_split`.

    Args:
        preferred: whether pairs of two non_toxic sides are taken.
    """

    preferred: bool = True
    VERSION: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ()

    def pair(self, index: pl.DataFrame, context: Context) -> pl.DataFrame:
        """One candidate per record that has at least one side left."""
        wanted = ("record", "id", "prompt_key", "completion_key", "split", "toxic", "toxicity", "chars")
        chosen, rejected = (
            index.filter(pl.col("side") == side).select(wanted).sort("id").unique("record", keep="first", maintain_order=True)
            for side in ("chosen", "rejected")
        )
        both = chosen.join(rejected, on="record", how="full", coalesce=True, suffix="_rejected").with_columns(
            margin=pl.col("toxicity_rejected") - pl.col("toxicity"),
            preferred=~pl.col("toxic") & ~pl.col("toxic_rejected"),
            chosen_chars="chars",
            rejected_chars="chars_rejected",
        )
        reason = (
            pl.when(pl.col("id").is_null() | pl.col("id_rejected").is_null())
            .then(pl.lit("side_dropped"))
            .when(pl.col("toxic").is_null() | pl.col("toxic_rejected").is_null())
            .then(pl.lit("abstained"))
            .when(pl.col("toxic") & ~pl.col("toxic_rejected"))
            .then(pl.lit("contradicted"))
            .when(pl.col("toxic") if self.preferred else pl.col("toxic") | ~pl.col("toxic_rejected"))
            .then(pl.lit("not_separated"))
            .when(pl.col("completion_key") == pl.col("completion_key_rejected"))
            .then(pl.lit("same_text"))
            .when(pl.col("prompt_key").ne_missing(pl.col("prompt_key_rejected")))
            .then(pl.lit("different_prompt"))
            .when(pl.col("split") != pl.col("split_rejected"))
            .then(pl.lit("different_split"))
            .when("preferred")
            .then(context.limits.length())
            .otherwise(context.limits.reason())
        )
        return candidates(
            both.select(
                "margin",
                chosen_id="id",
                rejected_id="id_rejected",
                relation=pl.when("preferred").then(pl.lit(PREFERRED)).otherwise(pl.lit(TOXICITY)),
                reason=reason,
            ).sort("chosen_id", "rejected_id"),
            "given",
        )
