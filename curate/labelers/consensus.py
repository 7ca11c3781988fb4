"""Decide each row's label from the scores of its labelers, or abstain."""

from __future__ import annotations

from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field, model_validator

from curate.contracts import Schema
from curate.recipe import config

Share = Annotated[float, Field(ge=0, le=1)]


@config
class Consensus:
    """The first labeler that has a score decides; people outrank machines by standing first.

    Writes `toxicity` (the deciding score), `toxic` (true from the upper end of the band, false up to the lower end, null inside
    it: such a row goes to neither side), `evidence` (what the score rests on: human, votes or machine; null without any score)
    and `disagreement` (largest minus smallest score; null where fewer than two labelers have one).

    Args:
        labelers: recipe words of labelers that ran before, best first; `column` stands for what came with the data.
        abstain: the band of toxicity, in [0, 1], in which a row stays undecided. A votes tie lies inside any band around 0.5.
    """

    labelers: Annotated[tuple[str, ...], Field(min_length=1)] = ("column", "head")
    abstain: tuple[Share, Share] = (0.4, 0.6)
    VERSION: ClassVar[int] = 1

    @model_validator(mode="after")
    def _band(self) -> Consensus:
        if self.abstain[0] > self.abstain[1]:
            raise ValueError(f"abstain must be (low, high), low first, found {list(self.abstain)}")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("evidence", *(f"score_{name}" for name in self.labelers))

    @property
    def writes(self) -> Schema:
        """Columns it makes (and `evidence`, which it replaces)."""
        return {"toxicity": pl.Float32, "toxic": pl.Boolean, "evidence": pl.String, "disagreement": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """None: it decides by scores alone."""
        return ()

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row."""
        low, high = (pl.lit(end, pl.Float32) for end in self.abstain)  # as scores are: 2 votes of 5 equal a band's end of 0.4
        scores = [pl.col(f"score_{name}") for name in self.labelers]
        names = [pl.when(score.is_not_null()).then(pl.lit(name)) for score, name in zip(scores, self.labelers, strict=True)]
        toxicity = pl.coalesce(scores).cast(pl.Float32)
        given = pl.coalesce(names) == "column"
        several = pl.sum_horizontal(score.is_not_null() for score in scores) >= 2
        spread = pl.max_horizontal(scores) - pl.min_horizontal(scores)
        tie = given & (toxicity == 0.5)
        return rows.select(
            toxicity=toxicity,
            toxic=pl.when(~tie & (toxicity >= high)).then(True).when(~tie & (toxicity <= low)).then(False),
            evidence=pl.when(given)
            .then(pl.col("evidence").fill_null("human"))
            .when(toxicity.is_not_null())
            .then(pl.lit("machine")),
            disagreement=pl.when(several).then(spread).cast(pl.Float32),
        )
