"""Sample answers from the very model that is to be aligned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

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
        prompts: `toxic` asks prompts that have a toxic completion, `all` asks every prompt.
        temperature: of the sampling.
        top_p: share of probability to sample from.
        max_new_tokens: most tokens of an answer.
        most: prompts asked, in order of the first row's id; null asks all.
    """

    model: Annotated[str, Field(min_length=1)]
    samples: Annotated[int, Field(ge=2, le=256)] = 4
    prompts: Literal["toxic", "all"] = "all"
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
        asked: dict[str, Ask] = {}
        wanted: set[str] = set()
        for row, record, prompt, toxic in rows.sort("id").select("id", "record", "prompt", "toxic").iter_rows():
            if not prompt:
                continue
            messages = tuple((message["role"], message["content"]) for message in prompt)
            name = canonical([list(message) for message in messages])
            asked.setdefault(name, Ask(row, record, messages, int(digest("on_policy", name, str(seed), size=4), 16)))
            if self.prompts == "all" or toxic:
                wanted.add(name)
        asks = [ask for name, ask in asked.items() if name in wanted]
        return asks if self.most is None else asks[: self.most]

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
