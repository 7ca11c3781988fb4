"""Pairs from different completions of one prompt."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from curate.pairing.pairer import PAIR
from curate.recipe import config

PLACE = ("prompt_key", "split")


@config
class SamePrompt:
    """Pair toxic with non_toxic completions of one prompt, widest margin first.

    Within a prompt and a split all toxic × non_toxic candidates are visited by margin, ties by id, and taken until a cap
    is met.

    Args:
        max_per_prompt: most pairs of one prompt, so that a famous prompt does not become the whole set.
        max_uses: most pairs that one completion may stand in.
    """

    max_per_prompt: Annotated[int, Field(ge=1)] = 4
    max_uses: Annotated[int, Field(ge=1)] = 2
    VERSION: ClassVar[int] = 1

    def pair(self, index: pl.DataFrame) -> pl.DataFrame:
        """The pairs taken; all are accepted."""
        labelled = index.filter(pl.col("prompt_key").is_not_null() & pl.col("toxic").is_not_null()).select(
            *PLACE, "id", "toxicity", "toxic"
        )
        rejected = self._extremes(labelled.filter("toxic"), descending=True)
        chosen = self._extremes(labelled.filter(~pl.col("toxic")), descending=False)
        candidates = (
            chosen.join(rejected, on=PLACE, suffix="_rejected")
            .with_columns(margin=pl.col("toxicity_rejected") - pl.col("toxicity"))
            .sort(*PLACE, "margin", "id", "id_rejected", descending=[False, False, True, False, False])
        )
        taken: Counter[tuple[int, str]] = Counter()
        uses: Counter[str] = Counter()
        accepted = []
        for place, chosen_id, rejected_id in zip(
            candidates.select(*PLACE).iter_rows(), candidates["id"], candidates["id_rejected"], strict=True
        ):
            free = taken[place] < self.max_per_prompt and uses[chosen_id] < self.max_uses and uses[rejected_id] < self.max_uses
            accepted.append(free)
            if free:
                taken[place] += 1
                uses[chosen_id] += 1
                uses[rejected_id] += 1
        return (
            candidates.filter(pl.Series(accepted, dtype=pl.Boolean))
            .select(
                chosen_id=pl.col("id"),
                rejected_id=pl.col("id_rejected"),
                prompt_id=pl.col("id_rejected"),
                strategy=pl.lit("same_prompt"),
                margin=pl.col("margin"),
                reason=pl.lit(None, pl.String),
            )
            .cast(PAIR)  # type: ignore[arg-type]
        )

    def _extremes(self, side: pl.DataFrame, *, descending: bool) -> pl.DataFrame:
        """The `max_per_prompt` most extreme rows of each prompt.

        No other row can be in a pair: a candidate is reached only when each more extreme row of its side has met a cap
        or stands in a pair already, and a prompt has at most that many pairs. So a prompt with 10⁴ completions costs
        max_per_prompt² candidates, not 10⁸.
        """
        ranked = side.sort("toxicity", "id", descending=[descending, False])
        return ranked.group_by(PLACE, maintain_order=True).head(self.max_per_prompt).drop("toxic")
