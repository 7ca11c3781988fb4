"""Undo what exports, scrapers and wrong encodings did to a text, and nothing that its writer did.

Kept as written: spelling, elongations ("siaaaao"), capitals, emoji, repeated punctuation, ellipses, superscripts. So the
normal form is NFC: NFKC would turn "…" into three dots and "m²" into "m2". Undone: mojibake, HTML, invisible and control
characters, fullwidth Latin, Latin words spelt with Cyrillic or Greek look-alikes, curly quotes (phones add them; one spelling
of "don't" serves labelers and duplicates), exotic and repeated spaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import polars as pl

from curate.core.config import config
from curate.core.schema import MESSAGE
from curate.text.prompts import flatten, regroup
from curate.text.repair import repaired

if TYPE_CHECKING:
    from curate.core.contracts import Schema


@config
class Repair:
    """Replace `prompt` and `completion` by repaired text; drop rows of whose completion nothing is left (`empty`).

    A prompt message of which nothing is left is removed. Repairing twice changes nothing more.
    """

    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it replaces."""
        return {"prompt": pl.List(MESSAGE), "completion": pl.String}

    @property
    def models(self) -> tuple[str, ...]:
        """The version of ftfy, whose judgement on mojibake moves between releases."""
        from importlib.metadata import version

        return (f"ftfy {version('ftfy')}",)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Repair each distinct text once."""
        flat = flatten(rows)
        before = [text or "" for text in rows["completion"].to_list()]
        contents = flat["content"].to_list()
        repairs = {text: repaired(text) for text in {*before, *contents}}
        after = [repairs[text] for text in before]
        messages = flat.with_columns(pl.Series("content", [repairs[text] for text in contents], dtype=pl.String))
        return pl.DataFrame(
            {
                "prompt": regroup(messages, rows.height),
                "completion": pl.Series(after, dtype=pl.String),
                "reason": pl.Series([None if text else "empty" for text in after], dtype=pl.String),
                "score": pl.Series([None if text else 0.0 for text in after], dtype=pl.Float32),
            }
        )
