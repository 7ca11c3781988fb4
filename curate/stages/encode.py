"""Give every row the vectors of its completion and of the last thing the user said."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from curate.contracts import Schema
from curate.encoders import BUILTIN, encoder
from curate.progress import Progress
from curate.recipe import config
from curate.stages.prompts import flatten, last_user


@config
class Encode:
    """Write `vector` (completion) and `prompt_vector` (last user message; zeros where there is none).

    Each different text of a part is encoded once. Vectors have length 1, rounded to float16 precision.

    Args:
        encoder: `builtin:minilm` (384 numbers a text), a sentence-transformers folder, or a Hub id.
    """

    encoder: str = BUILTIN
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        kind = pl.Array(pl.Float32, encoder(self.encoder).dim)
        return {"vector": kind, "prompt_vector": kind}

    @property
    def models(self) -> tuple[str, ...]:
        """The encoder's hash."""
        return (encoder(self.encoder).hash,)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Encode completions and prompts of one part."""
        completions = rows["completion"].fill_null("").to_list()
        prompts = last_user(flatten(rows), rows.height)
        different = {text: place for place, text in enumerate(dict.fromkeys(completions + prompts))}
        with Progress("encode", len(different), "texts") as progress:
            vectors = encoder(self.encoder).encode(list(different), progress)
        columns = {"vector": completions, "prompt_vector": prompts}
        return pl.DataFrame(
            {
                name: pl.Series(vectors[np.fromiter((different[text] for text in texts), np.int64)], dtype=self.writes[name])
                for name, texts in columns.items()
            }
        )
