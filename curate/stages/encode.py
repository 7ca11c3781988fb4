"""Give every row the vectors of its completion and of the last thing the user said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import model_validator

from curate.core.config import config
from curate.core.contracts import RowStage, Schema
from curate.core.progress import Progress
from curate.core.store import Stored
from curate.stages.cleaning import cleaned
from curate.text.encoders import BUILTIN, Backend, Encoder, Precision, encoder
from curate.text.encoders.corpus_model import STATIC, corpus_encoder, distil_corpus, is_corpus_model
from curate.text.encoders.openvino_export import check_backend
from curate.text.encoders.processor import check_precision
from curate.text.prompts import flatten, last_user


@config
class Encode:
    """Write `vector` (completion) and `prompt_vector` (last user message; zeros where there is none).

    Each different text of a part is encoded once. Vectors have length 1, rounded to float16 precision.

    Args:
        encoder: `builtin:minilm` (384 numbers a text), a sentence-transformers folder, or a Hub id; `static` distils a model
            of one vector per token from the corpus itself: a hundred times as fast, blind to word order, and not what `head`
            was trained on. A folder with a static model does as well.
        teacher: with `static`, the encoder that it is distilled from.
        precision: `bf16` is refused on processors that do not multiply it by themselves; vectors move by a few thousandths.
        backend: `openvino` runs an export, kept in the user's cache folder; needs the extra `openvino`.
    """

    encoder: str = BUILTIN
    teacher: str = BUILTIN
    precision: Precision = "fp32"
    backend: Backend = "torch"
    VERSION: ClassVar[int] = 1

    @model_validator(mode="after")
    def _fits(self) -> Encode:
        if is_corpus_model(self.encoder) and (self.precision, self.backend) != ("fp32", "torch"):
            raise ValueError("a static model is only looked up: it takes no precision and no backend")
        if not is_corpus_model(self.encoder) and self.teacher != BUILTIN:
            raise ValueError(f"teacher: only `encoder: {STATIC}` is distilled")
        if (self.precision, self.backend) == ("bf16", "openvino"):
            raise ValueError("precision: openvino runs fp32 here")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        kind = pl.Array(pl.Float32, self.text_encoder.dim)
        return {"vector": kind, "prompt_vector": kind}

    @property
    def models(self) -> tuple[str, ...]:
        """The encoder's hash."""
        return (self.text_encoder.hash,)

    @property
    def text_encoder(self) -> Encoder:
        """What makes the vectors."""
        if is_corpus_model(self.encoder):
            return corpus_encoder(self.encoder, self.teacher)
        return encoder(self.encoder, self.precision, self.backend)

    def check(self) -> None:
        """Refuse what this machine cannot do, before anything is read.

        Raises:
            RecipeError: a precision that the processor lacks, or a backend that is not installed.
        """
        check_precision(self.precision, "encode")
        check_backend(self.backend, "encode")

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Encode completions and prompts of one part."""
        completions = rows["completion"].fill_null("").to_list()
        prompts = last_user(flatten(rows), rows.height)
        different = {text: place for place, text in enumerate(dict.fromkeys(completions + prompts))}
        with Progress("encode", len(different), "texts") as progress:
            vectors = self.text_encoder.encode(list(different), progress)
        columns = {"vector": completions, "prompt_vector": prompts}
        return pl.DataFrame(
            {
                name: pl.Series(vectors[np.fromiter((different[text] for text in texts), np.int64)], dtype=self.writes[name])
                for name, texts in columns.items()
            }
        )


SAMPLE = 20_000  # rows whose texts the model is fitted to


def with_corpus_model(encode: Encode, parts: Sequence[Stored], cleaning: Sequence[RowStage]) -> Encode:
    """The stage with the model of this corpus in place of the word `static`; any other as it stands.

    Which rows the model is fitted to hangs on their ids alone: a corpus that grows by one part in a hundred changes about one
    of a hundred, and the teacher's vectors of the others are in the cache.

    Args:
        encode: the recipe's stage.
        parts: what was read; generated rows do not count, so that a model does not hang on what is made with its help.
        cleaning: the recipe's stages that change texts, in order.

    Raises:
        UserError: the teacher cannot be read, or the disk fails.
    """
    if not is_corpus_model(encode.encoder):
        return encode
    chosen = pl.concat(_ids(part).head(SAMPLE) for part in parts).sort().head(SAMPLE)
    rows = pl.concat(part.read().filter(pl.col("id").is_in(chosen.implode())) for part in parts)
    rows = cleaned(rows, cleaning)
    texts = [*rows["completion"].drop_nulls(), *last_user(flatten(rows), rows.height)]
    return replace(encode, encoder=distil_corpus(encode.teacher, texts))


def _ids(part: Stored) -> pl.Series:
    """Ids of the rows that were found, not generated, in order."""
    return part.read(["id", "derived_from"]).filter(pl.col("derived_from").is_null())["id"].sort()
