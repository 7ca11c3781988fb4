"""Columns and dtypes at the seams: what a row, a verdict and an output hold, and how a row gets its name."""

from __future__ import annotations

import hashlib
import json

import polars as pl

MESSAGE = pl.Struct({"role": pl.String, "content": pl.String})

ROW: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,  # see row_id
    "record": pl.String,  # the record it was mined from, see record_id
    "prompt": pl.List(MESSAGE),  # oldest message first; empty where there is none
    "completion": pl.String,
    "source": pl.String,  # file, relative to --source, '/' between folders
    "locator": pl.String,  # where in the file, for people only: "line 412"
    "licence": pl.String,
    "thread": pl.String,  # hash of (source, thread); null where there is none
    "author": pl.String,  # keyed pseudonym
    "given": pl.Float32,  # the data's own label: share of votes or 0/1 that say toxic, in [0, 1]; null without one
    "votes": pl.UInt16,  # how many votes `given` rests on; 0 without any
    "evidence": pl.String,  # what `given` is: one of EVIDENCE; null without a label
    "category": pl.String,  # policy category that came with the data
    "side": pl.String,  # one of SIDES; null for a row that stands alone
    "derived_from": pl.String,  # id of the row that this one rewrites or samples an answer for; null where there is none
}
"""A row as mining leaves it and as `parts/` stores it. Stages add columns or replace `prompt` and `completion`."""

SIDES = ("chosen", "rejected", "original", "rewrite", "sample")
"""What a row is to another: the sides of a pair that people compared; a toxic text and a rewrite of it, from a parallel set or
generated; an answer sampled from the model to be aligned."""

EVIDENCE = ("human", "votes", "machine")
"""Kinds of evidence for a label, best first. A single label that came with the data counts as human, unless its
column's name, its numbers or another column say that a machine gave it."""

VERDICT: dict[str, pl.DataType | type[pl.DataType]] = {
    "reason": pl.String,  # null: the row is kept
    "score": pl.Float32,  # the number that decided, in the stage's own unit
    "twin": pl.String,  # id of the kept row that it repeats
}
"""What every stage says of every row beside the columns it writes."""


def digest(*parts: bytes | str, size: int = 16) -> str:
    """Hash parts into hex; parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ.

    Args:
        parts: bytes or text (taken as UTF-8; lone surrogates pass).
        size: bytes of digest; the hex text is twice as long.
    """
    state = hashlib.blake2b(digest_size=size)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def canonical(value: object) -> str:
    """JSON text of a value in one spelling only: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def record_id(source: str, raw: bytes, occurrence: int) -> str:
    """Name a record by what it says, not where it stands: inserting a line in a file renames nothing.

    Args:
        source: file name relative to --source.
        raw: the record's bytes as the reader found them.
        occurrence: how many records with these very bytes the file had before this one, from 0.
    """
    return digest(source, raw, str(occurrence))


def row_id(record: str, index: int) -> str:
    """Name a row by its record and its place within the record, from 0."""
    return digest(record, str(index))
