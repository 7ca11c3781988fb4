"""From judged rows to the outputs: splits, pairs, unpaired rows, and the corpus that says what became of every row.

Conservation: each row that the stages kept is either in at least one output or dropped here for one reason of `REASONS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import polars as pl
import xxhash
from pydantic import Field

from curate.errors import DataError
from curate.pairing import INDEX, PAIR, PAIRERS, Pairer
from curate.pairing.counts import count, warnings
from curate.pairing.invariants import check_pairs
from curate.pairing.outputs import paired_output, sft_output, unpaired_output
from curate.pairing.splits import BACKGROUND, CLUSTERS, SPLITS, Splits, assign, purge
from curate.pairing.unpaired import benign, limit_benign
from curate.recipe import chosen_name, config
from curate.schema import ROW, digest
from curate.similarity import normalise

COMPOSE = "compose"
"""What the corpus names as `stage` for a row that is dropped here."""

REASONS = ("empty", "abstained", "conflict", BACKGROUND, "purged", "benign_share")
"""Why a row that every stage kept is in no output: no completion text; no label; its text is toxic in one row and
non_toxic in another; it may be read but not trained on; training shows it already; there are enough benign rows."""

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
        benign_share: most benign rows in train, as a share of unpaired and of sft rows, in [0, 1]; a row is benign when
            no completion of its prompt is toxic. Fewer are taken as they are, and the real share is counted.
        prompt_template: the prompt of a row that has none; one mild line.
        min_margin: least toxicity of rejected minus toxicity of chosen in a pair, in [0, 1].
    """

    splits: Splits = Splits()
    benign_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    prompt_template: Annotated[str, Field(min_length=1)] = "Write one short message, as you would in a chat."
    min_margin: Annotated[float, Field(ge=0, le=1)] = 0.3


@dataclass(frozen=True)
class Composed:
    """The outputs, each in order of id.

    Attributes:
        paired: split -> pairs.
        unpaired: split -> rows with `label` (true: desirable, that is non_toxic).
        sft: split -> desirable rows.
        corpus: every row of the build, kept or dropped.
        counts: what the manifest holds under `dataset`.
        warnings: one line each.
    """

    paired: dict[str, pl.DataFrame]
    unpaired: dict[str, pl.DataFrame]
    sft: dict[str, pl.DataFrame]
    corpus: pl.DataFrame
    counts: dict[str, Any]
    warnings: list[str]


