"""Which split a row belongs to, and which held-out rows training has already seen.

The split is a keyed hash of the thread, else of the prompt, else of the record: a row's split depends on nothing but
itself, so data added later moves no row from test to train. What hashing by itself cannot promise, the purge does: a
held-out row whose prompt, duplicate cluster or template stands in train loses its place in the outputs.
"""

from __future__ import annotations

import fnmatch
from typing import Annotated

import polars as pl
import xxhash
from pydantic import Field

from curate.core.config import config

SPLITS = ("train", "validation", "test")
BACKGROUND = "background"
"""Split of never-train rows that are not test: they stay in the corpus, in no output."""

NEVER_TRAIN_TEST_SHARE = 0.5  # of the never-train rows; the base model may read the other half, so that the topic is known to it
CLUSTERS = ("exact_cluster", "near_cluster", "semantic_cluster", "template_cluster")


@config
class Splits:
    """Shares of the splits.

    Args:
        validation: share of units (threads, prompts, records) in validation, in [0, 1).
        test: share of units in test, in [0, 1).
        never_train: patterns of sources, as in a shell; their rows are test or background, whatever their hash.
    """

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.05
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2
    never_train: tuple[str, ...] = ("held_out/*",)

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on."""
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation:g} + test {self.test:g} leave nothing to train on; make it less than 1"
            )


def assign(rows: pl.DataFrame, splits: Splits, seed: int) -> pl.Series:
    """Split of each row.

    Args:
        rows: `record`, `source`, `thread` (null where none) and `prompt_key` (null where none).
        splits: the shares.
        seed: key of the hash: another seed deals all units anew.

    Returns:
        "train" | "validation" | "test" | "background" for each row, same order. A record without thread and prompt is
        one unit, so that the two sides of a parallel set stay together.
    """
    units = rows.select(
        unit=pl.coalesce(
            pl.format("thread:{}", "thread"),
            pl.format("prompt:{}", "prompt_key"),
            pl.format("record:{}", "record"),
        ),
        never=_matches(rows["source"], splits.never_train),
    )
    distinct = units["unit"].unique()
    drawn = pl.DataFrame(
        {
            "unit": distinct,
            "dealt": [_uniform(f"split:{unit}", seed) for unit in distinct],
            "held": [_uniform(f"never_train:{unit}", seed) < NEVER_TRAIN_TEST_SHARE for unit in distinct],
        },
        schema={"unit": pl.String, "dealt": pl.Float64, "held": pl.Boolean},
    )
    return units.join(drawn, on="unit", how="left", maintain_order="left").select(
        split=pl.when("never")
        .then(pl.when("held").then(pl.lit("test")).otherwise(pl.lit(BACKGROUND)))
        .when(pl.col("dealt") < splits.test)
        .then(pl.lit("test"))
        .when(pl.col("dealt") < splits.test + splits.validation)
        .then(pl.lit("validation"))
        .otherwise(pl.lit("train"))
    )["split"]


def purge(rows: pl.DataFrame) -> pl.DataFrame:
    """Held-out rows that must go because a row they would be measured against shows them already.

    A test row goes when its prompt or a cluster occurs in train; a validation row, when it occurs in train or in what is
    left of test.

    Args:
        rows: rows that would be in the outputs: `id`, `split`, `prompt_key` and the cluster columns (null where none).

    Returns:
        `id`, `split`, `why` ("prompt", "exact", "near", "semantic" or "template": the first that holds) and `twin` (the row it
        repeats; of several, the one with the smallest id), in order of id.
    """
    train = rows.filter(pl.col("split") == "train")
    test = rows.filter(pl.col("split") == "test")
    from_test = _shared(test, train)
    kept_test = test.join(from_test, on="id", how="anti")
    from_validation = _shared(rows.filter(pl.col("split") == "validation"), pl.concat([train, kept_test]))
    return pl.concat([from_test, from_validation]).sort("id")


def _shared(held: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    repeats = held.select("id", "split", why=pl.lit(None, pl.String), twin=pl.lit(None, pl.String))
    for column in ("prompt_key", *CLUSTERS):
        if column not in held.columns:  # no stage wrote it
            continue
        why = column.removesuffix("_key").removesuffix("_cluster")
        first = shown.filter(pl.col(column).is_not_null()).group_by(column).agg(other=pl.col("id").min())
        other = held.select("id", column).join(first, on=column, how="left", maintain_order="left")["other"]
        repeats = repeats.with_columns(
            why=pl.when(pl.col("why").is_null() & other.is_not_null()).then(pl.lit(why)).otherwise("why"),
            twin=pl.coalesce("twin", other),
        )
    return repeats.filter(pl.col("why").is_not_null())


def _matches(sources: pl.Series, patterns: tuple[str, ...]) -> pl.Series:
    hits = [name for name in sources.unique() if any(fnmatch.fnmatchcase(str(name), pattern) for pattern in patterns)]
    return sources.is_in(hits)


def _uniform(name: str, seed: int) -> float:
    """A number in [0, 1) that only the name and the seed decide."""
    return float(xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"), seed=seed)) / 2.0**64
