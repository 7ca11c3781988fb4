"""Pairs of a toxic completion and the non_toxic one that is nearest to it in content."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from curate.core.config import config
from curate.core.progress import Progress
from curate.pairing.greedy import take
from curate.pairing.pairer import Context, candidates, own
from curate.text.similarity import measures as similarity

TOP, SIDE = 512, 4096  # toxic rows and non_toxic rows of one block of products
SLACK = 1e-4  # a float32 product of two unit vectors is nearer than this to the exact one
BLANK = 1e-6  # squared length under which a vector is that of an empty text

Floats = NDArray[np.float64]


@config
class NearestNeighbourPairer:
    """Pair a toxic completion that no pairer before has paired with the non_toxic one nearest to it.

    Near in content means a small gap between the vectors of the two completions; toxicity must differ all the more. The pair
    takes the toxic row's prompt. Both are of one split and, so that a pair does not teach "Standard English is safe", of one
    variety. Every toxic × non_toxic pair is compared, by exact cosine; nearest pairs are taken first, ties by id. Reasons:
    `too_far` (no completion of that split and variety reaches `min_similarity` and `min_margin` within the limits), `capped`
    (all that do are used up).

    Args:
        min_similarity: least cosine, in [0, 1], of the two completions' vectors.
        min_margin: least toxicity of rejected minus toxicity of chosen, in [0, 1]; the dataset's own if that is more.
        max_uses: most pairs that one non_toxic completion may stand in.
        neighbours: how many of its nearest a toxic completion may fall back on when nearer ones are used up.
    """

    min_similarity: Annotated[float, Field(ge=0, le=1)] = 0.6
    min_margin: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_uses: Annotated[int, Field(ge=1)] = 2
    neighbours: Annotated[int, Field(ge=1)] = 8
    VERSION: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("vector",)

    def pair(self, index: pl.DataFrame, context: Context) -> pl.DataFrame:
        """One line for each toxic row without a pair: its pair, or why it has none."""
        rows = own(index).filter(pl.col("toxic").is_not_null()).sort("id")
        rejected, chosen = rows.filter(pl.col("toxic") & ~pl.col("paired")), rows.filter(~pl.col("toxic"))
        blocks = [
            pl.DataFrame(
                schema={"chosen_id": pl.String, "rejected_id": pl.String, "margin": pl.Float32, "similarity": pl.Float32}
            )
        ]
        with Progress("nearest_neighbour", rejected.height) as progress:
            for (split, variety), some in sorted(rejected.group_by("split", "variety"), key=lambda group: str(group[0])):
                others = chosen.filter(pl.col("split") == split, pl.col("variety").eq_missing(pl.lit(variety, pl.String)))
                blocks += self._near(some.sort("id"), others, context, progress)
        near = pl.concat(blocks).sort("similarity", "rejected_id", "chosen_id", descending=[True, False, False])
        near = near.with_columns(taken=take(near, {"rejected_id": 1, "chosen_id": self.max_uses}))
        pairs = near.filter("taken").drop("taken").with_columns(reason=pl.lit(None, pl.String))
        capped = near.join(pairs, on="rejected_id", how="anti", maintain_order="left").unique(
            "rejected_id", keep="first", maintain_order=True
        )
        far = rejected.select(rejected_id="id").join(near, on="rejected_id", how="anti", maintain_order="left")
        return candidates(
            pl.concat(
                [
                    pairs,
                    capped.drop("taken").with_columns(reason=pl.lit("capped")),
                    far.with_columns(reason=pl.lit("too_far")),
                ],
                how="diagonal",
            ),
            "nearest_neighbour",
        )

    def _near(self, rejected: pl.DataFrame, chosen: pl.DataFrame, context: Context, progress: Progress) -> list[pl.DataFrame]:
        """The nearest non_toxic rows of each toxic row, some at a time."""
        blocks = []
        if chosen.height:
            others = _unit(context.vectors(chosen["id"]))
            for block in rejected.iter_slices(TOP):
                blocks.append(self._block(block, chosen, context.vectors(block["id"]), others, context))
                progress.add(block.height)
        return blocks

    def _block(
        self,
        rejected: pl.DataFrame,
        chosen: pl.DataFrame,
        vectors: NDArray[np.float32],
        others: NDArray[np.float32],
        context: Context,
    ) -> pl.DataFrame:
        """Products in float32 find which pairs may be among the nearest; those are measured exactly, and the nearest kept."""
        unit = _unit(vectors)
        allowed = _Allowed(rejected, chosen, max(self.min_margin, context.limits.min_margin), context.limits.max_length_ratio)
        rows, columns, scores = [], [], []
        best = np.full((rejected.height, self.neighbours), -np.inf, np.float32)  # the nearest so far, ascending
        for left in range(0, chosen.height, SIDE):
            piece = slice(left, left + SIDE)
            product = unit @ others[piece].T
            product[~allowed(piece)] = -np.inf
            least = np.maximum(best[:, :1] - 2 * SLACK, self.min_similarity - SLACK)
            row, column = np.nonzero(product >= least)
            rows.append(row)
            columns.append(column + left)
            scores.append(product[row, column])
            few = min(self.neighbours, product.shape[1])
            best = np.sort(np.concatenate([best, np.partition(product, -few, axis=1)[:, -few:]], axis=1), axis=1)[
                :, -self.neighbours :
            ]
        row, column, score = np.concatenate(rows), np.concatenate(columns), np.concatenate(scores)
        maybe = score >= best[row, 0] - 2 * SLACK
        row, column = row[maybe], column[maybe]
        both = np.concatenate([vectors, context.vectors(chosen["id"].gather(np.unique(column)))]) if len(column) else vectors
        exact = (
            similarity.cosine(both, row, np.searchsorted(np.unique(column), column) + len(vectors))
            if len(column)
            else np.zeros(0)
        )
        return (
            pl.DataFrame(
                {
                    "chosen_id": chosen["id"].gather(column),
                    "rejected_id": rejected["id"].gather(row),
                    "margin": rejected["toxicity"].gather(row) - chosen["toxicity"].gather(column),
                    "similarity": pl.Series(exact, dtype=pl.Float64),
                }
            )
            .filter(pl.col("similarity") >= self.min_similarity)
            .sort("rejected_id", "similarity", "chosen_id", descending=[False, True, False])
            .group_by("rejected_id", maintain_order=True)
            .head(self.neighbours)
            .select("chosen_id", "rejected_id", "margin", pl.col("similarity").cast(pl.Float32))
        )


class _Allowed:
    """Which toxic × non_toxic pairs keep to the margin, the limits and to two texts."""

    def __init__(self, rejected: pl.DataFrame, chosen: pl.DataFrame, min_margin: float, max_ratio: float) -> None:
        self._margin, self._ratio = np.float32(min_margin), max_ratio
        self._rejected, self._chosen = (
            (
                side["toxicity"].to_numpy(),
                np.maximum(side["chars"].to_numpy(), 1).astype(np.float64),
                side["completion_key"].to_numpy(),
            )
            for side in (rejected, chosen)
        )

    def __call__(self, piece: slice) -> NDArray[np.bool_]:
        """Shape (toxic rows, rows of the piece)."""
        (high, long, text), (low, short, other) = self._rejected, tuple(values[piece] for values in self._chosen)
        ratio = long[:, None] / short[None, :]
        fits = (ratio <= self._ratio) & (ratio >= 1 / self._ratio) & (text[:, None] != other[None, :])
        return np.asarray(fits & (high[:, None] - low[None, :] >= self._margin), np.bool_)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.asarray(np.where(lengths > BLANK, vectors / np.maximum(lengths, BLANK), 0.0), np.float32)
