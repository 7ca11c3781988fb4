"""Pairs of like rows, also where crowds of different rows are all like each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.text.similarity.leaders import edge_frame, keep_leaders
from curate.text.similarity.measures import Rows
from curate.text.similarity.set_index import Index
from curate.text.similarity.set_join import Alike, likeness, many, pairs

FIRST = 1 << 10  # rows whose leaders are told first; then twice as many, and so on
LEAST = 1 << 8  # rows that are compared with one another however many pairs that makes
FEW = 1 << 16  # pairs that are looked at however few rows they are of


@dataclass(frozen=True)
class Compared:
    """What rows are compared by.

    Attributes:
        completion: index of their completions, of one kind where prompts are alike.
        prompt: index of the different prompts.
        which: the prompt of each row.
    """

    completion: Index
    prompt: Index
    which: Rows

    def of(self, rows: Rows, floor: float) -> Compared:
        """The same for some rows, and for a floor that is not lower."""
        return replace(self, completion=self.completion.of(rows, floor))

    def like(self, old: NDArray[np.bool_] | None = None, limit: int | None = None) -> Alike | None:
        """Pairs of rows from the floor on; of old and new ones only, where `old` is given; None: more than `limit`."""
        alike = pairs(self.completion, old, limit)
        if alike is None:
            return None
        a, b, score = alike
        floor = self.completion.floor
        other = np.flatnonzero(self.which[a] != self.which[b])
        one, two = self.which[a[other]], self.which[b[other]]
        score[other] = np.minimum(score[other], likeness(self.prompt.source, self.prompt.sizes, one, two, floor))
        near = score >= floor
        return a[near], b[near], score[near]


def like_pairs(compared: Compared, first: Rows, facts: pl.DataFrame, threshold: float) -> Alike:
    """Pairs of rows that are not equal, from the floor on; where these are too many, all that decisions at the threshold need.

    Args:
        compared: all rows.
        first: one row of each class of equal rows.
        facts: by row, `same` (equal numbers: equal rows), `rank` and `toxic`.
        threshold: from which similarity on two rows count as one.
    """
    for least in sorted({compared.completion.floor, threshold}):
        alike = compared.of(first, least).like(limit=many(len(first)))
        if alike is not None:
            return alike
    return _crowds(compared, facts, threshold)


def _crowds(compared: Compared, facts: pl.DataFrame, threshold: float) -> Alike:
    """Compare rows by rank with the rows that are kept among the earlier ones, a growing number at a time.

    Equal rows with equal labels are kept or dropped as the first of them is, so one row stands for them.
    """
    every = facts.select(pl.col("same", "rank", "toxic")).with_row_index("row")
    nodes = every.sort("rank").unique(["same", "toxic"], keep="first", maintain_order=True)
    order = nodes["row"].to_numpy().astype(np.int64)
    label = facts["toxic"].cast(pl.Int8).fill_null(-1).to_numpy()
    kept = np.zeros(facts.height, np.bool_)
    crowds: list[Alike] = []
    at, step = 0, FIRST
    while at < len(order):
        block = order[at : at + step]
        here = compared.of(np.concatenate([np.flatnonzero(kept), block]), threshold)
        across = here.like(kept)
        assert across is not None
        a, b, _ = across
        opposite = (label[a] >= 0) & (label[b] >= 0) & (label[a] != label[b])
        gone = np.where(kept[a], b, a)[~opposite]
        rest = np.setdiff1d(block, gone)
        within = here.of(rest, threshold).like(limit=many(len(rest), FEW) if step > LEAST else None)
        if within is None:
            step //= 2
            continue
        leaders = _kept(rest, within, facts, threshold)
        kept[leaders] = True
        fresh = np.zeros(facts.height, np.bool_)
        fresh[leaders] = True  # the likest leader of a row may have come with it
        beside = here.of(np.concatenate([leaders, np.intersect1d(block, gone)]), threshold).like(fresh)
        assert beside is not None
        crowds += [across, within, beside]
        at, step = at + len(block), 2 * step
    one, other, score = (np.concatenate(each) for each in zip(*crowds, strict=True))
    same = facts["same"].to_numpy()
    different = same[one] != same[other]
    return one[different], other[different], score[different]


def _kept(rows: Rows, alike: Alike, facts: pl.DataFrame, threshold: float) -> Rows:
    """Rows that none of the others drops."""
    place = edge_frame(np.searchsorted(rows, alike[0]), np.searchsorted(rows, alike[1]), alike[2])
    few = facts.select(id=pl.col("rank").cast(pl.String), rank="rank", toxic="toxic")[rows]
    kept: NDArray[np.bool_] = keep_leaders(place, few, threshold, "", "cluster")["reason"].is_null().to_numpy()
    return rows[kept]
