"""Vectors of completions by row id, read from the column files when somebody first asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from curate.core.parts import Part
from curate.pairing.pairer import Vectors


class StoredVectors:
    """Calls give the vectors of rows that every stage kept.

    Args:
        parts: as the last stage left them; one before it is `encode`.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def __call__(self, ids: pl.Series) -> Vectors:
        """Vectors of some rows, shape (n, dim), float32.

        Raises:
            KeyError: a row that no part has kept.
        """
        places, vectors = self._table
        at = pl.DataFrame({"id": ids}).join(places, on="id", how="left", maintain_order="left")["at"]
        if at.null_count():
            raise KeyError(f"{at.null_count()} of {len(ids)} rows have no vector")
        return np.asarray(vectors[at.to_numpy()], np.float32)

    @cached_property
    def _table(self) -> tuple[pl.DataFrame, Vectors]:
        rows = pl.concat([part.kept(("id", "vector")) for part in self._parts])
        return rows.select("id").with_row_index("at"), rows["vector"].to_numpy()
