"""The shapes of the outputs: TRL's conversational forms with ids, scores and provenance beside them."""

from __future__ import annotations

import polars as pl

from curate.contracts import Schema
from curate.schema import EVIDENCE, MESSAGE

MESSAGES = pl.List(MESSAGE)
PAIRED: Schema = {
    "prompt": MESSAGES,
    "chosen": MESSAGES,
    "rejected": MESSAGES,
    "id": pl.String,
    "chosen_id": pl.String,
    "rejected_id": pl.String,
    "strategy": pl.String,
    "margin": pl.Float32,
    "chosen_toxicity": pl.Float32,
    "rejected_toxicity": pl.Float32,
    "evidence": pl.String,
    "source": pl.String,
    "licence": pl.String,
    "thread": pl.String,
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
}
SFT: Schema = {
    "prompt": MESSAGES,
    "completion": MESSAGES,
    "id": pl.String,
    "benign": pl.Boolean,
    "source": pl.String,
    "licence": pl.String,
}


def paired_output(pairs: pl.DataFrame, rows: pl.DataFrame, template: str) -> pl.DataFrame:
    """Pairs with their texts, scores and provenance.

    Args:
        pairs: accepted pairs, with `id` and `split`.
        rows: the rows that they name.
        template: the prompt of a pair whose rows have none.

    Returns:
        TRL's conversational preference form (prompt, chosen, rejected: lists of messages), and `split`; same order.
        `evidence` is the weaker side's; `source` and `licence` name both sides' where they differ.
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
    made = wide.select(
        "id",
        "chosen_id",
        "rejected_id",
        "strategy",
        "margin",
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
    return _shaped(made, PAIRED)


def unpaired_output(rows: pl.DataFrame, template: str) -> pl.DataFrame:
    """Rows with `label` as TRL has it: true is desirable, that is non_toxic; and `split`; same order."""
    made = rows.with_columns(prompt=_prompt("prompt", template), completion=_reply("completion"), label=~pl.col("toxic"))
    return _shaped(made, UNPAIRED)


def sft_output(rows: pl.DataFrame, template: str) -> pl.DataFrame:
    """Desirable rows as prompt and completion, and `split`; same order."""
    return _shaped(rows.with_columns(prompt=_prompt("prompt", template), completion=_reply("completion")), SFT)


def _shaped(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return frame.select(*(pl.col(name).cast(kind) for name, kind in schema.items()), "split")


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
