"""Pairs from different completions of one prompt."""

from __future__ import annotations

from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.pairing.greedy import take
from curate.pairing.pairer import Context, candidates, own

PLACE = ("prompt_key", "split")
LOOKED_AT = 4  # times max_per_prompt: how many of each side are looked at, so that one too long or short does not end a prompt


@config
class SamePromptPairer:
    """Pair toxic with non_toxic completions of one prompt, widest margin first.

    Within a prompt and a split the toxic × non_toxic candidates are visited by margin, ties by id, and taken until a cap is met.
    A prompt that has both and gives no pair says why by its widest candidate.

    Args:
        max_per_prompt: most pairs of one prompt, so that a famous prompt does not become the whole set.
        max_uses: most pairs that one completion may stand in.
    """

    max_per_prompt: Annotated[int, Field(ge=1)] = 4
    max_uses: Annotated[int, Field(ge=1)] = 2
    VERSION: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ()

    def pair(self, index: pl.DataFrame, context: Context) -> pl.DataFrame:
        """The pairs taken, and one refused candidate for each prompt that has both kinds and gives none."""
        return candidates(within_prompts(own(index), context, self.max_per_prompt, self.max_uses), "same_prompt")


def within_prompts(rows: pl.DataFrame, context: Context, max_per_prompt: int, max_uses: int) -> pl.DataFrame:
    """Pairs among rows of one prompt.

    Of each side the `LOOKED_AT` × max_per_prompt most extreme rows are looked at: a prompt with 10⁴ completions costs a few
    hundred candidates, not 10⁸. Unless lengths refuse that many, no other row could be in a pair: a candidate is reached only
    when each more extreme row of its side has met a cap or stands in a pair already.

    Returns:
        `chosen_id`, `rejected_id`, `margin`, `reason`.
    """
    labelled = rows.filter(pl.col("prompt_key").is_not_null() & pl.col("toxic").is_not_null()).select(
        *PLACE, "id", "toxicity", "toxic", "chars"
    )
    most = LOOKED_AT * max_per_prompt
    rejected = _extremes(labelled.filter("toxic"), most, descending=True)
    chosen = _extremes(labelled.filter(~pl.col("toxic")), most, descending=False)
    possible = (
        chosen.join(rejected, on=PLACE, suffix="_rejected")
        .with_columns(
            margin=pl.col("toxicity_rejected") - pl.col("toxicity"), chosen_chars="chars", rejected_chars="chars_rejected"
        )
        .with_columns(reason=context.limits.reason())
        .sort(*PLACE, "margin", "id", "id_rejected", descending=[False, False, True, False, False])
    )
    fit = possible.filter(pl.col("reason").is_null())
    fit = fit.filter(take(fit, {PLACE: max_per_prompt, "id": max_uses, "id_rejected": max_uses}))
    refused = possible.join(fit, on=PLACE, how="anti", maintain_order="left").unique(PLACE, keep="first", maintain_order=True)
    return pl.concat([fit, refused]).select("margin", "reason", chosen_id="id", rejected_id="id_rejected")


def _extremes(side: pl.DataFrame, most: int, *, descending: bool) -> pl.DataFrame:
    ranked = side.sort("toxicity", "id", descending=[descending, False])
    return ranked.group_by(PLACE, maintain_order=True).head(most).drop("toxic")
