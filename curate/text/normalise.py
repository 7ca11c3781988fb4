"""A text without what copies differ by."""

from __future__ import annotations

import unicodedata

import polars as pl


def normalise(text: str) -> str:
    """What two texts must share to be one: case, width, ligatures, composition and spacing do not count; signs do.

    >>> normalise("  Ｃan   LAH ") == normalise("can lah")
    True

    Source: Unicode, D146 (compatibility caseless matching).
    """
    if text.isascii():
        if text.isprintable() and "  " not in text:  # no white space but single spaces: half the time
            return text.strip().lower()
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold())
    return " ".join(unicodedata.normalize("NFKC", folded.casefold()).split())


def normalised(texts: pl.Series) -> pl.Series:
    """`normalise` of a column of texts without nulls, in half the time."""
    odd = texts.str.contains("[^ -~]|  ").arg_true()
    plain = texts.str.strip_chars(" ").str.to_lowercase()
    return plain.scatter(odd, [normalise(text) for text in texts.gather(odd).to_list()]) if len(odd) else plain
