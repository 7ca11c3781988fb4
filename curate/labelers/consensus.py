"""Decide each row's label from the scores of its labelers, weighted by how reliable each is, or abstain and say why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field, model_validator

from curate.core.config import config
from curate.core.contracts import Schema
from curate.labelers.reliability import Reliability, load_reliability

Share = Annotated[float, Field(ge=0, le=1)]
PEOPLE = "column"  # the labeler that stands for what came with the data
WHY_FEW = "no labeler has a score"


@config
class Consensus:
    """What people said decides; where they said nothing, the machines' calibrated log-odds, each weighted by its reliability.

    Weights were fitted beforehand and are numbers in a file, so that a row's answer depends on that row alone. A row that lacks
    some scores is decided by those it has. A labeler that nobody has measured counts like the least reliable measured one, its
    score taken at its word: `why` marks it "unmeasured".

    Writes `toxicity` (probability), `toxic` (true from the upper end of the band, false up to the lower end, null inside it:
    such a row goes to neither side), `evidence` (what it rests on: human, votes or machine; null without any score),
    `disagreement` (largest minus smallest score; null where fewer than two labelers have one) and `why`.

    Args:
        labelers: recipe words of labelers that ran before; `column` stands for what came with the data, and decides alone where
            it stands first.
        abstain: the band of toxicity, in [0, 1], in which a row stays undecided. A votes tie lies inside any band around 0.5.
        reliability: file that `curate label weigh` made from a finished build; the built-in labelers' own by default.

    Source: Dawid & Skene (1979), Maximum Likelihood Estimation of Observer Error-Rates; Genest & Zidek (1986), Combining
    Probability Distributions (logarithmic opinion pool).
    """

    labelers: Annotated[tuple[str, ...], Field(min_length=1)] = ("column", "head")
    abstain: tuple[Share, Share] = (0.4, 0.6)
    reliability: Path | None = None
    VERSION: ClassVar[int] = 3

    @model_validator(mode="after")
    def _band(self) -> Consensus:
        if self.abstain[0] > self.abstain[1]:
            raise ValueError(f"abstain must be (low, high), low first, found {list(self.abstain)}")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        own = ("source",) if self._reliability.sources else ()
        return ("evidence", *own, *(f"score_{name}" for name in self.labelers))

    @property
    def writes(self) -> Schema:
        """Columns it makes (and `evidence`, which it replaces)."""
        own: Schema = {"toxicity": pl.Float32, "toxic": pl.Boolean, "evidence": pl.String}
        return own | {"disagreement": pl.Float32, "why": pl.String}

    @property
    def models(self) -> tuple[str, ...]:
        """Hash of the weights it decides by."""
        return (self._reliability.hash,)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row."""
        low, high = (pl.lit(end, pl.Float32) for end in self.abstain)  # as scores are: 2 votes of 5 equal a band's end of 0.4
        machines = [name for name in self.labelers if name != PEOPLE]
        sources = rows["source"] if self._reliability.sources else None
        pooled = self._reliability.pool({name: rows[f"score_{name}"] for name in machines}, rows.height, sources)
        people = pl.col(f"score_{PEOPLE}") if PEOPLE in self.labelers else pl.lit(None, pl.Float32)
        first = self.labelers[0] == PEOPLE
        toxicity = (pl.coalesce(people, pooled) if first else pl.coalesce(pooled, people)).cast(pl.Float32)
        by_people = people.is_not_null() & (pl.lit(first) | pooled.is_null())
        scores = [pl.col(f"score_{name}") for name in self.labelers]
        several = pl.sum_horizontal(score.is_not_null() for score in scores) >= 2
        tie = by_people & (toxicity == 0.5)
        toxic = pl.when(~tie & (toxicity >= high)).then(True).when(~tie & (toxicity <= low)).then(False)
        return rows.select(
            toxicity=toxicity,
            toxic=toxic,
            evidence=pl.when(by_people)
            .then(pl.col("evidence").fill_null("human"))
            .when(toxicity.is_not_null())
            .then(pl.lit("machine")),
            disagreement=pl.when(several).then(pl.max_horizontal(scores) - pl.min_horizontal(scores)).cast(pl.Float32),
            why=self._why(machines, toxicity, toxic, by_people, tie),
        )

    def _why(self, machines: list[str], toxicity: pl.Expr, toxic: pl.Expr, by_people: pl.Expr, tie: pl.Expr) -> pl.Expr:
        """One line a row: who decided, or why nobody did."""
        scores = pl.concat_str(
            [
                pl.format(
                    f"{name}{'' if self._reliability.knows(name) else ' (unmeasured)'} {{}}", pl.col(f"score_{name}").round(2)
                )
                for name in machines
            ]
            or [pl.lit("")],
            separator=", ",
            ignore_nulls=True,
        )
        low, high = self.abstain
        return (
            pl.when(toxicity.is_null())
            .then(pl.lit(WHY_FEW))
            .when(tie)
            .then(pl.lit("votes are tied"))
            .when(by_people & toxic.is_null())
            .then(pl.format(f"people said {{}}, inside {low}-{high}", toxicity.round(2)))
            .when(by_people)
            .then(pl.format("people said {}", toxicity.round(2)))
            .when(toxic.is_null())
            .then(pl.format(f"{{}}: {{}} lies inside {low}-{high}", scores, toxicity.round(2)))
            .otherwise(scores)
        )

    @property
    def _reliability(self) -> Reliability:
        return load_reliability(self.reliability)
