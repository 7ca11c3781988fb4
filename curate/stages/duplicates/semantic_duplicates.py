"""Drop rows that say, in other words, what a row that is kept says."""

from __future__ import annotations

import sys
from typing import Annotated, ClassVar

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.core.errors import require
from curate.core.progress import Progress
from curate.text.similarity import leaders
from curate.text.similarity import measures as similarity

CLUSTER = "semantic_cluster"
REASON = "semantic_duplicate"
SIDE = 2048  # rows and columns of one block of products
SLACK = 1e-4  # a float32 product of two unit vectors is nearer than this to the exact one
CELLS = 4  # k-means cells per square root of the rows
PROBES = 24  # cells that a row is compared within
FEW = 1 / 64  # share of a block's pairs that is cheaper to measure one by one than in a second block product

Share = Annotated[float, Field(gt=0, le=1)]


@config
class SemanticDuplicates:
    """Drop a row when it reaches the threshold with a row that is kept, its twin.

    The likeness of two rows is the lesser of two cosines, of their completions' vectors and of their prompts'; two rows
    without a prompt agree in it. Rows are visited by rank and never dropped for a row with the opposite label, as in
    near_duplicates. Up to `exact_up_to` different rows every pair is compared; of more, those that faiss finds near each other
    (an inverted file over k-means cells), and a line says so. Scores are exact, whatever the blocks, order or processor.

    Args:
        threshold: cosine from which on two rows count as one.
        floor: cosine from which on pairs are recorded, for choosing another threshold; at most the threshold.
        exact_up_to: different rows up to which every pair is compared; exact products of 100,000 take about a CPU-minute.
    """

    threshold: Share = 0.95
    floor: Share = 0.85
    exact_up_to: Annotated[int, Field(ge=0)] = 100_000
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it compares."""
        return ("vector", "prompt_vector")

    @property
    def writes(self) -> Schema:
        """Columns it adds."""
        return {CLUSTER: pl.String}

    @property
    def models(self) -> tuple[str, ...]:
        """None of its own: the vectors were made by `encode`."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """One bucket for all; the payload is the vectors and a hash that tells equal rows."""
        both = np.concatenate([rows["vector"].to_numpy(), rows["prompt_vector"].to_numpy()], axis=1) + np.float32(0)  # no -0.0
        same = np.fromiter((xxhash.xxh3_64_intdigest(line.tobytes()) for line in both), np.uint64, rows.height)
        buckets = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32), "bucket": np.zeros(rows.height, np.uint64)})
        return Keys(buckets, rows.select("vector", "prompt_vector", pl.Series("same", same)))

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """Pairs at or above the floor: equal rows tied to the first of them, and the first of each kind with one another."""
        members = buckets["row"].unique().sort().to_numpy().astype(np.int64)
        a, b, first = leaders.stars(payload["same"].to_numpy()[members], members)
        one, other, score = [a], [b], [np.ones(len(a), np.float32)]
        kinds = buckets.filter(pl.col("row").is_in(first.astype(np.uint32)))
        done = np.zeros(0, np.uint64)
        for _, rows in sorted(kinds.group_by("bucket"), key=lambda group: group[0]):
            places = rows["row"].sort().to_numpy().astype(np.int64)
            here = payload[places]
            left, right, likeness = _alike(
                here["vector"].to_numpy(), here["prompt_vector"].to_numpy(), min(self.floor, self.threshold), self.exact_up_to
            )
            code = (places[left].astype(np.uint64) << np.uint64(32)) | places[right].astype(np.uint64)
            new = ~np.isin(code, done)
            done = np.concatenate([done, code[new]])
            one.append(places[left][new])
            other.append(places[right][new])
            score.append(leaders.below_one(likeness[new]))
        return leaders.edge_frame(np.concatenate(one), np.concatenate(other), np.concatenate(score))

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep leaders."""
        return leaders.keep_leaders(edges, rows, self.threshold, REASON, CLUSTER)


