"""A part and the column files beside it: what is known of its rows after each stage, read by position, never rewritten.

A stage's column file has one line per row that was kept before the stage, in the part's order. So a row's place is
found by filtering with each file's verdicts in turn; no join is needed, and a new column costs only itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from curate.core.schema import ROW, VERDICT, digest
from curate.core.store import Stored

TEXT = ("prompt", "completion")


@dataclass(frozen=True)
class Layer:
    """What one stage said of one part."""

    stage: str
    stored: Stored
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """An immutable part and its layers, oldest first."""

    base: Stored
    layers: tuple[Layer, ...] = field(default=())

    @property
    def lineage(self) -> str:
        """Hash of everything read so far: the part's bytes and every layer's."""
        return digest(self.base.sha256, *(layer.stored.sha256 for layer in self.layers))

    def with_layer(self, layer: Layer) -> Part:
        """The part, one stage later."""
        return replace(self, layers=(*self.layers, layer))

    def kept(self, columns: Sequence[str]) -> pl.DataFrame:
        """The rows that every stage so far kept, in order, with `id` and the newest version of each column asked for."""
        own = [name for name in dict.fromkeys(("id", *columns)) if self._writer(name) is None]
        frame = self.base.read([name for name in ROW if name in own])
        for layer in self.layers:
            newest = [name for name in layer.writes if name in columns and self._writer(name) is layer]
            answer = layer.stored.read(["reason", *newest])
            frame = frame.hstack(answer.select(newest)).filter(answer["reason"].is_null())
        return frame.select(["id", *(name for name in columns if name != "id")])

    def all_rows(self) -> pl.DataFrame:
        """Every row, kept or dropped, with all columns but vectors, and `stage`, `reason`, `score`, `twin` of its drop.

        `prompt` and `completion` are null unless the row passed or reached the pii stage: nothing earlier may be shown.
        """
        frame = self.base.read().with_row_index("_row")
        frame = frame.with_columns(pl.lit(None, dtype=ROW[name]).alias(name) for name in TEXT)
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("stage"))
        frame = frame.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in VERDICT.items())
        alive = frame["_row"]
        safe = False
        for layer in self.layers:
            safe = safe or layer.stage == "pii"
            verdicts = layer.stored.read()
            shown = [
                name for name in layer.writes if not isinstance(verdicts.schema[name], pl.Array) and (safe or name not in TEXT)
            ]
            verdicts = verdicts.select([*shown, *VERDICT]).with_columns(
                alive.alias("_row"), pl.when(pl.col("reason").is_not_null()).then(pl.lit(layer.stage)).alias("stage")
            )
            frame = frame.join(verdicts, on="_row", how="left", suffix="_new", maintain_order="left").with_columns(
                pl.coalesce(f"{name}_new", name).alias(name)
                for name in verdicts.columns
                if f"{name}_new" in _joined(frame, verdicts)
            )
            frame = frame.select(name for name in frame.columns if not name.endswith("_new"))
            alive = alive.filter(verdicts["reason"].is_null())
        return frame.drop("_row")

    def _writer(self, column: str) -> Layer | None:
        return next((layer for layer in reversed(self.layers) if column in layer.writes), None)


def _joined(frame: pl.DataFrame, columns: pl.DataFrame) -> set[str]:
    return {f"{name}_new" for name in columns.columns if name in frame.columns and name != "_row"}
