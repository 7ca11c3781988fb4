"""From judged rows to the outputs: splits, pairs, unpaired rows, and the corpus that says what became of every row.

Conservation: each row that the stages kept is either in at least one output or dropped here for one reason of `REASONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from curate.compose.contamination import REASON as CONTAMINATED
from curate.compose.contamination import Contamination, EvaluationSet, contamination
from curate.compose.counts import Decisions, count, warnings
from curate.compose.fates import (
    COLUMNS,
    complete,
    cure_for_none,
    decide,
    index_of,
    remaining,
    units,
    why_none,
    with_keys,
    with_reasons,
)
from curate.compose.outputs import Form, paired_output, sft_output, unpaired_output
from curate.compose.review import review
from curate.compose.splits import SPLITS, Splits, assign, purge
from curate.compose.unpaired import BALANCE, benign, limit_benign
from curate.compose.verdicts import overrule
from curate.core.config import chosen_name, config
from curate.core.errors import DataError
from curate.core.manifest import COMPOSE
from curate.core.manifest.counts import DatasetCounts
from curate.pairing import PAIRERS, Context, Limits, Pairer
from curate.pairing.pairer import Vectors, no_vectors
from curate.pairing.propose import propose


@config
class DatasetOptions:
    """How judged rows become outputs.

    Args:
        splits: shares of the splits.
        contamination: what counts as overlap of training with evaluation sets.
        benign_share: most benign rows in unpaired train, as a share of its rows, in [0, 1]; a row is benign when no completion
            of its prompt and no row of its thread is toxic or undecided. Fewer are taken as they are, and the real share is
            counted.
        sft_benign_share: the same of sft train; 1 takes every desirable row.
        balance: desirable rows for each undesirable one of unpaired train up to which benign rows are let in whatever their
            share, so that a set of many toxic rows does not go without mild ones; under 1 KTO's Eq. 8 weighs desirable rows up.
        prompt_template: the prompt of a row that has none; one mild line.
        min_margin: least toxicity of rejected minus toxicity of chosen in a pair, in [0, 1].
        max_length_ratio: most characters of the longer side of a pair per character of the shorter.
        refusal_share: most refusals among the chosen sides of a split, in [0, 1].
        form: `conversational` (lists of messages) or `standard` (plain texts), as TRL calls them.
        also: file formats to write beside Parquet; a CSV cell that a spreadsheet would take for a formula gets an apostrophe.
    """

    splits: Splits = Splits()
    contamination: Contamination = Contamination()
    benign_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    sft_benign_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    balance: Annotated[float, Field(ge=0)] = BALANCE
    prompt_template: Annotated[str, Field(min_length=1)] = "Write one short message, as you would in a chat."
    min_margin: Annotated[float, Field(ge=0, le=1)] = 0.3
    max_length_ratio: Annotated[float, Field(ge=1)] = 5.0
    refusal_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    form: Form = "conversational"
    also: tuple[Literal["jsonl", "csv"], ...] = ()


@dataclass(frozen=True)
class Composed:
    """The outputs, each in order of id.

    Attributes:
        paired: split -> pairs.
        unpaired: split -> rows with `label` (true: desirable, that is non_toxic).
        sft: split -> desirable rows.
        refused: candidates that became no pair, and why: `pairing.PAIR`.
        overlaps: training rows that overlap evaluation sets, with the evidence: `contamination.HIT`.
        review: rows that a person should look at: `review.REVIEW`.
        corpus: every row of the build, kept or dropped.
        counts: what the manifest holds under `dataset`.
        warnings: one line each.
    """

    paired: dict[str, pl.DataFrame]
    unpaired: dict[str, pl.DataFrame]
    sft: dict[str, pl.DataFrame]
    refused: pl.DataFrame
    overlaps: pl.DataFrame
    review: pl.DataFrame
    corpus: pl.DataFrame
    counts: DatasetCounts
    warnings: list[str]


def compose(
    rows: pl.DataFrame,
    options: DatasetOptions,
    pairers: Sequence[Pairer],
    seed: int,
    *,
    vectors: Callable[[pl.Series], Vectors] = no_vectors,
    verdicts: Mapping[str, bool | None] | None = None,
    against: Sequence[EvaluationSet] = (),
) -> Composed:
    """Make the outputs of a build.

    Args:
        rows: one line per row of the whole build, kept and dropped: `COLUMNS` (what no stage wrote may be missing) and
            `score_*`; `reason` is null for kept rows.
        options: the recipe's section `dataset`.
        pairers: in order; a pair that two of them propose is the first one's.
        seed: key of the splits and of the order within each.
        vectors: ids of kept rows -> vectors of their completions.
        verdicts: row id -> what a person said of it (toxic, not, or null: cannot tell); outranks every labeler.
        against: evaluation sets, beside the held-out split, that training must not show.

    Raises:
        DataError: no kept row has a label.
        InvariantError: a pair that must not exist.
    """
    rows, reviewed = overrule(with_keys(complete(rows)), verdicts or {})
    rows = rows.with_columns(split=assign(units(rows), options.splits, seed), benign=benign(rows))
    fates = decide(rows)
    if not fates["why"].null_count():
        raise DataError(
            f"no row is left to write: {why_none(rows, fates)}",
            hint=cure_for_none(rows, fates),
        )
    purged = purge(remaining(rows, fates))
    fates = with_reasons(fates, purged.select("id", why=pl.lit("purged"), twin="twin"))
    overlaps, sets = contamination(
        remaining(rows, fates), against, options.contamination, None if vectors is no_vectors else vectors
    )
    if options.contamination.remove:
        gone = overlaps.select("id").unique()
        fates = with_reasons(fates, gone.select("id", why=pl.lit(CONTAMINATED), twin=pl.lit(None, pl.String)))

    index = index_of(rows, fates)
    context = Context(Limits(options.min_margin, options.max_length_ratio), vectors)
    pairs, refused = propose(index, pairers, context, options.refusal_share)
    kept = remaining(rows, fates)
    compared = _only_compared(kept, pairs, refused)
    unpaired, sft, left_out = _unpaired(kept, compared, options)
    fates = with_reasons(fates, _unused(kept, compared, (unpaired["id"], sft["id"], pairs["chosen_id"], pairs["rejected_id"])))

    names = [chosen_name(PAIRERS, pairer) for pairer in pairers]
    decisions = Decisions(rows, fates, purged, pairs, refused, unpaired, sft, left_out)
    asked = {"unpaired": options.benign_share, "sft": options.sft_benign_share}
    counts = count(decisions, asked, names, reviewed, sets)
    return Composed(
        paired=_by_split(paired_output(pairs, rows, options.prompt_template, options.form, seed)),
        unpaired=_by_split(unpaired_output(unpaired, options.prompt_template, options.form, seed)),
        sft=_by_split(sft_output(sft, options.prompt_template, options.form, seed)),
        refused=refused,
        overlaps=overlaps,
        review=review(rows),
        corpus=_corpus(rows, fates),
        counts=counts,
        warnings=[*_no_prompt(unpaired), *warnings(counts)],
    )


def _no_prompt(unpaired: pl.DataFrame) -> list[str]:
    """That nothing can be asked of a model, where it cannot."""
    if not unpaired.height or (unpaired["prompt"].list.len() > 0).any():
        return []
    return [
        "no row has a prompt of its own: nothing can be asked of a model, and `align plan` refuses; add sources in which texts "
        "answer something (threads, chats, prompts with replies)"
    ]


def _only_compared(kept: pl.DataFrame, pairs: pl.DataFrame, refused: pl.DataFrame) -> pl.Series:
    """True for rows of which people only said that one is better than the other: their labels are no evidence of it.

    These are the sides of given pairs that the labels do not separate, a rejected side that is called non_toxic and a chosen one
    that is called toxic.
    """
    candidates = pl.concat(
        [
            pairs.select("chosen_id", "rejected_id", "strategy", "relation"),
            refused.select("chosen_id", "rejected_id", "strategy", relation="reason"),
        ]
    )
    apart = candidates.filter(
        pl.col("strategy") == "given", pl.col("relation").is_in(["preferred", "contradicted", "not_separated"])
    )
    names = pl.concat([apart["chosen_id"], apart["rejected_id"]]).drop_nulls().unique()
    sided = pl.col("side").is_in(["chosen", "rejected"])
    against = ((pl.col("side") == "rejected") & ~pl.col("toxic")) | ((pl.col("side") == "chosen") & pl.col("toxic"))
    return kept.select(
        (sided & pl.col("id").is_in(names.implode())).fill_null(value=False) | against.fill_null(value=False)
    ).to_series()


def _unpaired(
    rows: pl.DataFrame, compared: pl.Series, options: DatasetOptions
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Unpaired rows, sft rows, and of both how many benign rows were left out of train; held-out rows all stay."""
    undesirable = rows.filter(~compared & pl.Series(rows["toxic"])).filter(pl.col("split") == "train").height

    def limited(frame: pl.DataFrame, share: float, balance: int) -> pl.DataFrame:
        train = frame.filter(pl.col("split") == "train")
        train = train.filter(limit_benign(train, share, balance))
        return pl.concat([train, frame.filter(pl.col("split") != "train")]).sort("id")

    single = rows.filter(~compared)
    desirable = rows.filter(~pl.col("toxic") & (~compared | (pl.col("side") == "chosen")))
    unpaired = limited(single, options.benign_share, math.floor(options.balance * undesirable))
    sft = limited(desirable, options.sft_benign_share, 0)
    return unpaired, sft, {"unpaired": single.height - unpaired.height, "sft": desirable.height - sft.height}


def _unused(rows: pl.DataFrame, compared: pl.Series, outputs: Sequence[pl.Series]) -> pl.DataFrame:
    """`id`, `why`, `twin` of rows in no output."""
    used = pl.concat(outputs).unique()
    why = pl.when(compared).then(pl.lit("preferred")).otherwise(pl.lit("benign_share"))
    return rows.select("id", why=why, twin=pl.lit(None, pl.String)).filter(~pl.col("id").is_in(used.implode()))


def _by_split(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {split: frame.filter(pl.col("split") == split).drop("split") for split in SPLITS}


def _corpus(rows: pl.DataFrame, fates: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in rows.columns if name in COLUMNS or name.startswith("score_")]
    fated = rows.join(fates.rename({"why": "fate"}), on="id", how="left", suffix="_fate", maintain_order="left")
    gone = pl.col("fate").is_not_null()
    return fated.with_columns(
        stage=pl.when(gone).then(pl.lit(COMPOSE)).otherwise("stage"),
        reason=pl.coalesce("fate", "reason"),
        twin=pl.coalesce("twin_fate", "twin"),
    ).select(names)
