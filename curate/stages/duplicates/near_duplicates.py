"""Drop rows that repeat, nearly word for word, a row that is kept."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.stages.duplicates.exact_duplicates import halves
from curate.text.normalise import normalise, normalised
from curate.text.prompts import flatten
from curate.text.similarity import leaders
from curate.text.similarity.crowds import Compared, like_pairs
from curate.text.similarity.measures import Rows, mix
from curate.text.similarity.set_index import index
from curate.text.similarity.set_join import glued
from curate.text.similarity.shingles import Texts

CLUSTER = "near_cluster"
REASON = "near_duplicate"
NOTHING = "\x1e"  # stands for an empty text, which is like nothing but another: white space is in no normalised text

Share = Annotated[float, Field(gt=0, le=1)]


@config
class NearDuplicates:
    """Drop a row when it reaches the threshold with a row that is kept, its twin.

    The likeness of two rows is the lesser of two Jaccard similarities, of their completions and of their prompts, so that two
    replies to one long prompt are not taken for copies, nor one reply under two prompts. Rows are visited by rank, so that a
    chain of likenesses drops nothing by transitivity. Rows with opposite labels are never dropped for each other: a toxic
    completion and its mild rewrite are close by design. Roles of prompt messages do not count.

    Every pair is found and measured exactly (`curate.text.similarity.set_join`): nothing is decided on an estimate, nothing
    overlooked. Where a crowd of rows are so alike that all their pairs are too many to look at, those below the threshold are
    left out, and if need be those with a row that is itself dropped: the same rows go, but counts for
    other thresholds are lower bounds.

    Args:
        threshold: Jaccard similarity of the sets of 5-character shingles, from which on two rows count as one. A text of
            fewer than 5 characters is one shingle; two empty texts are equal.
        floor: similarity from which on pairs are recorded, for choosing another threshold; at most the threshold.
    """

    threshold: Share = 0.8
    floor: Share = 0.65
    VERSION: ClassVar[int] = 3

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it compares."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it adds."""
        return {CLUSTER: pl.String}

    @property
    def models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """One bucket for all rows: what is rare can only be told of all of them.

        The payload is the normalised texts, an eighth the size of their shingles, a prompt's only where it stands first in the
        part, and a hash of the prompt.
        """
        completion = _said(normalised(rows["completion"].fill_null("")))
        payload = pl.DataFrame({"completion": completion}).hstack(_prompts(rows))
        row = np.arange(rows.height, dtype=np.uint32)
        return Keys(pl.DataFrame({"row": row, "bucket": np.zeros(rows.height, np.uint64)}), payload)

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """Pairs at or above the floor: equal rows tied to the first of them, and the first of each kind with one another."""
        if not buckets.height:
            return leaders.edge_frame(*(np.zeros(0, np.int64),) * 2, np.zeros(0, np.float32))
        floor = min(self.floor, self.threshold)
        held, which = _held(payload)
        prompt = index(held, np.zeros(len(held.lengths), np.uint64), floor)
        kinds = mix(glued(prompt)[which].astype(np.uint64) + np.uint64(1))
        completion = index(Texts(payload["completion"].rechunk()), kinds, floor)
        same = mix(completion.hashes + np.uint64(1)) + prompt.hashes[which]
        a, b, first = leaders.stars(same, np.arange(payload.height))
        facts = payload.select("rank", "toxic", same=same)
        one, other, score = like_pairs(Compared(completion, prompt, which), first, facts, self.threshold)
        return leaders.edge_frame(
            np.concatenate([a, one]),
            np.concatenate([b, other]),
            np.concatenate([np.ones(len(a), np.float32), leaders.below_one(score)]),
        )

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep leaders."""
        return leaders.keep_leaders(edges, rows, self.threshold, REASON, CLUSTER)


def prompt_texts(rows: pl.DataFrame) -> list[str]:
    """All messages of each prompt, normalised, in one text."""
    flat = flatten(rows.select("prompt"))
    if not flat.height:
        return [""] * rows.height
    normal_forms = {text: normalise(text) for text in set(flat["content"])}
    texts: list[list[str]] = [[] for _ in range(rows.height)]
    for row, content in zip(flat["row"], flat["content"], strict=True):
        texts[row].append(normal_forms[content])
    return ["\x1f".join(parts) for parts in texts]


def _prompts(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each row a hash of its prompt, and the prompt where it stands first."""
    texts = _said(pl.Series("prompt", prompt_texts(rows), dtype=pl.String))
    different = texts.unique(maintain_order=True)
    hashes = pl.DataFrame({"prompt": different, "prompt_hash": halves(different)[0]})
    first = pl.when(pl.col("prompt").is_first_distinct()).then("prompt")
    return texts.to_frame().join(hashes, on="prompt", how="left", maintain_order="left").with_columns(prompt=first)


def _said(texts: pl.Series) -> pl.Series:
    """Texts, with a sign for those that are empty."""
    return pl.select(pl.when(texts == "").then(pl.lit(NOTHING)).otherwise(texts).alias(texts.name)).to_series()


def _held(payload: pl.DataFrame) -> tuple[Texts, Rows]:
    """The different prompts, and which of them each row has."""
    held = payload.select("prompt", "prompt_hash").drop_nulls("prompt").unique("prompt_hash", maintain_order=True)
    which = payload.select("prompt_hash").join(
        held.select("prompt_hash").with_row_index("which"), on="prompt_hash", how="left", maintain_order="left"
    )
    return Texts(held["prompt"]), which["which"].to_numpy().astype(np.int64)
