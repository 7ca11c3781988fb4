"""Texts as sets of hashed 5-character shingles, made a few rows at a time where they are needed.

A text's shingles take eight times the room of the text, so texts are what is kept. Rows are worked on by length, so that those
of one block make a table that is nearly full: a row of it is sorted in half the time that its share of a list takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from curate.text.similarity.measures import HASH_BITS, U64, Rows, Sets, mix, pieces

SHINGLE = 5  # characters; words-5, the common default, loses a fifth of near copies of chat-length text
TABLE = 1 << 16  # numbers of one block: they stay in a core's cache while they are worked on
READ = 1 << 21  # members of the rows that are read at a time: a call of polars costs as much as hashing 10,000 letters
PAD = "\x1e" * (SHINGLE - 1)  # ends a text; it counts as white space, so that no normalised text holds it
NONE = np.uint64(2**64 - 1)  # no member
WEIGHTS = mix(np.arange(1, 5, dtype=np.uint64)) | np.uint64(1)


Members = Callable[[int, int], U64]
"""The members of a range of the rows that were read, shape (rows, longest); what stands behind a row's length means nothing."""


class SetSource(Protocol):
    """Sets of numbers below 2^48, one per row, made when they are asked for."""

    @property
    def lengths(self) -> Rows:
        """Members of each row, repeats included."""
        ...

    def read(self, rows: Rows) -> Members:
        """Make the members of some rows ready."""
        ...


@dataclass(frozen=True)
class Texts:
    """The sets of shingles of normalised texts; a text of 1 to 4 characters is one shingle, an empty text none."""

    texts: pl.Series

    @cached_property
    def letters(self) -> Rows:
        """Characters of each text."""
        return self.texts.str.len_chars().to_numpy().astype(np.int64)

    @cached_property
    def lengths(self) -> Rows:
        """Windows of each text."""
        return np.where(self.letters > 0, np.maximum(self.letters - SHINGLE + 1, 1), 0)

    def read(self, rows: Rows) -> Members:
        """Hashes of the windows of some texts."""
        lengths = self.lengths[rows]
        letters = code_points(self.texts.gather(rows).str.join(PAD).item() + PAD * (1 + int(lengths.max(initial=1))))
        ends = np.cumsum(self.letters[rows] + len(PAD))
        starts = ends - self.letters[rows] - len(PAD)

        def table(start: int, stop: int) -> U64:
            width = int(lengths[start:stop].max(initial=1))
            hashed = windows(letters[starts[start] : ends[stop - 1] + width])
            members: U64 = sliding_window_view(hashed, width)[starts[start:stop] - starts[start]]
            return members

        return table


def code_points(text: str) -> NDArray[np.uint8] | NDArray[np.uint32]:
    """A text as numbers."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def windows(code: NDArray[np.uint8] | NDArray[np.uint32]) -> U64:
    """A hash below 2^48 of every window of 5 characters."""
    letters = code.astype(np.uint64)
    two = letters[:-1] * WEIGHTS[0]
    two += letters[1:]
    four = two[:-2] * WEIGHTS[1]
    four += two[2:]
    five: U64 = four[:-1] * WEIGHTS[2]
    five += letters[4:]
    five ^= five >> np.uint64(32)
    five *= WEIGHTS[3]
    five >>= np.uint64(64 - HASH_BITS)
    return five


def blocks(source: SetSource, rows: Rows) -> Iterator[tuple[Rows, U64, Rows]]:
    """Rows that are not empty, some at a time, by length.

    Args:
        source: of the sets.
        rows: which of them.

    Yields:
        Places in `rows`; their members, shape (places, longest); their lengths, ascending.
    """
    lengths = source.lengths[rows]
    order = np.argsort(np.minimum(lengths, 2**16 - 1).astype(np.uint16), kind="stable")
    if lengths.max(initial=0) >= 2**16:
        order = np.argsort(lengths, kind="stable")
    order = order[int((lengths == 0).sum()) :]
    lengths = lengths[order]
    for piece in pieces(lengths, READ, READ):
        table = source.read(rows[order[piece]])
        start, stop = piece.start, piece.stop
        while start < stop:
            some = lengths[start : min(stop, start + max(1, TABLE // int(lengths[start])))]
            count = max(1, int(np.searchsorted(some * np.arange(1, len(some) + 1), TABLE, side="right")))
            equal = int(np.searchsorted(some[:count], some[0], side="right"))
            count = equal if 4 * equal >= count else count  # a full table costs less
            at = start - piece.start
            yield order[start : start + count], table(at, at + count), some[:count]
            start += count


def distinct(table: U64, lengths: Rows) -> tuple[U64, Rows]:
    """Each row ascending, without repeats, then NONE; and how many members each row has.

    Args:
        table: shape (rows, longest); what stands behind a row's length means nothing. Changed.
        lengths: ascending, at least 1.
    """
    width = table.shape[1]
    if lengths[0] < width:
        table[np.arange(width) >= lengths[:, None]] = NONE
    table.sort(axis=1)
    fresh = table[:, 1:] != table[:, :-1]
    sizes = 1 + np.count_nonzero(fresh, axis=1) - (lengths < width)
    repeats = np.flatnonzero(sizes < lengths)
    if len(repeats):
        some = table[repeats]
        some[:, 1:][~fresh[repeats]] = NONE
        some.sort(axis=1)
        table[repeats] = some
    return table, sizes


def bitmaps(table: U64, lengths: Rows, words: int = 4) -> U64:
    """A few machine words per row in which each member sets one bit, shape (rows, words).

    Bits that differ between two rows' words are at most as many as members that differ, which makes a bound on Jaccard.

    Args:
        table: shape (rows, longest); what stands behind a row's length means nothing.
        lengths: at least 1.
        words: of 64 bits, a power of two.

    Source: Sandes, Teodoro & Melo (2020), Bitmap filter.
    """
    rows, width = table.shape
    bits = 64 * words
    place = (table & np.uint64(bits - 1)).view(np.int64)
    if lengths.min(initial=width) < width:
        place = np.where(np.arange(width) < lengths[:, None], place, place[:, :1])
    place += np.arange(rows)[:, None] * bits
    seen = np.zeros(rows * bits, np.bool_)
    seen[place.ravel()] = True
    return np.packbits(seen).view(np.uint64).reshape(rows, words)


def maps(source: SetSource, rows: Rows, words: int) -> U64:
    """Bitmaps of some rows; an empty one has no bit."""
    out = np.zeros((len(rows), words), np.uint64)
    for places, table, lengths in blocks(source, rows):
        out[places] = bitmaps(table, lengths, words)
    return out


def sets(source: SetSource, rows: Rows) -> Sets:
    """The sets of some rows, in their order."""
    sizes = np.zeros(len(rows), np.int64)
    order: list[Rows] = [np.flatnonzero(source.lengths[rows] == 0)]
    values: list[U64] = [np.zeros(0, np.uint64)]
    for places, table, lengths in blocks(source, rows):
        members, sizes[places] = distinct(np.array(table), lengths)
        values.append(members[members != NONE])
        order.append(places)
    by_length = np.concatenate(order)
    starts = np.concatenate([[0], np.cumsum(sizes[by_length])])
    back = np.empty(len(rows), np.int64)
    back[by_length] = np.arange(len(rows))
    return Sets(np.concatenate(values), starts).take(back)
