"""Replace personal data by typed pseudonyms that are numbered within their row: `<PHONE_1>`, `<NRIC_1>`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from curate.core.config import config
from curate.core.schema import MESSAGE
from curate.text.personal.patterns import find
from curate.text.personal.pseudonyms import replace_pieces
from curate.text.prompts import flatten, regroup

if TYPE_CHECKING:
    from curate.core.contracts import Schema


@config
class Pii:
    """Replace `prompt` and `completion` by texts without personal data, and list in `pii` the types that were replaced.

    The same value has the same number in the whole row and numbers mean nothing across rows: there is no counter and no
    map. `pii` holds one entry per replacement, sorted, so that counting its entries counts replacements by type. The whole
    value goes: a masked NRIC leaves 9 to 909 candidates. Pseudonyms that are in the text already stay and are not reused.

    Runs after `repair`, which takes the invisible characters out of numbers.
    """

    VERSION: ClassVar[int] = 2

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it replaces, and `pii`."""
        return {"prompt": pl.List(MESSAGE), "completion": pl.String, "pii": pl.List(pl.String)}

    @property
    def models(self) -> tuple[str, ...]:
        """None: the patterns are code, and VERSION stands for them."""
        return ()

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Replace row by row; a row without anything suspicious costs one regex search per distinct text."""
        flat = flatten(rows)
        contents = flat["content"].to_list()
        completions = [text or "" for text in rows["completion"].to_list()]
        pieces = {text: matches for text in {*contents, *completions} if (matches := find(text))}
        types: list[list[str]] = [[] for _ in completions]
        messages: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(flat["row"].to_list()):
            messages[row].append(index)
        touched = {row for row, indices in messages.items() if any(contents[index] in pieces for index in indices)}
        touched.update(row for row, text in enumerate(completions) if text in pieces)
        for row in sorted(touched):
            texts = [*(contents[index] for index in messages[row]), completions[row]]
            replaced, types[row] = replace_pieces(texts, [pieces.get(text, []) for text in texts])
            for index, text in zip(messages[row], replaced, strict=False):
                contents[index] = text
            completions[row] = replaced[-1]
        prompts = regroup(flat.with_columns(pl.Series("content", contents, dtype=pl.String)), rows.height)
        return pl.DataFrame(
            {
                "prompt": prompts,
                "completion": pl.Series(completions, dtype=pl.String),
                "pii": pl.Series(types, dtype=pl.List(pl.String)),
            }
        )
