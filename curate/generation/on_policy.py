"""Sample answers from the very model that is to be aligned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.core.schema import canonical, digest
from curate.generation.generator import Ask
from curate.generation.local import model_hash, sample


@config
class OnPolicyGenerator:
    """Give every prompt of the data some answers of the model; the stages label them, the pairer `on_policy` pairs them.

    What a model says by itself is what alignment must change, and both sides of such a pair are in its own words.

    Args:
        model: the model to be aligned: a folder that `save_pretrained` made, or a Hub id.
        samples: answers to each prompt.
        temperature: of the sampling.
        top_p: share of probability to sample from.
        max_new_tokens: most tokens of an answer.
        most: prompts asked, in order of the first row's id; null asks all.
    """

    model: Annotated[str, Field(min_length=1)]
    samples: Annotated[int, Field(ge=2, le=256)] = 4
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1)] = 96
    most: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 1
    side: ClassVar[str] = "sample"

    @property
    def models(self) -> tuple[str, ...]:
        """Hash of the model's files."""
        return (model_hash(self.model),)

    def asks(self, rows: pl.DataFrame, seed: int) -> list[Ask]:
        """One question per different prompt, derived from the first row that has it, in order of that row's id."""
        asks: dict[str, Ask] = {}
        for row, record, prompt in rows.sort("id").select("id", "record", "prompt").iter_rows():
            messages = tuple((message["role"], message["content"]) for message in prompt or ())
            name = canonical([list(message) for message in messages])
            if messages:
                asks.setdefault(name, Ask(row, record, messages, int(digest("on_policy", name, str(seed), size=4), 16)))
        return list(asks.values())[: self.most]

    def answers(self, asks: Sequence[Ask]) -> Iterator[tuple[Ask, list[str]]]:
        """As they come."""
        for ask in asks:
            yield (
                ask,
                sample(
                    self.model,
                    ask,
                    samples=self.samples,
                    temperature=self.temperature,
                    top_p=self.top_p,
                    max_new_tokens=self.max_new_tokens,
                ),
            )
