"""Pairs of a toxic text and a rewrite of it that is not, from a parallel set or generated."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.pairing.greedy import take
from curate.pairing.pairer import Context, candidates
from curate.text.similarity import measures as similarity


@config
class RewritePairer:
    """Pair a toxic text with its rewrites, those nearest to it in meaning first.

    Reasons: `side_dropped` (one of both is no longer there, nor an exact copy of it), `abstained`, `not_separated` (the labels
    do not say toxic of the original and non_toxic of the rewrite), `labelers_disagree` (no person has labelled the rewrite, and
    some labeler calls it toxic), `same_text`, `different_prompt`, `different_split`, `meaning_lost`, `variety_lost`, `capped`.

    Args:
        min_similarity: least cosine of the two completions' vectors, in [-1, 1]. Of ParaDetox's toxic texts set beside a
            stranger's rewrite, 1.4 in 1,000 reach 0.4 (MiniLM); half of the real pairs reach 0.84.
        max_variety_loss: how much lower, in [0, 1], the rewrite's variety score may be where it is no longer of its original's
            variety: Singlish is to stay Singlish.
        max_per_original: most pairs of one original.
        max_uses: most pairs that one rewrite may stand in, as an exact copy of others' rewrites too.
    """

    min_similarity: Annotated[float, Field(ge=-1, le=1)] = 0.4
    max_variety_loss: Annotated[float, Field(ge=0, le=1)] = 0.2
    max_per_original: Annotated[int, Field(ge=1)] = 3
    max_uses: Annotated[int, Field(ge=1)] = 3
    VERSION: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("vector",)

    def pair(self, index: pl.DataFrame, context: Context) -> pl.DataFrame:
        """One candidate per rewrite, and one per original of a parallel set that has no rewrite left."""
        facts = ("id", "prompt_key", "completion_key", "split", "toxic", "toxicity", "chars", "variety", "variety_score")
        wanted = index.filter(pl.col("side") == "rewrite").select(*facts, "evidence", "agreed", "derived_from")
        named = index.select(*facts, "side", name=pl.coalesce("stands_for", "id")).unique(
            "name", keep="first", maintain_order=True
        )
        both = wanted.join(named, left_on="derived_from", right_on="name", how="left", suffix="_rejected", coalesce=False)
        alone = named.filter(pl.col("side") == "original").join(wanted, left_on="name", right_on="derived_from", how="anti")
        both = both.with_columns(
            margin=pl.col("toxicity_rejected") - pl.col("toxicity"),
            similarity=_cosines(both, context),
            chosen_chars="chars",
            rejected_chars="chars_rejected",
        )
        both = both.with_columns(reason=self._reason(context)).sort(
            "similarity", "id", "id_rejected", descending=[True, False, False], nulls_last=True
        )
        fit = both.filter(pl.col("reason").is_null())
        free = take(fit, {"id_rejected": self.max_per_original, "id": self.max_uses})
        fit = fit.with_columns(reason=pl.when(~free).then(pl.lit("capped")))
        refused = both.filter(pl.col("reason").is_not_null())
        lost = alone.select(rejected_id="id", reason=pl.lit("side_dropped")).sort("rejected_id")
        lines = pl.concat([fit, refused]).select("margin", "similarity", "reason", chosen_id="id", rejected_id="id_rejected")
        return candidates(pl.concat([lines, lost], how="diagonal"), "rewrite")

    def _reason(self, context: Context) -> pl.Expr:
        same_variety = pl.col("variety_rejected").is_null() | pl.col("variety").eq_missing(pl.col("variety_rejected"))
        loss = pl.col("variety_score_rejected").fill_null(0) - pl.col("variety_score").fill_null(0)
        return (
            pl.when(pl.col("id_rejected").is_null())
            .then(pl.lit("side_dropped"))
            .when(pl.col("toxic").is_null() | pl.col("toxic_rejected").is_null())
            .then(pl.lit("abstained"))
            .when(pl.col("toxic") | ~pl.col("toxic_rejected"))
            .then(pl.lit("not_separated"))
            .when((pl.col("evidence") == "machine") & ~pl.col("agreed"))
            .then(pl.lit("labelers_disagree"))
            .when(pl.col("completion_key") == pl.col("completion_key_rejected"))
            .then(pl.lit("same_text"))
            .when(pl.col("prompt_key").ne_missing(pl.col("prompt_key_rejected")))
            .then(pl.lit("different_prompt"))
            .when(pl.col("split") != pl.col("split_rejected"))
            .then(pl.lit("different_split"))
            .when(pl.col("similarity") < self.min_similarity)
            .then(pl.lit("meaning_lost"))
            .when(~same_variety & (loss > self.max_variety_loss))
            .then(pl.lit("variety_lost"))
            .otherwise(context.limits.reason())
        )


def _cosines(both: pl.DataFrame, context: Context) -> pl.Series:
    """Cosine of each candidate's completions; null where a side is missing."""
    there = both["id_rejected"].is_not_null()
    whole = both.filter(there)
    if not whole.height:
        return pl.Series([None] * both.height, dtype=pl.Float32)
    vectors = np.concatenate([context.vectors(whole["id"]), context.vectors(whole["id_rejected"])])
    place = np.arange(whole.height)
    values = np.full(both.height, np.nan)
    values[there.to_numpy()] = similarity.cosine(vectors, place, place + whole.height)
    return pl.Series(values, dtype=pl.Float64).cast(pl.Float32).fill_nan(None)