def _alike(
    vectors: NDArray[np.float32], prompts: NDArray[np.float32], floor: float, exact_up_to: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All pairs of rows whose likeness is `floor` or more: two arrays of rows, first < second, and the likeness.

    Products in float32 find what may reach the floor; those pairs are then measured exactly.
    """
    n = len(vectors)
    if n > exact_up_to:
        return _alike_by_cells(vectors, prompts, floor)
    unit, prompt_unit = _unit(vectors), _unit(prompts)
    spoken: NDArray[np.bool_] = np.asarray(prompts.any(axis=1), np.bool_)
    blocks: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    with Progress("semantic_duplicates", n * (n + 1) // 2, "pairs") as progress:
        for top in range(0, n, SIDE):
            rows = slice(top, min(top + SIDE, n))
            for left in range(top, n, SIDE):
                columns = slice(left, min(left + SIDE, n))
                maybe: NDArray[np.bool_] = np.asarray(unit[rows] @ unit[columns].T >= floor - SLACK)
                if left == top:
                    maybe = np.triu(maybe, 1)
                maybe &= spoken[rows, None] == spoken[None, columns]
                if maybe.mean() > FEW and spoken[rows].any():
                    both_silent = ~(spoken[rows, None] | spoken[None, columns])
                    maybe &= (prompt_unit[rows] @ prompt_unit[columns].T >= floor - SLACK) | both_silent
                a, b = (place + edge for place, edge in zip(np.nonzero(maybe), (top, left), strict=True))
                likeness = similarity.cosine(vectors, a, b)
                near = likeness >= floor
                a, b, likeness = a[near], b[near], likeness[near]
                likeness = np.minimum(likeness, similarity.cosine(prompts, a, b))
                near = likeness >= floor
                blocks.append((a[near], b[near], likeness[near]))
                progress.add(maybe.size)
    if not blocks:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    a, b, likeness = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return a, b, likeness


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def _alike_by_cells(
    vectors: NDArray[np.float32], prompts: NDArray[np.float32], floor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """As `_alike`, but rows are compared only with those of the cells nearest to them; what is found is measured exactly.

    Source: Sivic & Zisserman (2003), Video Google (inverted file); Douze et al. (2024), The Faiss library.
    """
    require("faiss", "faiss", f"semantic_duplicates: of {len(vectors):,} different rows")
    import faiss

    n, dim = vectors.shape
    unit = _unit(vectors)
    spoken: NDArray[np.bool_] = np.asarray(prompts.any(axis=1), np.bool_)
    cells = max(1, round(CELLS * np.sqrt(n)))
    sys.stderr.write(f"semantic_duplicates: {n:,} different rows, compared within {PROBES} of {cells:,} cells (faiss)\n")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.max_points_per_centroid, index.cp.niter = 1, 64, 10
    index.train(unit)
    index.add(unit)
    index.nprobe = min(PROBES, cells)
    codes = [np.zeros(0, np.uint64)]
    with Progress("semantic_duplicates", n) as progress:
        for top in range(0, n, SIDE):
            limits, _, other = index.range_search(unit[top : top + SIDE], floor - SLACK)
            row = np.repeat(np.arange(top, top + len(limits) - 1), np.asarray(limits[1:] - limits[:-1], np.int64))
            a, b = np.minimum(row, other), np.maximum(row, other)
            apart = (a < b) & (spoken[a] == spoken[b])
            codes.append(np.unique((a[apart].astype(np.uint64) << np.uint64(32)) | b[apart].astype(np.uint64)))
            progress.add(len(limits) - 1)
    pairs = np.unique(np.concatenate(codes))
    a, b = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    likeness = np.minimum(similarity.cosine(vectors, a, b), similarity.cosine(prompts, a, b))
    near = likeness >= floor
    return a[near], b[near], likeness[near]
