"""Drop rows that repeat, nearly word for word, a row that is kept."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from curate import similarity
from curate.contracts import Keys, Schema
from curate.recipe import config
from curate.set_join import glued
from curate.similarity import Rows, Sets, normalise, shingles
from curate.stages import leaders
from curate.stages.crowds import like_pairs
from curate.stages.prompts import flatten

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

    Every pair is found and measured exactly (`curate.set_join`): nothing is decided on an estimate, nothing overlooked. Where
    a crowd of rows are so alike that all their pairs are too many to look at, those below the threshold are left out, and if
    need be those with a row that is itself dropped: the same rows go, but counts for other thresholds are lower bounds.

    Args:
        threshold: Jaccard similarity of the sets of 5-character shingles, from which on two rows count as one. A text of
            fewer than 5 characters is one shingle; two empty texts are equal.
        floor: similarity from which on pairs are recorded, for choosing another threshold; at most the threshold.
    """

    threshold: Share = 0.8
    floor: Share = 0.65
    VERSION: ClassVar[int] = 2

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

        The payload is both shingle sets, a prompt's only where it stands first in the part, the prompt's hash, and a hash of
        completion and prompt that tells equal rows.
        """
        prompts = prompt_texts(rows)
        different = {text: place for place, text in enumerate(dict.fromkeys(prompts))}
        which = np.fromiter((different[text] for text in prompts), np.int64, len(prompts))
        completion = shingles([normalise(text) or NOTHING for text in rows["completion"].fill_null("").to_list()])
        prompt = shingles([text or NOTHING for text in different])
        prompt_hash = similarity.set_hashes(prompt)[which]
        first = np.zeros(len(which), np.bool_)
        first[np.unique(which, return_index=True)[1]] = True
        payload = pl.DataFrame(
            {
                "completion": _lists(completion),
                "prompt": _lists(prompt, np.where(first, which, -1)),
                "prompt_hash": prompt_hash,
                "same": similarity.mix(similarity.set_hashes(completion) + np.uint64(1)) + prompt_hash,
            }
        )
        row = np.arange(rows.height, dtype=np.uint32)
        return Keys(pl.DataFrame({"row": row, "bucket": np.zeros(rows.height, np.uint64)}), payload)

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """Pairs at or above the floor: equal rows tied to the first of them, and the first of each kind with one another."""
        if not buckets.height:
            return leaders.edge_frame(*(np.zeros(0, np.int64),) * 2, np.zeros(0, np.float32))
        same = payload["same"].to_numpy()
        a, b, first = leaders.stars(same, np.arange(payload.height))
        completion = _sets(payload["completion"])
        prompt, which = _prompts(payload)
        kinds = similarity.mix(glued(prompt, min(self.floor, self.threshold))[which].astype(np.uint64) + np.uint64(1))
        one, other, score = like_pairs(completion, prompt, which, kinds, first, payload, self.threshold, self.floor)
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
    known = {text: normalise(text) for text in set(flat["content"])}
    texts: list[list[str]] = [[] for _ in range(rows.height)]
    for row, content in zip(flat["row"], flat["content"], strict=True):
        texts[row].append(known[content])
    return ["\x1f".join(parts) for parts in texts]


def _prompts(payload: pl.DataFrame) -> tuple[Sets, Rows]:
    """The different prompts, and which of them each row has."""
    there = payload["prompt"].is_not_null().to_numpy()
    number, first = np.unique(payload["prompt_hash"].to_numpy()[there], return_index=True)
    held = payload["prompt"].gather(np.flatnonzero(there)[first])
    return _sets(held), np.searchsorted(number, payload["prompt_hash"].to_numpy())


def _lists(sets: Sets, rows: Rows | None = None) -> pl.Series:
    """One list per set, none of them empty; with `rows`, one per row: the set it names, null where that is negative.

    By polars alone: to make an array, pyarrow imports pandas, which costs as much as comparing 20,000 texts.
    """
    row = pl.Series("row", np.repeat(np.arange(len(sets.starts) - 1, dtype=np.uint32), sets.sizes)).set_sorted()
    lists = pl.DataFrame({"row": row, "values": sets.values}).group_by("row", maintain_order=True).agg("values")["values"]
    if rows is None:
        return lists
    return lists.gather(pl.select(pl.when(pl.Series(rows) >= 0).then(pl.Series(rows))).to_series())


def _sets(lists: pl.Series) -> Sets:
    values = lists.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    return Sets(values, np.concatenate([[0], np.cumsum(lists.list.len().to_numpy().astype(np.int64))]))
