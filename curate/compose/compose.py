"""From judged rows to the outputs: splits, pairs, unpaired rows, and the corpus that says what became of every row.

Conservation: each row that the stages kept is either in at least one output or dropped here for one reason of `REASONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import polars as pl
import xxhash
from pydantic import Field

from curate.compose.contamination import REASON as CONTAMINATED
from curate.compose.contamination import Contamination, EvaluationSet, contamination
from curate.compose.counts import count, warnings
from curate.compose.outputs import Form, paired_output, sft_output, unpaired_output
from curate.compose.review import review
from curate.compose.splits import BACKGROUND, CLUSTERS, SPLITS, Splits, assign, purge
from curate.compose.unpaired import BALANCE, benign, limit_benign
from curate.compose.verdicts import overrule
from curate.core.config import chosen_name, config
from curate.core.errors import DataError
from curate.core.schema import ROW
from curate.labelers import LABELERS
from curate.pairing import INDEX, PAIRERS, Context, Limits, Pairer
from curate.pairing.pairer import Vectors, no_vectors
from curate.pairing.propose import propose
from curate.text.personal.patterns import find
from curate.text.refusals import refuses
from curate.text.similarity.measures import normalise

COMPOSE = "compose"
"""What the corpus names as `stage` for a row that is dropped here."""

REASONS = ("empty", "abstained", "conflict", BACKGROUND, "personal_data", "purged", CONTAMINATED, "preferred", "benign_share")
"""Why a row that every stage kept is in no output: no completion text; no label; its text is toxic in one row and
non_toxic in another; it may be read but not trained on; personal data shows in it in spite of `pii`; training shows it already;
an evaluation set would be measured against it; people compared it with another and the labels do not bear them out; there are
enough benign rows."""

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    **ROW,
    "pii": pl.List(pl.String),
    "language": pl.String,
    "variety": pl.String,
    "variety_score": pl.Float32,
    **dict.fromkeys(CLUSTERS, pl.String),
    "toxicity": pl.Float32,
    "toxic": pl.Boolean,
    "disagreement": pl.Float32,
    "why": pl.String,
    "split": pl.String,
    "stage": pl.String,
    "reason": pl.String,
    "score": pl.Float32,
    "twin": pl.String,
}
"""The corpus, but for the labelers' `score_<name>` columns."""


@config
class Dataset:
    """How judged rows become outputs.

    Args:
        splits: shares of the splits.
        contamination: what counts as overlap of training with evaluation sets.
        benign_share: most benign rows in train, as a share of unpaired and of sft rows, in [0, 1]; a row is benign when
            no completion of its prompt is toxic. Fewer are taken as they are, and the real share is counted.
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
    counts: dict[str, Any]
    warnings: list[str]


def compose(
    rows: pl.DataFrame,
    dataset: Dataset,
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
        dataset: the recipe's section.
        pairers: in order; a pair that two of them propose is the first one's.
        seed: key of the splits and of the order within each.
        vectors: ids of kept rows -> vectors of their completions.
        verdicts: row id -> what a person said of it (toxic, not, or null: cannot tell); outranks every labeler.
        against: evaluation sets, beside the held-out split, that training must not show.

    Raises:
        DataError: no kept row has a label.
        InvariantError: a pair that must not exist.
    """
    rows, reviewed = overrule(_with_keys(_complete(rows)), verdicts or {})
    rows = rows.with_columns(split=assign(_units(rows), dataset.splits, seed), benign=benign(rows))
    fates = _fates(rows)
    if not fates["why"].null_count():
        raise DataError(
            f"no row is left to write: {_why_none(rows, fates)}; label some rows, or drop fewer (curate inspect shows the source)"
        )
    purged = purge(rows.join(fates.filter(pl.col("why").is_null()), on="id", how="semi"))
    fates = _overrule(fates, purged.select("id", why=pl.lit("purged"), twin="twin"))
    overlaps, sets = contamination(
        rows.join(fates.filter(pl.col("why").is_null()), on="id", how="semi"),
        against,
        dataset.contamination,
        None if vectors is no_vectors else vectors,
    )
    if dataset.contamination.remove:
        gone = overlaps.select("id").unique()
        fates = _overrule(fates, gone.select("id", why=pl.lit(CONTAMINATED), twin=pl.lit(None, pl.String)))

    index = _index(rows, fates)
    context = Context(Limits(dataset.min_margin, dataset.max_length_ratio), vectors)
    pairs, refused = propose(index, pairers, context, dataset.refusal_share)
    kept = rows.join(fates.filter(pl.col("why").is_null()), on="id", how="semi")
    compared = _only_compared(kept, pairs, refused)
    unpaired, sft, unused = _unpaired(kept, compared, pairs, dataset)
    fates = _overrule(fates, unused)

    names = [chosen_name(PAIRERS, pairer) for pairer in pairers]
    counts = count(rows, fates, purged, pairs, refused, unpaired, sft, dataset.benign_share, names) | {"verdicts": reviewed}
    counts |= {"contamination": sets}
    return Composed(
        paired=_by_split(paired_output(pairs, rows, dataset.prompt_template, dataset.form, seed)),
        unpaired=_by_split(unpaired_output(unpaired, dataset.prompt_template, dataset.form, seed)),
        sft=_by_split(sft_output(sft, dataset.prompt_template, dataset.form, seed)),
        refused=refused,
        overlaps=overlaps,
        review=review(rows),
        corpus=_corpus(rows, fates),
        counts=counts,
        warnings=warnings(counts, dataset.splits.purge_warn),
    )


