"""Training rows that evaluation sets would be measured against: their evidence, and how they leave training.

An evaluation set is the held-out split, or a folder that a recipe names under `against`. The purge (see `splits`) has taken
from the held-out side what shares a prompt, a cluster or a template with training; what is left here is what no cluster says:
runs of words in common, and likeness of rows that no duplicate stage compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from curate.core.config import config
from curate.core.manifest.counts import OverlapCounts
from curate.text.prompts import flatten, last_user
from curate.text.similarity import overlap
from curate.text.similarity.overlap import Overlap

REASON = "contaminated"
HELD_OUT = "held_out"  # name of the build's own evaluation set
KINDS = ("grams", "near", "semantic")

HIT: dict[str, pl.DataType | type[pl.DataType]] = {
    "set": pl.String,  # name of the evaluation set
    "id": pl.String,  # the training row
    "kind": pl.String,  # one of KINDS
    "score": pl.Float32,  # share of 8-grams, Jaccard similarity, cosine
    "item": pl.String,  # id of the evaluation set's row
    "source": pl.String,  # its file, relative to the set's folder
    "locator": pl.String,  # its place in the file
}
"""One overlap of a training row with an evaluation set's row; never a text. Each row's strongest of each kind and set."""

Vectors = NDArray[np.float32]
VectorsOf = Callable[[pl.Series], Vectors]
Share = Annotated[float, Field(gt=0, le=1)]


@config
class Contamination:
    """What counts as overlap with an evaluation set.

    Texts of a row are its completion and, against a folder, what the user said last, and the two in one. Shorter texts than
    `least_chars` recur by themselves and prove nothing.

    Args:
        remove: take overlapping rows out of training; without it they are only reported.
        grams: share of the word 8-grams of the shorter text that the longer one holds, in (0, 1].
        near: Jaccard similarity of character 5-gram sets, in (0, 1].
        semantic: cosine of completions' vectors, in (0, 1]; needs an `encode` stage.
        least_chars: characters of a text that is compared.
    """

    remove: bool = True
    grams: Share = 0.5
    near: Share = 0.8
    semantic: Share = 0.95
    least_chars: Annotated[int, Field(ge=1)] = 16


@dataclass(frozen=True)
class EvaluationSet:
    """An evaluation set as training is compared with it.

    Attributes:
        name: as the report calls it.
        items: `item`, `source`, `locator`, `text`; a row with several texts has several lines.
        vectors: of the texts, shape (lines, dim); None where the build has none.
    """

    name: str
    items: pl.DataFrame
    vectors: Vectors | None = None


def contamination(
    rows: pl.DataFrame,
    against: Sequence[EvaluationSet],
    options: Contamination,
    vectors: VectorsOf | None,
) -> tuple[pl.DataFrame, dict[str, OverlapCounts]]:
    """Compare training with the held-out split and every other evaluation set.

    Args:
        rows: what would be in the outputs: `id`, `split`, `source`, `locator`, `prompt`, `completion`.
        against: sets beside the held-out split.
        options: thresholds.
        vectors: ids -> vectors of completions; None where the build has none.

    Returns:
        The hits (see HIT), in order; and, by set, its items, training rows with a hit, and hits by kind.
    """
    train, held = rows.filter(pl.col("split") == "train"), rows.filter(pl.col("split").is_in(["validation", "test"]))
    own = EvaluationSet(HELD_OUT, lines_of(held, prompts=False), vectors(held["id"]) if vectors and held.height else None)
    hits, counts = [], {}
    for one in (own, *against):
        overlaps = _hits(train, one, options, vectors, prompts=one is not own)
        hits.append(overlaps)
        by_kind = {kind: overlaps.filter(pl.col("kind") == kind).height for kind in KINDS}
        counts[one.name] = OverlapCounts(items=one.items["item"].n_unique(), rows=overlaps["id"].n_unique(), **by_kind)
    return pl.concat(hits).sort("set", "id", "kind"), counts


def lines_of(rows: pl.DataFrame, *, prompts: bool) -> pl.DataFrame:
    """One line per text of a row: `item`, `source`, `locator`, `text`.

    With prompts: the completion, what the user said last, and both in one, for a plain text is mined as two halves.
    """
    named = rows.select("source", "locator", item="id", text="completion")
    if prompts:
        asked = pl.Series("asked", last_user(flatten(rows), rows.height), dtype=pl.String)
        prompted = named.with_columns(asked).filter(pl.col("asked") != "")
        whole = prompted.with_columns(text=pl.concat_str("asked", "text", separator=" ", ignore_nulls=True))
        named = pl.concat([named, prompted.with_columns(text="asked").drop("asked"), whole.drop("asked")])
    return named.with_columns(pl.col("text").fill_null("")).select("item", "source", "locator", "text")


def _hits(
    train: pl.DataFrame,
    one: EvaluationSet,
    options: Contamination,
    vectors: VectorsOf | None,
    *,
    prompts: bool,
) -> pl.DataFrame:
    lines = lines_of(train, prompts=prompts)
    long = pl.col("text").str.len_chars() >= options.least_chars
    mine, theirs = lines.filter(long), one.items.filter(long)
    texts, items = mine["text"].to_list(), theirs["text"].to_list()
    overlaps = [
        _named("grams", overlap.shared_grams(texts, items, options.grams), mine["item"], theirs),
        _named("near", overlap.near_copies(texts, items, options.near), mine["item"], theirs),
    ]
    if vectors is not None and one.vectors is not None and train.height:
        spoken = train.filter(pl.col("completion").str.len_chars() >= options.least_chars)["id"]
        chosen = one.items.select(long).to_series().to_numpy()
        for start in range(0, len(spoken), overlap.SIDE):
            some = spoken.slice(start, overlap.SIDE)
            near = overlap.neighbours(vectors(some), one.vectors[chosen], options.semantic)
            overlaps.append(_named("semantic", near, some, theirs))
    best = pl.concat(overlaps).sort("id", "kind", "score", "item", descending=[False, False, True, False])
    return best.unique(["id", "kind"], keep="first", maintain_order=True).select(pl.lit(one.name).alias("set"), pl.exclude("set"))


def _named(kind: str, overlap: Overlap, ids: pl.Series, items: pl.DataFrame) -> pl.DataFrame:
    item = items[overlap.item]
    columns = {"id": ids.gather(overlap.text), "kind": [kind] * len(overlap.text), "score": overlap.score}
    schema = {name: dtype for name, dtype in HIT.items() if name != "set"}
    return pl.DataFrame(columns | {name: item[name] for name in ("item", "source", "locator")}, schema=schema)
