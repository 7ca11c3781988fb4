"""What a pairer is given and what it answers: numbers and ids, never text."""

from __future__ import annotations

from typing import ClassVar, Protocol

import polars as pl

INDEX: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "record": pl.String,
    "side": pl.String,  # "chosen" | "rejected" where the record came as a pair
    "prompt_key": pl.UInt64,  # hash of the normalised prompt; null where there is none
    "completion_key": pl.UInt64,  # hash of the normalised completion
    "chars": pl.UInt32,
    "words": pl.UInt32,
    "thread": pl.String,
    "toxicity": pl.Float32,
    "toxic": pl.Boolean,  # null: abstained
    "evidence": pl.String,
    "split": pl.String,
}
"""One line per row that may stand in a pair."""

PAIR: dict[str, pl.DataType | type[pl.DataType]] = {
    "chosen_id": pl.String,
    "rejected_id": pl.String,
    "prompt_id": pl.String,  # the row whose prompt the pair takes
    "strategy": pl.String,
    "margin": pl.Float32,  # toxicity of rejected minus toxicity of chosen, in [-1, 1]
    "reason": pl.String,  # null: accepted; else why this candidate is no pair
}
"""One line per candidate that a pairer looked at and has something to say of."""


class Pairer(Protocol):
    """Proposes pairs; a pair never names rows of different splits."""

    VERSION: ClassVar[int]

    def pair(self, index: pl.DataFrame) -> pl.DataFrame:
        """Candidates, as `PAIR`, from rows, as `INDEX`; the answer does not depend on the order of the rows."""
        ...