def text_key(text: str) -> int:
    """Hash of a text as `similarity.normalise` leaves it: case, width, composition and spacing do not count."""
    return int(xxhash.xxh3_64_intdigest(normalise(text).encode("utf-8", "surrogatepass")))


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    """Every column of `COLUMNS`, null where no stage wrote it, then the labelers' scores; in order of id."""
    scores = [name for name in rows.columns if name.startswith("score_")]
    return rows.select(
        *(pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items()),
        *(pl.col(name).cast(pl.Float32) for name in scores),
    ).sort("id")


def _with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Add hashes and lengths: all that pairers and splits see of a text."""
    element = pl.element().struct
    prompts = rows.select(
        pl.col("prompt")
        .list.eval(pl.concat_str([element.field("role"), element.field("content")], separator=": ", ignore_nulls=True))
        .list.join("\n")
    ).to_series()

    @cache
    def shows(text: str | None) -> bool:
        return bool(find(text or ""))

    kept = rows["reason"].is_null()
    personal = [
        alive and shows(prompt) | shows(text) for prompt, text, alive in zip(prompts, rows["completion"], kept, strict=True)
    ]
    return rows.with_columns(
        prompt_key=pl.Series([text_key(text) if text else None for text in prompts], dtype=pl.UInt64),
        completion_key=pl.Series([text_key(text) if text else None for text in rows["completion"]], dtype=pl.UInt64),
        chars=pl.col("completion").str.len_chars(),
        words=pl.col("completion").str.count_matches(r"\S+"),
        refusal=pl.Series([refuses(text or "") for text in rows["completion"]], dtype=pl.Boolean),
        personal=pl.Series(personal, dtype=pl.Boolean),
    )


def _units(rows: pl.DataFrame) -> pl.DataFrame:
    """For the splits: a row that stands alone by its text, the rows of a parallel set by the text of their original.

    Records that say or rewrite one text belong together: in two splits they would show each other, and could not stand in for
    copies of each other.
    """
    originals = rows.filter(pl.col("side") == "original").select(original="id", text="completion_key")
    of = pl.when(pl.col("side") == "original").then("id").when(pl.col("side") == "rewrite").then("derived_from")
    texts = rows.select(original=of).join(originals, on="original", how="left", maintain_order="left")["text"]
    alone = pl.when(pl.col("side").is_null()).then("completion_key")
    return rows.with_columns(record=pl.coalesce(pl.format("text:{}", texts), pl.format("text:{}", alone), "record"))


def _fates(rows: pl.DataFrame) -> pl.DataFrame:
    """`id`, `why` (null: goes into the outputs), `twin` of each row that every stage kept."""
    kept = rows.filter(pl.col("reason").is_null())
    labelled = pl.col("toxic").is_not_null() & pl.col("toxicity").is_not_null()
    both_ways = (
        kept.filter(labelled)
        .group_by("completion_key")
        .agg(labels=pl.col("toxic").n_unique(), said=pl.col("toxic").filter("reviewed").n_unique())
        .filter(pl.col("labels") > 1)
    )
    settled = both_ways.filter(pl.col("said") == 1)  # by a person, against whom no other row's label counts
    return kept.select(
        "id",
        why=pl.when(pl.col("completion").str.strip_chars().fill_null("") == "")
        .then(pl.lit("empty"))
        .when(~labelled)
        .then(pl.lit("abstained"))
        .when(
            pl.col("completion_key").is_in(both_ways["completion_key"].implode())
            & ~(pl.col("reviewed") & pl.col("completion_key").is_in(settled["completion_key"].implode()))
        )
        .then(pl.lit("conflict"))
        .when(pl.col("split") == BACKGROUND)
        .then(pl.lit(BACKGROUND))
        .when("personal")
        .then(pl.lit("personal_data")),
        twin=pl.lit(None, pl.String),
    )


def _why_none(rows: pl.DataFrame, fates: pl.DataFrame) -> str:
    reasons = (
        pl.concat([rows["reason"].drop_nulls(), fates["why"].drop_nulls()])
        .value_counts()
        .sort("count", "reason", descending=[True, False])
    )
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.iter_rows()) or "there are no rows"


def _overrule(fates: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Give rows that were still in the reason they now go for."""
    return fates.update(later, on="id", how="left")


