"""The shapes of the outputs: TRL's forms, conversational or standard, with ids, scores and provenance beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl
import xxhash

from curate.core.contracts import Schema
from curate.core.schema import EVIDENCE, MESSAGE
from curate.text.prompts import transcript

SUBSET_RANK = "subset_rank"
"""Column of every output: the rows of a split with `subset_rank` < n are its subset of size n."""
MESSAGES = pl.List(MESSAGE)
TEXTS = ("prompt", "completion", "chosen", "rejected")
"""Columns that hold messages in the conversational form and plain texts in the standard one."""

Form = Literal["conversational", "standard"]

PAIRED: Schema = {
    "prompt": MESSAGES,
    "chosen": MESSAGES,
    "rejected": MESSAGES,
    "id": pl.String,
    "chosen_id": pl.String,
    "rejected_id": pl.String,
    "strategy": pl.String,
    "relation": pl.String,  # "toxicity", or "preferred": both sides are non_toxic, and people preferred chosen
    "margin": pl.Float32,
    "similarity": pl.Float32,  # cosine of the sides' vectors; null where the pairer did not measure it
    "chosen_toxicity": pl.Float32,
    "rejected_toxicity": pl.Float32,
    "evidence": pl.String,
    "source": pl.String,
    "licence": pl.String,
    "thread": pl.String,
    SUBSET_RANK: pl.UInt32,
}
UNPAIRED: Schema = {
    "prompt": MESSAGES,
    "completion": MESSAGES,
    "label": pl.Boolean,  # true: desirable, that is non_toxic
    "id": pl.String,
    "toxicity": pl.Float32,
    "evidence": pl.String,
    "benign": pl.Boolean,
    "variety": pl.String,
    "source": pl.String,
    "licence": pl.String,
    "thread": pl.String,
    SUBSET_RANK: pl.UInt32,
}
SFT: Schema = {
    "prompt": MESSAGES,
    "completion": MESSAGES,
    "id": pl.String,
    "benign": pl.Boolean,
    "source": pl.String,
    "licence": pl.String,
    SUBSET_RANK: pl.UInt32,
}


STRATA = {"paired": ("strategy", "source"), "unpaired": ("label", "source"), "sft": ("benign", "source")}
"""What the beginnings of each output are to be balanced over, see `order`."""


def schema_of(output: str, form: Form) -> Schema:
    """Columns of "paired", "unpaired" or "sft" in a form."""
    shapes = {"paired": PAIRED, "unpaired": UNPAIRED, "sft": SFT}[output]
    return shapes if form == "conversational" else {name: pl.String if name in TEXTS else kind for name, kind in shapes.items()}


def paired_output(pairs: pl.DataFrame, rows: pl.DataFrame, template: str, form: Form, seed: int) -> pl.DataFrame:
    """Pairs with their texts, scores and provenance.

    Args:
        pairs: accepted pairs, with `id` and `split`.
        rows: the rows that they name.
        template: the prompt of a pair whose rows have none.
        form: conversational (prompt, chosen, rejected: lists of messages) or standard (texts).
        seed: of the order.

    Returns:
        TRL's preference form, and `split`; same order. `evidence` is the weaker side's; `source` and `licence` name both sides'
        where they differ.
    """
    facts = rows.select("id", "prompt", "completion", "toxicity", "evidence", "source", "licence", "thread")
    wide = pairs
    for role in ("chosen", "rejected", "prompt"):
        wide = wide.join(
            facts.rename(lambda name, role=role: f"{role}_{name}"),  # type: ignore[misc]
            on=f"{role}_id",
            how="left",
            maintain_order="left",
        )
    output = wide.select(
        "id",
        "chosen_id",
        "rejected_id",
        "strategy",
        "relation",
        "margin",
        "similarity",
        "chosen_toxicity",
        "rejected_toxicity",
        "split",
        prompt=_prompt("prompt_prompt", template),
        chosen=_reply("chosen_completion"),
        rejected=_reply("rejected_completion"),
        evidence=_weaker("chosen_evidence", "rejected_evidence"),
        source=_both("source"),
        licence=_both("licence"),
        thread="prompt_thread",
    )
    return _shaped(output, "paired", form, seed)


def unpaired_output(rows: pl.DataFrame, template: str, form: Form, seed: int) -> pl.DataFrame:
    """Rows with `label` as TRL has it: true is desirable, that is non_toxic; and `split`; same order."""
    output = rows.with_columns(prompt=_prompt("prompt", template), completion=_reply("completion"), label=~pl.col("toxic"))
    return _shaped(output, "unpaired", form, seed)


def sft_output(rows: pl.DataFrame, template: str, form: Form, seed: int) -> pl.DataFrame:
    """Desirable rows as prompt and completion, and `split`; same order."""
    output = rows.with_columns(prompt=_prompt("prompt", template), completion=_reply("completion"))
    return _shaped(output, "sft", form, seed)


def _shaped(frame: pl.DataFrame, output: str, form: Form, seed: int) -> pl.DataFrame:
    frame = frame.with_columns(subset_rank(frame, STRATA[output], seed))
    if form == "standard":
        texts = {name: pl.col(name).list.first().struct.field("content") for name in TEXTS[1:] if name in frame.columns}
        prompts = pl.Series([transcript(messages) for messages in frame["prompt"]], dtype=pl.String)
        frame = frame.with_columns(prompt=prompts, **texts)
    return frame.select(*(pl.col(name).cast(kind) for name, kind in schema_of(output, form).items()), "split")


def _prompt(column: str, template: str) -> pl.Expr:
    stand_in = pl.lit([{"role": "user", "content": template}], dtype=pl.List(MESSAGE))
    return pl.when(pl.col(column).list.len().fill_null(0) > 0).then(pl.col(column)).otherwise(stand_in)


def _reply(column: str) -> pl.Expr:
    return pl.concat_list(pl.struct(role=pl.lit("assistant"), content=pl.col(column)))


def _weaker(one: str, other: str) -> pl.Expr:
    ranks = {kind: rank for rank, kind in enumerate(EVIDENCE)}
    one_rank, other_rank = (pl.col(name).replace_strict(ranks, default=len(EVIDENCE)) for name in (one, other))
    return pl.when(one_rank >= other_rank).then(one).otherwise(other)


def _both(name: str) -> pl.Expr:
    """What chosen and rejected have in common, or both, joined by " + "."""
    return pl.concat_list(f"chosen_{name}", f"rejected_{name}").list.drop_nulls().list.unique().list.sort().list.join(" + ")


def subset_rank(rows: pl.DataFrame, strata: Sequence[str], seed: int) -> pl.Series:
    """Rank of each row within its split, from 0.

    The rows of a stratum are shuffled by a keyed hash of their ids and spread evenly over (0, 1); the order of those places is
    the rank. So of each stratum the first n rows of a split hold its share of n, to within one row.

    Args:
        rows: `id`, `split` and the strata.
        strata: columns whose values, together, part the rows.
        seed: another seed gives another order.

    Returns:
        UInt32, one per row, same order.
    """
    drawn = pl.Series([xxhash.xxh3_64_intdigest(f"order:{name}".encode(), seed=seed) for name in rows["id"]], dtype=pl.UInt64)
    within = ["split", *strata]
    return (
        rows.select("id", *within, drawn=drawn)
        .with_columns(at=(pl.struct("drawn", "id").rank("ordinal").over(within) - 0.5) / pl.len().over(within))
        .select((pl.struct("at", "drawn", "id").rank("ordinal").over("split") - 1).cast(pl.UInt32).alias(SUBSET_RANK))
        .to_series()
    )
