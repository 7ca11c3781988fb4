"""What a generator promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import polars as pl

from curate.core.schema import canonical, digest

READS = ("id", "record", "source", "locator", "licence", "thread", "prompt", "completion", "side", "derived_from", "toxic")
"""Columns of kept rows that generators see, and from which a generated row takes what is not its own."""


@dataclass(frozen=True)
class Ask:
    """One question to a model.

    Attributes:
        row: id of the row that the answers will derive from.
        record: its record: who forgets that, forgets the answers.
        messages: what is asked, as chat messages.
        seed: of the sampling, which depends on nothing else.
    """

    row: str
    record: str
    messages: tuple[tuple[str, str], ...]
    seed: int

    @property
    def key(self) -> str:
        """Hash of what decides the answer, beside the generator."""
        return digest(canonical([list(message) for message in self.messages]), str(self.seed))


class Generator(Protocol):
    """Asks a model about rows. `side` is what its rows are, see `schema.SIDES`."""

    VERSION: ClassVar[int]
    side: ClassVar[str]

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of what answers."""
        ...

    def asks(self, rows: pl.DataFrame, seed: int) -> list[Ask]:
        """What to ask about kept rows (`READS`), in a stable order."""
        ...

    def answers(self, asks: Sequence[Ask]) -> Iterator[tuple[Ask, list[str]]]:
        """Each question with its answers, as they come; an answer depends on its own question alone."""
        ...