def compose(rows: pl.DataFrame, dataset: Dataset, pairers: Sequence[Pairer], seed: int) -> Composed:
    """Make the outputs of a build.

    Args:
        rows: one line per row of the whole build, kept and dropped: `COLUMNS` (what no stage wrote may be missing) and
            `score_*`; `reason` is null for kept rows.
        dataset: the recipe's section.
        pairers: in order; a pair that two of them propose is the first one's.
        seed: key of the splits.

    Raises:
        DataError: no kept row has a label.
        InvariantError: a pair that must not exist.
    """
    rows = _with_keys(_complete(rows))
    rows = rows.with_columns(split=assign(rows, dataset.splits, seed), benign=benign(rows))
    fates = _fates(rows)
    if not fates["why"].null_count():
        raise DataError(
            f"no row is left to write: {_why_none(rows, fates)}; label some rows, or drop fewer (curate inspect shows the source)"
        )
    purged = purge(rows.join(fates.filter(pl.col("why").is_null()), on="id", how="semi"))
    fates = _overrule(fates, purged.select("id", why=pl.lit("purged"), twin="twin"))

    index = _index(rows, fates)
    pairs, refused = _pairs(index, dataset.min_margin, pairers)
    unpaired, sft, unused = _unpaired(rows.join(fates.filter(pl.col("why").is_null()), on="id", how="semi"), dataset)
    fates = _overrule(fates, unused.select("id", why=pl.lit("benign_share"), twin=pl.lit(None, pl.String)))

    counts = count(rows, fates, purged, pairs, refused, unpaired, sft, dataset.benign_share)
    return Composed(
        paired=_by_split(paired_output(pairs, rows, dataset.prompt_template)),
        unpaired=_by_split(unpaired_output(unpaired, dataset.prompt_template)),
        sft=_by_split(sft_output(sft, dataset.prompt_template)),
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
    return rows.with_columns(
        prompt_key=pl.Series([text_key(text) if text else None for text in prompts], dtype=pl.UInt64),
        completion_key=pl.Series([text_key(text) if text else None for text in rows["completion"]], dtype=pl.UInt64),
        chars=pl.col("completion").str.len_chars(),
        words=pl.col("completion").str.count_matches(r"\S+"),
    )


def _fates(rows: pl.DataFrame) -> pl.DataFrame:
    """`id`, `why` (null: goes into the outputs), `twin` of each row that every stage kept."""
    kept = rows.filter(pl.col("reason").is_null())
    labelled = pl.col("toxic").is_not_null() & pl.col("toxicity").is_not_null()
    both_ways = (
        kept.filter(labelled).group_by("completion_key").agg(labels=pl.col("toxic").n_unique()).filter(pl.col("labels") > 1)
    )
    return kept.select(
        "id",
        why=pl.when(pl.col("completion").str.strip_chars().fill_null("") == "")
        .then(pl.lit("empty"))
        .when(~labelled)
        .then(pl.lit("abstained"))
        .when(pl.col("completion_key").is_in(both_ways["completion_key"].implode()))
        .then(pl.lit("conflict"))
        .when(pl.col("split") == BACKGROUND)
        .then(pl.lit(BACKGROUND)),
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
    """What pairers see: rows in a split, those without a usable label as abstained."""
    seen = rows.join(fates, on="id", how="inner", suffix="_fate", maintain_order="left").filter(
        pl.col("why").is_null() | pl.col("why").is_in(["abstained", "conflict"]), pl.col("split") != BACKGROUND
    )
    sure = pl.col("why").is_null()
    return seen.with_columns(pl.when(sure).then("toxic"), pl.when(sure).then("toxicity")).select(
        pl.col(name).cast(kind) for name, kind in INDEX.items()
    )


def _pairs(index: pl.DataFrame, min_margin: float, pairers: Sequence[Pairer]) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """Accepted pairs with their split, and refused candidates by strategy and reason."""
    found = pl.concat([pl.DataFrame(schema=PAIR), *(pairer.pair(index) for pairer in pairers)])
    thin = pl.col("margin") < pl.lit(min_margin, pl.Float32)
    again = pl.col("reason").is_null() & ~pl.struct("chosen_id", "rejected_id", "reason").is_first_distinct()
    found = found.with_columns(
        reason=pl.when(pl.col("reason").is_null() & thin)
        .then(pl.lit("thin_margin"))
        .when(again)
        .then(pl.lit("proposed_before"))
        .otherwise("reason")
    )
    refused: dict[str, dict[str, int]] = {chosen_name(PAIRERS, pairer): {} for pairer in pairers}
    reasons = found.filter(pl.col("reason").is_not_null()).group_by("strategy", "reason").len().sort("strategy", "reason")
    for strategy, reason, candidates in reasons.iter_rows():
        refused[strategy][reason] = candidates
    pairs = found.filter(pl.col("reason").is_null()).drop("reason")
    check_pairs(pairs, index, min_margin)
    ids = [digest("pair", chosen, rejected) for chosen, rejected in pairs.select("chosen_id", "rejected_id").iter_rows()]
    split = pairs.select("chosen_id").join(index, left_on="chosen_id", right_on="id", how="left", maintain_order="left")["split"]
    return pairs.with_columns(pl.Series("id", ids, dtype=pl.String), split).sort("id"), refused


def _unpaired(rows: pl.DataFrame, dataset: Dataset) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Unpaired rows, sft rows, and rows that the benign share keeps out of both; held-out rows all stay."""

    def limited(frame: pl.DataFrame) -> pl.DataFrame:
        train = frame.filter(pl.col("split") == "train")
        train = train.filter(limit_benign(train, dataset.benign_share))
        return pl.concat([train, frame.filter(pl.col("split") != "train")]).sort("id")

    unpaired, sft = limited(rows), limited(rows.filter(~pl.col("toxic")))
    unused = rows.join(unpaired, on="id", how="anti").join(sft, on="id", how="anti")
    return unpaired, sft, unused


def _by_split(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {split: frame.filter(pl.col("split") == split).drop("split") for split in SPLITS}


def _corpus(rows: pl.DataFrame, fates: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in rows.columns if name in COLUMNS or name.startswith("score_")]
    told = rows.join(fates, on="id", how="left", suffix="_fate", maintain_order="left")
    gone = pl.col("why").is_not_null()
    return told.with_columns(
        stage=pl.when(gone).then(pl.lit(COMPOSE)).otherwise("stage"),
        reason=pl.coalesce("why", "reason"),
        twin=pl.coalesce("twin_fate", "twin"),
    ).select(names)
