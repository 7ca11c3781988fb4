"""What a pairer is given and what it answers: numbers and ids, never text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

INDEX: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "stands_for": pl.String,  # id of a dropped exact copy for which this line speaks; null on a row's own line
    "record": pl.String,
    "side": pl.String,  # see schema.SIDES
    "derived_from": pl.String,
    "prompt_key": pl.UInt64,  # hash of the normalised prompt; null where there is none
    "completion_key": pl.UInt64,  # hash of the normalised completion
    "chars": pl.UInt32,
    "words": pl.UInt32,
    "thread": pl.String,
    "variety": pl.String,
    "variety_score": pl.Float32,
    "toxicity": pl.Float32,
    "toxic": pl.Boolean,  # null: abstained
    "agreed": pl.Boolean,  # every labeler that has a score is on the label's side of 0.5
    "refusal": pl.Boolean,
    "evidence": pl.String,
    "split": pl.String,
    "paired": pl.Boolean,  # an earlier pairer of the recipe has put it into a pair
}
"""One line per row that may stand in a pair, and one per dropped row for which an exact copy stands in: the copy's facts
under the dropped row's record, side and origin. Pairers that look at rows by themselves leave stand-ins out (`own`)."""

PAIR: dict[str, pl.DataType | type[pl.DataType]] = {
    "chosen_id": pl.String,
    "rejected_id": pl.String,
    "prompt_id": pl.String,  # the row whose prompt the pair takes
    "strategy": pl.String,
    "relation": pl.String,  # one of RELATIONS
    "margin": pl.Float32,  # toxicity of rejected minus toxicity of chosen, in [-1, 1]
    "similarity": pl.Float32,  # cosine of the two completions, in [-1, 1]; null where the pairer did not measure it
    "reason": pl.String,  # null: accepted; else why this candidate is no pair
}
"""One line per candidate that a pairer looked at and has something to say of."""

TOXICITY, PREFERRED = RELATIONS = ("toxicity", "preferred")
"""What sets the sides apart: their labels, chosen non_toxic and rejected toxic; or only that people preferred one of two
non_toxic ones, which says nothing about either by itself."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """What every pair must keep to.

    Attributes:
        min_margin: least toxicity of rejected minus toxicity of chosen, in [0, 1].
        max_length_ratio: most characters of the longer side per character of the shorter, at least 1.
    """

    min_margin: float = 0.0
    max_length_ratio: float = float("inf")

    def reason(self) -> pl.Expr:
        """Why a candidate (`margin`, `chosen_chars`, `rejected_chars`) is no pair; null where it may be one."""
        thin = pl.col("margin") < pl.lit(self.min_margin, pl.Float32)
        return pl.when(thin).then(pl.lit("thin_margin")).otherwise(self.length())

    def length(self) -> pl.Expr:
        """The same, of lengths alone."""
        one, other = pl.col("chosen_chars").cast(pl.Float64), pl.col("rejected_chars").cast(pl.Float64)
        ratio = pl.max_horizontal(one, other) / pl.max_horizontal(pl.min_horizontal(one, other), 1.0)
        return pl.when(ratio > self.max_length_ratio).then(pl.lit("length_ratio"))


def no_vectors(_: pl.Series) -> Vectors:
    """What stands where a recipe has no `encode`: it refuses such pairers before a build starts."""
    raise LookupError("this build has no vectors")


@dataclass(frozen=True)
class Context:
    """What pairers share.

    Attributes:
        limits: what every pair must keep to; a pairer with a choice chooses within them.
        vectors: ids (of rows that every stage kept) -> their completions' vectors, shape (n, dim), float32.
    """

    limits: Limits = Limits()
    vectors: Callable[[pl.Series], Vectors] = no_vectors


class Pairer(Protocol):
    """Proposes pairs; a pair never names rows of different splits.

    `reads` names columns that stages must have written for it: "vector", or nothing.
    """

    VERSION: ClassVar[int]
    reads: ClassVar[tuple[str, ...]]

    def pair(self, index: pl.DataFrame, context: Context) -> pl.DataFrame:
        """Candidates, as `PAIR`, from rows, as `INDEX`; the answer does not depend on the order of the rows."""
        ...


def own(index: pl.DataFrame) -> pl.DataFrame:
    """The rows' own lines whose labels nothing contradicts: no toxic side that people chose, no mild one that they rejected."""
    against = ((pl.col("side") == "chosen") & pl.col("toxic")) | ((pl.col("side") == "rejected") & ~pl.col("toxic"))
    return index.filter(pl.col("stands_for").is_null(), ~against.fill_null(value=False))


def candidates(frame: pl.DataFrame, strategy: str) -> pl.DataFrame:
    """A pairer's answer from columns of `PAIR`; those that it does not name are the usual ones."""
    usual = {"strategy": pl.lit(strategy), "relation": pl.lit(TOXICITY), "prompt_id": pl.col("rejected_id")}
    missing = {name: usual.get(name, pl.lit(None)) for name in PAIR if name not in frame.columns}
    return frame.with_columns(**missing).select(pl.col(name).cast(kind) for name, kind in PAIR.items())
