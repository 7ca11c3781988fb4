"""Drop rows that repeat, nearly word for word, a row that is kept."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from curate import similarity
from curate.contracts import Keys, Schema
from curate.recipe import config
from curate.similarity import Sets, normalise, shingles
from curate.stages import leaders
from curate.stages.prompts import flatten

CLUSTER = "near_cluster"
REASON = "near_duplicate"

Share = Annotated[float, Field(gt=0, le=1)]


@config
class NearDuplicates:
    """Drop a row when it reaches the threshold with a row that is kept, its twin.

    The likeness of two rows is the lesser of two Jaccard similarities, of their completions and of their prompts, so that two
    replies to one long prompt are not taken for copies, nor one reply under two prompts. Rows are visited by rank, so that a
    chain of likenesses drops nothing by transitivity. Rows with opposite labels are never dropped for each other: a toxic
    completion and its mild rewrite are close by design. Roles of prompt messages do not count.

    Candidates are rows that share a MinHash band; every candidate pair is then measured exactly, so no row is dropped on an
    estimate, and a pair at the threshold is overlooked with a probability below `miss` (far below, the likelier they are).

    Args:
        threshold: Jaccard similarity of the sets of 5-character shingles, from which on two rows count as one. A text of
            fewer than 5 characters is one shingle; two empty texts are equal.
        floor: similarity from which on pairs are recorded, for choosing another threshold; at most the threshold. Those
            below the threshold may be overlooked: about 1 in 50 at .65 when the threshold is .8.
        miss: greatest probability of overlooking a pair at the threshold.

    Source: Broder (1997), On the resemblance and containment of documents; Indyk & Motwani (1998), Approximate nearest
    neighbors (banding).
    """

    threshold: Share = 0.8
    floor: Share = 0.65
    miss: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    VERSION: ClassVar[int] = 1

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
        """One bucket per band; the payload is both shingle sets and a hash of the two that tells equal rows."""
        prompts = prompt_texts(rows)
        different = {text: place for place, text in enumerate(dict.fromkeys(prompts))}
        which = np.fromiter((different[text] for text in prompts), np.int64, len(prompts))
        completion = shingles([normalise(text) for text in rows["completion"].fill_null("")])
        prompt = shingles(list(different))
        bands, width = bands_for(self.threshold, self.miss)
        buckets = _buckets(completion, prompt, which, bands, width)
        same = similarity.mix(similarity.set_hashes(completion) + np.uint64(1)) + similarity.set_hashes(prompt)[which]
        payload = pl.DataFrame({"completion": _lists(completion), "prompt": _lists(prompt).gather(which), "same": same})
        row = np.tile(np.arange(rows.height, dtype=np.uint32), bands)
        return Keys(pl.DataFrame({"row": row, "bucket": buckets.T.ravel()}), payload)

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """Pairs at or above the floor: equal rows tied to the first of them, and the first of each kind with one another."""
        members = buckets["row"].unique().sort().to_numpy().astype(np.int64)
        here = payload[members]
        same = here["same"].to_numpy()
        a, b, first = leaders.stars(same, np.arange(len(members)))
        completion, prompt = _sets(here["completion"]), _sets(here["prompt"])
        floor = min(self.floor, self.threshold)
        one, other = _candidates(buckets, members, first, (completion, prompt), floor)
        score = similarity.jaccard(completion, one, other)
        near = score >= floor
        one, other, score = one[near], other[near], score[near]
        score = np.minimum(score, similarity.jaccard(prompt, one, other))
        near = score >= floor
        return leaders.edge_frame(
            members[np.concatenate([a, one[near]])],
            members[np.concatenate([b, other[near]])],
            np.concatenate([np.ones(len(a), np.float32), leaders.below_one(score[near])]),
        )

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep leaders."""
        return leaders.keep_leaders(edges, rows, self.threshold, REASON, CLUSTER)


def prompt_texts(rows: pl.DataFrame) -> list[str]:
    """All messages of each prompt, normalised, in one text."""
    flat = flatten(rows.select("prompt"))
    known = {text: normalise(text) for text in set(flat["content"])}
    texts: list[list[str]] = [[] for _ in range(rows.height)]
    for row, content in zip(flat["row"], flat["content"], strict=True):
        texts[row].append(known[content])
    return ["\x1f".join(parts) for parts in texts]


def bands_for(threshold: float, miss: float) -> tuple[int, int]:
    """How many bands of how many MinHashes overlook a pair at the threshold with a probability below `miss`.

    Wide bands bring fewer candidates that come to nothing, but need more of them.

    >>> bands_for(0.8, 1e-4)
    (13, 3)
    """
    for width in (3, 2, 1):
        agree = threshold**width
        bands = 1 if agree == 1 else math.ceil(math.log(miss) / math.log1p(-agree))
        if bands <= MOST_BANDS:
            break
    return bands, width


MOST_BANDS = 40


def _buckets(completion: Sets, prompt: Sets, which: NDArray[np.int64], bands: int, width: int) -> NDArray[np.uint64]:
    """Band keys, shape (rows, bands): a third of a band's MinHashes are the prompt's, where there is a prompt.

    Rows that agree in completion and prompt to at least the threshold each, agree in a band as often as the threshold's power
    says, however the two share it; and neither one prompt with many replies nor one reply under many prompts fills a bucket.
    """
    from_prompt = width // 2
    own = similarity.minhashes(completion, bands * width, seed=0)
    theirs = similarity.minhashes(prompt, bands * from_prompt, seed=1)[which]
    has_prompt = (prompt.sizes > 0)[which]
    keys = np.empty((len(which), bands), np.uint64)
    for band in range(bands):
        key = np.full(len(which), band, np.uint64)
        for place in range(width):
            part = own[:, band * width + place]
            if place < from_prompt:
                part = np.where(has_prompt, theirs[:, band * from_prompt + place], part)
            key = similarity.mix(key * np.uint64(0x9E3779B97F4A7C15) + part)
        keys[:, band] = key
    return keys


def _candidates(
    buckets: pl.DataFrame, members: NDArray[np.int64], first: NDArray[np.int64], sets: tuple[Sets, Sets], floor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (places in `members`) of rows that are not equal, share a bucket, and may reach the floor; each pair once."""
    place = np.searchsorted(members, buckets["row"].to_numpy())
    kind = np.zeros(len(members), bool)
    kind[first] = True
    place, bucket = place[kind[place]], buckets["bucket"].to_numpy()[kind[place]]
    order = np.lexsort((place, bucket))
    place, bucket = place[order], bucket[order]
    maps = [similarity.bitmaps(each) for each in sets]
    found = [np.zeros(0, np.uint64)]
    for one, other in similarity.pairs_within(bucket):
        a, b = place[one], place[other]
        for each, bits in zip(sets, maps, strict=True):
            maybe = similarity.maybe_alike(each, bits, a, b, floor)
            a, b = a[maybe], b[maybe]
        found.append(np.unique((a.astype(np.uint64) << np.uint64(32)) | b.astype(np.uint64)))
    pairs = np.unique(np.concatenate(found))
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _lists(sets: Sets) -> pl.Series:
    array = pa.LargeListArray.from_arrays(pa.array(sets.starts, pa.int64()), pa.array(sets.values, pa.uint64()))
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


def _sets(lists: pl.Series) -> Sets:
    values = lists.filter(lists.list.len() > 0).explode().to_numpy().astype(np.uint64)
    return Sets(values, np.concatenate([[0], np.cumsum(lists.list.len().to_numpy().astype(np.int64))]))
