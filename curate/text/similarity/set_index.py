"""The rarest members of every set, by member: what a join looks pairs up in.

Two sets whose Jaccard similarity reaches a floor share a member among the rarest few of each (a prefix), however rarity is
counted as long as it is counted alike for all. One pass over the sets makes the index and all else that a join needs of them.

Source: Chaudhuri, Ganti & Kaushik (2006), A primitive operator for similarity joins (prefix filter).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from curate.text.similarity.measures import HASH_BITS, SLACK, U64, Rows, scattered_sum
from curate.text.similarity.shingles import SetSource, bitmaps, blocks, distinct

LEAST = 1 << 17  # members that are counted to tell rare ones from common, where there are so many
MOST = 1 << 21
SAMPLE = 4  # between the two, one row in so many
CELLS = 1 << 21  # counters for them, at most
PLACE_BITS = 8
ENTRIES = 1 << 18  # index entries looked at together: their working memory stays in cache


@dataclass(frozen=True)
class Index:
    """Prefixes of all sets, by member.

    Attributes:
        source: of the sets.
        floor: Jaccard similarity from which on pairs are looked for.
        sizes: of the sets.
        hashes: one number per set, equal for equal sets; 0 for the empty set.
        rows: all rows, smallest set first; `entries` name them by their place here.
        maps: a bitmap of each set, see `bitmaps`, by place in `rows`.
        entries: ascending; member (high bits), place in `rows`, place in the prefix (low 8 bits, at most 255).
    """

    source: SetSource
    floor: float
    sizes: Rows
    hashes: U64
    rows: Rows
    maps: U64
    entries: U64

    @property
    def row_bits(self) -> int:
        """Bits of an entry that name the row."""
        return len(self.rows).bit_length()

    def row(self, entries: U64) -> Rows:
        """Places in `rows` that entries name."""
        return ((entries >> np.uint64(PLACE_BITS)) & np.uint64((1 << self.row_bits) - 1)).view(np.int64)

    def member(self, entries: U64) -> U64:
        """What tells the members of entries apart."""
        return entries >> np.uint64(self.row_bits + PLACE_BITS)

    def of(self, rows: Rows, floor: float) -> Index:
        """The same, with entries for some rows only, and for a floor that is not lower."""
        if len(rows) == len(self.rows) and floor <= self.floor:
            return self
        among = np.zeros(len(self.rows), np.bool_)
        among[rows] = True
        shows = np.where(among, prefix(self.sizes, floor), 0)[self.rows]
        kept = [np.zeros(0, np.uint64)]
        for start in range(0, len(self.entries), ENTRIES):
            some = self.entries[start : start + ENTRIES]
            kept.append(some[places(some) < shows[self.row(some)]])
        return replace(self, floor=floor, entries=np.concatenate(kept))


def places(entries: U64) -> Rows:
    """Places in the prefix, at most 255."""
    return (entries & np.uint64((1 << PLACE_BITS) - 1)).view(np.int64)


def prefix(sizes: Rows, floor: float) -> Rows:
    """How many of its rarest members a set must show: one of them is in any set that reaches the floor with it."""
    return np.asarray(sizes - np.ceil(floor * sizes - SLACK).astype(np.int64) + (sizes > 0), np.int64)


def index(source: SetSource, kinds: U64, floor: float) -> Index:
    """Put the prefixes of all rows in order.

    Args:
        source: of the sets; empty ones are like nothing.
        kinds: one number per row, well scattered; only rows of one kind share members.
        floor: in (0, 1].
    """
    count = len(source.lengths)
    counts = _counts(source)
    sizes, hashes, maps = np.zeros(count, np.int64), np.zeros(count, np.uint64), np.zeros((count, 4), np.uint64)
    bits = count.bit_length()
    entries = np.empty(int(prefix(source.lengths, floor).sum()), np.uint64)
    filled = 0
    for rows, table, lengths in blocks(source, np.arange(count)):
        maps[rows] = bitmaps(table, lengths)
        rarity = counts.take((table & np.uint64(len(counts) - 1)).view(np.int64)).astype(np.uint64)
        rarity <<= np.uint64(HASH_BITS)
        rarity |= table
        ordered, sizes[rows] = distinct(rarity, lengths)
        hashes[rows] = scattered_sum(ordered, sizes[rows])
        some = _prefixes(ordered, prefix(sizes[rows], floor), kinds[rows], rows, bits)
        entries[filled : filled + len(some)] = some
        filled += len(some)
    rows = np.argsort(sizes, kind="stable")
    entries = entries[:filled]
    _rename(entries, rows, bits)
    entries.sort()
    return Index(source, floor, sizes, hashes, rows, maps[rows], entries)


def _counts(source: SetSource) -> NDArray[np.uint8]:
    """About how often members occur, by their low bits: of a sample, with collisions. Any order of members would be right."""
    total = int(source.lengths.sum())
    sample = np.arange(0, len(source.lengths), 1 + total // min(max(total // SAMPLE, LEAST), MOST))
    cells = min(CELLS, 1 << int(source.lengths[sample].sum()).bit_length())
    kept = [(table & np.uint64(cells - 1)).astype(np.uint32).ravel() for _, table, _ in blocks(source, sample)]
    cell = np.concatenate([np.zeros(0, np.uint32), *kept])
    cell.sort()  # then counting is fast
    opens = np.flatnonzero(np.diff(cell, prepend=np.uint32(cells)))
    counts = np.zeros(cells, np.uint8)
    counts[cell[opens]] = np.minimum(np.diff(opens, append=len(cell)), 255)
    return counts


def _prefixes(ordered: U64, shows: Rows, kinds: U64, rows: Rows, row_bits: int) -> U64:
    """Entries of a few sets, whose members come rarest first."""
    shift = np.uint64(row_bits + PLACE_BITS)
    place = np.arange(int(shows.max(initial=0)))
    member = (ordered[:, : len(place)] << np.uint64(64 - HASH_BITS)) + kinds[:, None]
    entries: U64 = (member >> shift << shift) | (rows.astype(np.uint64) << np.uint64(PLACE_BITS))[:, None]
    entries |= np.minimum(place, (1 << PLACE_BITS) - 1).astype(np.uint64)  # a nearer place only rules out less
    return entries[place < shows[:, None]]


def _rename(entries: U64, rows: Rows, row_bits: int) -> None:
    """Name rows by their place in `rows`."""
    moved = np.empty(len(rows), np.uint64)
    moved[rows] = ((np.arange(len(rows)) - rows) << PLACE_BITS).astype(np.uint64)
    for start in range(0, len(entries), ENTRIES):
        some = entries[start : start + ENTRIES]
        some += moved[((some >> np.uint64(PLACE_BITS)) & np.uint64((1 << row_bits) - 1)).view(np.int64)]
