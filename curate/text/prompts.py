"""Prompts as one flat table of messages, and back: what a stage needs that maps the texts of a row."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from curate.core.schema import MESSAGE


def flatten(rows: pl.DataFrame) -> pl.DataFrame:
    """List every message of every prompt.

    Args:
        rows: with `prompt`.

    Returns:
        `row` (UInt32, position in `rows`), `role`, `content`; by row, then message. Messages without content are left out.
    """
    flat = rows.select(pl.col("prompt").cast(pl.List(MESSAGE))).with_row_index("row").explode("prompt").unnest("prompt")
    return flat.filter(pl.col("content").is_not_null() & (pl.col("content") != ""))


def regroup(flat: pl.DataFrame, height: int) -> pl.Series:
    """Undo `flatten`.

    Args:
        flat: `row`, `role`, `content`; messages with no content are left out.
        height: how many rows there are; a row that no message names gets an empty prompt.

    Returns:
        `prompt`, one list per row.
    """
    messages = pl.struct("role", "content").alias("prompt")
    grouped = flat.filter(pl.col("content") != "").group_by("row", maintain_order=True).agg(messages)
    every = pl.DataFrame({"row": pl.arange(0, height, eager=True, dtype=pl.UInt32)})
    column = every.join(grouped, on="row", how="left", maintain_order="left")["prompt"].cast(pl.List(MESSAGE))
    nothing = pl.lit([], dtype=pl.List(MESSAGE))
    return column.to_frame().select(pl.when(column.is_null()).then(nothing).otherwise(column).alias("prompt")).to_series()


def last_user(flat: pl.DataFrame, height: int) -> list[str]:
    """The last message of each row's prompt that was not written by the assistant; "" where there is none."""
    texts = [""] * height
    spoken = flat.filter(pl.col("role") != "assistant")
    for row, content in zip(spoken["row"], spoken["content"], strict=True):
        texts[row] = content
    return texts


def transcript(messages: Sequence[dict[str, str]]) -> str:
    r"""A prompt in the standard form: who speaks and what, up to where the assistant begins; a completion follows as it is.

    >>> transcript([{"role": "user", "content": "Where to eat ah?"}])
    'user:\nWhere to eat ah?\n\nassistant:\n'
    """
    return "".join(f"{message['role']}:\n{message['content']}\n\n" for message in messages) + "assistant:\n"
