"""Ask a model for the non_toxic counterpart of a toxic text, by minimal edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

import polars as pl
from pydantic import Field, model_validator

from curate.core.config import config
from curate.core.schema import digest
from curate.generation.generator import Ask
from curate.generation.local import model_hash, sample
from curate.labelers.outside.endpoint import Endpoint, check_variable

TEXT = "{text}"
AT_ONCE = 64  # questions to an endpoint between two savings: what a kill can lose


@config
class RewriteGenerator:
    """Give every toxic row that has no rewrite yet one or more; the pairer `rewrite` says which of them are accepted.

    Args:
        model: a folder that `save_pretrained` made (causal or encoder-decoder) or a Hub id; with `url`, the model's name there.
        url: of an OpenAI-compatible endpoint, without `/chat/completions`; null asks a model of transformers.
        key: name of the environment variable that holds the endpoint's key; none is sent without it.
        instruction: what is asked; `{text}` stands for the toxic text. A paraphraser is asked with "{text}" alone.
        samples: rewrites of one text.
        temperature: of the sampling; 0 takes the likeliest token each time.
        max_new_tokens: most tokens of a rewrite.
        most: rows asked about, in order of id; null asks about all.
        concurrency: most requests to an endpoint at once.
        timeout: seconds to wait for an endpoint.
    """

    model: Annotated[str, Field(min_length=1)]
    url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = None
    key: str | None = None
    instruction: str = (
        "Rewrite the message below so that it keeps its meaning, its language and its slang, and insults nobody. Change as few"
        " words as you can. Answer with the rewritten message alone.\n\n{text}"
    )
    samples: Annotated[int, Field(ge=1, le=16)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_new_tokens: Annotated[int, Field(ge=1)] = 96
    most: Annotated[int, Field(ge=1)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    timeout: Annotated[float, Field(gt=0)] = 60.0
    VERSION: ClassVar[int] = 1
    side: ClassVar[str] = "rewrite"

    @model_validator(mode="after")
    def _fits(self) -> RewriteGenerator:
        if TEXT not in self.instruction:
            raise ValueError(f"instruction must hold {TEXT}, where the text goes")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples: at temperature 0 they are all the same; ask for one, or raise temperature")
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """Hash of the model's files; of an endpoint's model, its name."""
        if self.url is not None:
            check_variable(self.key)
            return (digest("endpoint", self.model),)
        return (model_hash(self.model),)

    def asks(self, rows: pl.DataFrame, seed: int) -> list[Ask]:
        """One question per toxic row, in order of id."""
        toxic = rows.filter("toxic", ~pl.col("id").is_in(rows["derived_from"].drop_nulls().unique().implode())).sort("id")
        some = toxic if self.most is None else toxic.head(self.most)
        return [
            Ask(
                row, record, (("user", self.instruction.replace(TEXT, text)),), int(digest("rewrite", row, str(seed), size=4), 16)
            )
            for row, record, text in some.select("id", "record", "completion").iter_rows()
        ]

    def answers(self, asks: Sequence[Ask]) -> Iterator[tuple[Ask, list[str]]]:
        """As they come, those of an endpoint in blocks."""
        if self.url is None:
            options = {
                "samples": self.samples,
                "temperature": self.temperature,
                "top_p": 1.0,
                "max_new_tokens": self.max_new_tokens,
            }
            for ask in asks:
                yield ask, sample(self.model, ask, **options)  # type: ignore[arg-type]
            return
        endpoint = Endpoint(self.url, self.key, self.concurrency, self.timeout, attempts=6, first_wait=1.0)
        for start in range(0, len(asks), AT_ONCE):
            some = asks[start : start + AT_ONCE]
            replies = endpoint.ask([self._question(ask) for ask in some], lambda _: None)
            yield from zip(some, map(_texts, replies), strict=True)

    def _question(self, ask: Ask) -> dict[str, object]:
        return {
            "model": self.model,
            "messages": [{"role": role, "content": content} for role, content in ask.messages],
            "temperature": self.temperature,
            "max_tokens": self.max_new_tokens,
            "n": self.samples,
            "seed": ask.seed,
        }


def _texts(answer: Any) -> list[str]:  # noqa: ANN401 - whatever a server sends
    """What an endpoint said; nothing where it would not, or said it in another shape."""
    try:
        contents = [choice["message"]["content"] for choice in answer["choices"]]
    except (KeyError, TypeError):
        return []
    return [text for text in contents if isinstance(text, str)]