def _index(rows: pl.DataFrame, fates: pl.DataFrame) -> pl.DataFrame:
    """What pairers see: rows in a split, those without a usable label as abstained, and stand-ins for exact copies."""
    told = fates.rename({"why": "fate"})  # a row's own `why` is about its label
    seen = rows.join(told, on="id", how="inner", suffix="_fate", maintain_order="left").filter(
        pl.col("fate").is_null() | pl.col("fate").is_in(["abstained", "conflict"]), pl.col("split") != BACKGROUND
    )
    sure = pl.col("fate").is_null()
    scores = [pl.col(name) for name in rows.columns if name.removeprefix("score_") in LABELERS]
    agreed = (
        pl.when("toxic").then(pl.min_horizontal(scores) >= 0.5).otherwise(pl.max_horizontal(scores) <= 0.5).fill_null(value=True)
        if scores
        else pl.lit(value=True)
    )
    seen = seen.with_columns(
        pl.when(sure).then("toxic"),
        pl.when(sure).then("toxicity"),
        agreed=agreed,
        paired=pl.lit(value=False),
        stands_for=pl.lit(None, pl.String),
    ).select(pl.col(name).cast(kind) for name, kind in INDEX.items())
    return pl.concat([seen, _stand_ins(rows, seen)])


def _stand_ins(rows: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """For each side of a pair that was dropped as an exact copy of a row that is there: that row's facts in its place."""
    there = ("record", "side", "derived_from")
    origins = pl.col("id").is_in(rows["derived_from"].drop_nulls().unique().implode())
    gone = rows.filter(pl.col("reason") == "exact_duplicate", pl.col("side").is_not_null() | origins).select("id", "twin", *there)
    return (
        gone.join(seen.drop("stands_for", *there), left_on="twin", right_on="id", how="inner")
        .rename({"id": "stands_for", "twin": "id"})
        .select(pl.col(name).cast(kind) for name, kind in INDEX.items())
    )


def _only_compared(kept: pl.DataFrame, pairs: pl.DataFrame, refused: pl.DataFrame) -> pl.Series:
    """True for rows of which people only said that one is better than the other: their labels are no evidence of it.

    These are the sides of given pairs that the labels do not separate, a rejected side that is called non_toxic and a chosen one
    that is called toxic.
    """
    said = pl.concat(
        [
            pairs.select("chosen_id", "rejected_id", "strategy", "relation"),
            refused.select("chosen_id", "rejected_id", "strategy", relation="reason"),
        ]
    )
    apart = said.filter(pl.col("strategy") == "given", pl.col("relation").is_in(["preferred", "contradicted", "not_separated"]))
    names = pl.concat([apart["chosen_id"], apart["rejected_id"]]).drop_nulls().unique()
    sided = pl.col("side").is_in(["chosen", "rejected"])
    against = ((pl.col("side") == "rejected") & ~pl.col("toxic")) | ((pl.col("side") == "chosen") & pl.col("toxic"))
    return kept.select(
        (sided & pl.col("id").is_in(names.implode())).fill_null(value=False) | against.fill_null(value=False)
    ).to_series()


def _unpaired(
    rows: pl.DataFrame, compared: pl.Series, pairs: pl.DataFrame, dataset: Dataset
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Unpaired rows, sft rows, and `id`, `why`, `twin` of rows in no output; held-out rows all stay."""
    undesirable = rows.filter(~compared & pl.Series(rows["toxic"])).filter(pl.col("split") == "train").height

    def limited(frame: pl.DataFrame, balance: int) -> pl.DataFrame:
        train = frame.filter(pl.col("split") == "train")
        train = train.filter(limit_benign(train, dataset.benign_share, balance))
        return pl.concat([train, frame.filter(pl.col("split") != "train")]).sort("id")

    unpaired = limited(rows.filter(~compared), math.floor(dataset.balance * undesirable))
    sft = limited(rows.filter(~pl.col("toxic") & (~compared | (pl.col("side") == "chosen"))), 0)
    used = pl.concat([unpaired["id"], sft["id"], pairs["chosen_id"], pairs["rejected_id"]]).unique()
    why = pl.when(compared).then(pl.lit("preferred")).otherwise(pl.lit("benign_share"))
    unused = rows.select("id", why=why, twin=pl.lit(None, pl.String)).filter(~pl.col("id").is_in(used.implode()))
    return unpaired, sft, unused


def _by_split(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {split: frame.filter(pl.col("split") == split).drop("split") for split in SPLITS}


def _corpus(rows: pl.DataFrame, fates: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in rows.columns if name in COLUMNS or name.startswith("score_")]
    told = rows.join(fates.rename({"why": "fate"}), on="id", how="left", suffix="_fate", maintain_order="left")
    gone = pl.col("fate").is_not_null()
    return told.with_columns(
        stage=pl.when(gone).then(pl.lit(COMPOSE)).otherwise("stage"),
        reason=pl.coalesce("fate", "reason"),
        twin=pl.coalesce("twin_fate", "twin"),
    ).select(names)
