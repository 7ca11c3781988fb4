"""What becomes of a row: kept, held out, or left under one reason."""

from __future__ import annotations

from functools import cache

import polars as pl
import xxhash

from curate.compose.contamination import REASON as CONTAMINATED
from curate.compose.splits import BACKGROUND, CLUSTERS
from curate.core.policy import load_policy
from curate.core.schema import ROW
from curate.pairing import INDEX
from curate.text.normalise import normalise
from curate.text.personal.patterns import find
from curate.text.refusals import refuses

REASONS = ("empty", "abstained", "conflict", BACKGROUND, "personal_data", "purged", CONTAMINATED, "preferred", "benign_share")
"""Why a row that every stage kept is in no output: no completion text; no label; its text is toxic in one row and
non_toxic in another; it may be read but not trained on; personal data shows in it in spite of `pii`; training shows it already;
an evaluation set would be measured against it; people compared it with another and the labels do not bear them out; there are
enough benign rows."""


CURES = {
    "abstained": "say what the labels of the data mean (`curate inspect` lists those that prove nothing, with the line to "
    "paste), or add a labeler to stages",
    "conflict": "the same texts are called toxic and not: settle them by --verdicts FILE",
    BACKGROUND: "these sources are never trained on: name others by --set 'dataset.splits.never_train=[]'",
    "language": "keep their language too: --set 'stages.language.keep=[en, singlish, CODE]'",
    "too_short": "keep shorter texts: --set stages.length.min_words=1",
    "too_long": "keep longer texts: --set stages.length.max_chars=100000",
    "repeated_completion": "let a text answer more prompts: --set stages.repeated_completions.most=1000",
}
"""The commonest reasons for which nothing is left -> what would help."""


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


def text_key(text: str) -> int:
    """Hash of a text as `similarity.normalise` leaves it: case, width, composition and spacing do not count."""
    return int(xxhash.xxh3_64_intdigest(normalise(text).encode("utf-8", "surrogatepass")))


def complete(rows: pl.DataFrame) -> pl.DataFrame:
    """Every column of `COLUMNS`, null where no stage wrote it, then the labelers' scores; in order of id."""
    scores = [name for name in rows.columns if name.startswith("score_")]
    return rows.select(
        *(pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items()),
        *(pl.col(name).cast(pl.Float32) for name in scores),
    ).sort("id")


def with_keys(rows: pl.DataFrame) -> pl.DataFrame:
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
        refusal=pl.Series(map(refuses, rows["completion"].fill_null(""), rows["variety"]), dtype=pl.Boolean),
        personal=pl.Series(personal, dtype=pl.Boolean),
    )


def units(rows: pl.DataFrame) -> pl.DataFrame:
    """For the splits: a row that stands alone by its text, the rows of a parallel set by the text of their original.

    Records that say or rewrite one text belong together: in two splits they would show each other, and could not stand in for
    copies of each other.
    """
    originals = rows.filter(pl.col("side") == "original").select(original="id", text="completion_key")
    of = pl.when(pl.col("side") == "original").then("id").when(pl.col("side") == "rewrite").then("derived_from")
    texts = rows.select(original=of).join(originals, on="original", how="left", maintain_order="left")["text"]
    alone = pl.when(pl.col("side").is_null()).then("completion_key")
    return rows.with_columns(record=pl.coalesce(pl.format("text:{}", texts), pl.format("text:{}", alone), "record"))


def decide(rows: pl.DataFrame) -> pl.DataFrame:
    """`id`, `why` (null: goes into the outputs), `twin` of each row that every stage kept."""
    kept = rows.filter(pl.col("reason").is_null())
    labelled = pl.col("toxic").is_not_null() & pl.col("toxicity").is_not_null()
    both_ways = (
        kept.filter(labelled)
        .group_by("completion_key")
        .agg(labels=pl.col("toxic").n_unique(), verdicts=pl.col("toxic").filter("reviewed").n_unique())
        .filter(pl.col("labels") > 1)
    )
    settled = both_ways.filter(pl.col("verdicts") == 1)  # by a person, against whom no other row's label counts
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


def why_none(rows: pl.DataFrame, fates: pl.DataFrame) -> str:
    """Every reason for which rows left, with its count, most common first."""
    return ", ".join(f"{reason} {count:,}" for reason, count in _reasons(rows, fates)) or "there are no rows"


def cure_for_none(rows: pl.DataFrame, fates: pl.DataFrame) -> str:
    """What would help against the most common of them."""
    return next((CURES[reason] for reason, _ in _reasons(rows, fates) if reason in CURES), "`curate inspect` shows the source")


def _reasons(rows: pl.DataFrame, fates: pl.DataFrame) -> list[tuple[str, int]]:
    reasons = pl.concat([rows["reason"].drop_nulls(), fates["why"].drop_nulls()]).value_counts()
    return list(reasons.sort("count", "reason", descending=[True, False]).iter_rows())


def remaining(rows: pl.DataFrame, fates: pl.DataFrame) -> pl.DataFrame:
    """The rows that nothing speaks against so far."""
    return rows.join(fates.filter(pl.col("why").is_null()), on="id", how="semi")


def with_reasons(fates: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Give rows that were still in the reason they now go for."""
    return fates.update(later, on="id", how="left")


def index_of(rows: pl.DataFrame, fates: pl.DataFrame) -> pl.DataFrame:
    """What pairers see: rows in a split, those without a usable label as abstained, and stand-ins for exact copies."""
    fated = fates.rename({"why": "fate"})  # a row's own `why` is about its label
    seen = rows.join(fated, on="id", how="inner", suffix="_fate", maintain_order="left").filter(
        pl.col("fate").is_null() | pl.col("fate").is_in(["abstained", "conflict"]), pl.col("split") != BACKGROUND
    )
    sure = pl.col("fate").is_null()
    scores = [pl.col(name) for name in load_policy().labeler_scores(rows.columns)]
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
    return pl.concat([seen, stand_ins(rows, seen)])


def stand_ins(rows: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """For each side of a pair that was dropped as an exact copy of a row that is there: that row's facts in its place."""
    there = ("record", "side", "derived_from")
    origins = pl.col("id").is_in(rows["derived_from"].drop_nulls().unique().implode())
    gone = rows.filter(pl.col("reason") == "exact_duplicate", pl.col("side").is_not_null() | origins).select("id", "twin", *there)
    return (
        gone.join(seen.drop("stands_for", *there), left_on="twin", right_on="id", how="inner")
        .rename({"id": "stands_for", "twin": "id"})
        .select(pl.col(name).cast(kind) for name, kind in INDEX.items())
    )
