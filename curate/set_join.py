"""All pairs of sets with a Jaccard similarity from a floor on, without comparing all pairs: exact, nothing is overlooked.

Two sets that are that alike share a member among the rarest few of each (a prefix), however rarity is counted as long as it
is counted alike for all; so only the prefixes are indexed. Sizes, the places of the shared member in both prefixes and
bitmaps rule out most of the pairs so found; the rest are measured.

Source: Chaudhuri, Ganti & Kaushik (2006), A primitive operator for similarity joins (prefix filter); Xiao et al. (2011),
Efficient similarity joins for near-duplicate detection (place filter, shorter prefixes of the smaller set).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.similarity import HASH_BITS, PAIRS, U64, Floats, Rows, Sets, bitmaps, jaccard, maybe_alike, mix, pieces

SAMPLE = 4  # one row in so many is looked at to tell rare members from common
LEAST = 1 << 17  # members that are counted, where there are so many
MOST = 1 << 21
CELLS = 1 << 22  # counters for them, at most
BLOCK = 1 << 10  # sets put in order at a time: their working memory stays in cache, and a row fits 10 bits
COUNT_BITS = 16  # of a count; 10 + 16 bits leave 38 for the member
PLACE_BITS = 8
ENTRIES = 1 << 17  # index entries looked at together: their working memory stays in cache
SLACK = 1e-9  # of a bound in floating point: rather one pair too many

Found = tuple[Rows, Rows, Floats]


def prefix(sizes: Rows, floor: float) -> Rows:
    """How many of its rarest members a set must show: one of them is in any set that reaches the floor with it."""
    return np.asarray(sizes - np.ceil(floor * sizes - SLACK).astype(np.int64) + (sizes > 0), np.int64)


@dataclass(frozen=True)
class Index:
    """Prefixes of all sets, by member.

    Attributes:
        sets: what is compared.
        floor: Jaccard similarity from which on pairs are looked for.
        rows: rows of `sets`, smallest set first; `entries` name them by their place here.
        sizes: of the sets, by place in `rows`.
        entries: ascending; member (high bits), place in `rows`, place in the prefix (low 8 bits).
        maps: bitmaps of the sets, by row.
    """

    sets: Sets
    floor: float
    rows: Rows
    sizes: Rows
    entries: U64
    maps: U64

    @property
    def row_bits(self) -> int:
        """Bits of an entry that name the row."""
        return max(1, len(self.rows).bit_length())


def index(sets: Sets, rows: Rows, kinds: U64, floor: float, maps: U64) -> Index:
    """Put the prefixes of some rows in order.

    Args:
        sets: of all rows.
        rows: those to compare; empty sets are like nothing.
        kinds: one number per row of `rows`; only rows of one kind are compared.
        floor: in (0, 1].
        maps: `bitmaps(sets)`.
    """
    sizes = sets.sizes[rows]
    order = np.argsort(sizes, kind="stable")
    rows, kinds, sizes = rows[order], kinds[order], sizes[order]
    bits = max(1, len(rows).bit_length())
    counts = _counts(sets, rows)
    entries = np.empty(int(prefix(sizes, floor).sum()), np.uint64)
    filled = 0
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        block = _prefixes(sets.take(rows[some]), kinds[some], counts, floor, start, bits)
        entries[filled : filled + len(block)] = block
        filled += len(block)
    entries.sort()
    return Index(sets, floor, rows, sizes, entries, maps)


def _counts(sets: Sets, rows: Rows) -> NDArray[np.uint16]:
    """About how often members occur, by their low bits: of a sample, with collisions. Any order of members would be right."""
    total = int(sets.sizes[rows].sum())
    sample = sets.take(rows[:: 1 + total // min(max(total // SAMPLE, LEAST), MOST)])
    cells = min(CELLS, 1 << len(sample.values).bit_length())
    counts = np.bincount((sample.values & np.uint64(cells - 1)).astype(np.int64), minlength=cells)
    return np.minimum(counts, (1 << COUNT_BITS) - 1).astype(np.uint16)


def _prefixes(block: Sets, kinds: U64, counts: NDArray[np.uint16], floor: float, first: int, row_bits: int) -> U64:
    """Entries of a few sets: their members by count, then by number; the first of them."""
    sizes = block.sizes
    rare = counts[(block.values & np.uint64(len(counts) - 1)).astype(np.int64)].astype(np.uint64)
    member_bits = HASH_BITS - 10
    row = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    packed = (row << np.uint64(54)) | (rare << np.uint64(member_bits)) | (block.values >> np.uint64(HASH_BITS - member_bits))
    packed.sort()
    place = np.arange(len(packed)) - np.repeat(block.starts[:-1], sizes)
    shown = place < np.repeat(prefix(sizes, floor), sizes)
    packed, place = packed[shown], place[shown]
    row = packed >> np.uint64(54)
    member = mix((packed & np.uint64((1 << 54) - 1)) + kinds[row.astype(np.int64)])
    shift = np.uint64(row_bits + PLACE_BITS)
    place = np.minimum(place, (1 << PLACE_BITS) - 1)  # a nearer place only rules out less
    entries: U64 = (member >> shift << shift) | ((row + np.uint64(first)) << np.uint64(PLACE_BITS)) | place.astype(np.uint64)
    return entries


def pairs(index: Index, old: NDArray[np.bool_] | None = None, limit: int | None = None) -> Found | None:
    """Pairs of rows, a < b, and their similarity, from the floor on; each once, in order.

    Args:
        index: of the rows to compare.
        old: by row of `index.sets`; where given, only pairs of an old and a new row.
        limit: give up, returning None, where more pairs than this would have to be looked at.
    """
    seen = 0
    found = [np.zeros(0, np.uint64)]
    every = np.ones(len(index.rows), np.bool_)
    ways = [(every, every)] if old is None else [(old[index.rows], ~old[index.rows]), (~old[index.rows], old[index.rows])]
    shows = prefix(index.sizes, 2 * index.floor / (1 + index.floor))  # of a set that is not the larger of two
    least = np.searchsorted(index.sizes, np.ceil(index.floor * index.sizes - SLACK)).astype(np.uint64)
    for indexed, probing in ways:
        shown = np.where(indexed, shows, 0)
        for entries in _groups(index):
            spans = _spans(index, entries, shown, probing, least)
            seen += int(spans.sizes.sum())
            if limit is not None and seen > limit:
                return None
            found += _maybe(index, spans)
    a, b = _unpacked(_distinct(np.concatenate(found)))
    score = jaccard(index.sets, a, b)
    near = score >= index.floor
    return a[near], b[near], score[near]


@dataclass(frozen=True)
class _Spans:
    """Entries, and for each the stretch of `pool` that holds the same member in a set that is smaller, but not too small."""

    pool: U64
    entries: U64
    first: Rows
    sizes: Rows


def _groups(index: Index) -> Iterator[U64]:
    """The entries, some at a time; all that name one member stay together."""
    member = np.uint64(index.row_bits + PLACE_BITS)
    start, total = 0, len(index.entries)
    while start < total:
        stop = min(start + ENTRIES, total)
        if stop < total:
            after = (index.entries[stop - 1] >> member) + np.uint64(1)
            stop = int(np.searchsorted(index.entries, after << member)) if after << member else total
        yield index.entries[start:stop]
        start = stop


def _spans(index: Index, entries: U64, shows: Rows, probing: NDArray[np.bool_], least: U64) -> _Spans:
    """Look every entry up among those that a smaller set shows; a smaller set needs to show fewer still.

    Args:
        index: whose entries they are.
        entries: some groups.
        shows: how many members of its prefix each row shows.
        probing: which rows look up.
        least: for each row, the first row that is not too small for it.
    """
    row, place = _row(index, entries), (entries & np.uint64((1 << PLACE_BITS) - 1)).astype(np.int64)
    member = entries >> np.uint64(index.row_bits + PLACE_BITS)
    opens = np.concatenate([[True], member[1:] != member[:-1]])
    shown = place < shows[row]
    before: Rows = np.cumsum(shown) - shown
    start = np.maximum.accumulate(np.where(opens, before, 0))
    probes = np.flatnonzero((before > start) & probing[row])
    pool, before, start = entries[shown], before[probes], start[probes]
    wanted = (member[probes] << np.uint64(index.row_bits) | least[row[probes]]) << np.uint64(PLACE_BITS)
    first = np.maximum(np.searchsorted(pool, wanted), start)
    count = np.maximum(before - first, 0)
    some = count > 0
    return _Spans(pool, entries[probes[some]], first[some], count[some])


def _maybe(index: Index, spans: _Spans) -> Iterator[U64]:
    """Pairs that may reach the floor by the places of the member they share, and by bitmap; each packed in one number."""
    sizes, share = index.sizes, index.floor / (1 + index.floor)
    for piece in pieces(spans.sizes, PAIRS, len(spans.sizes)):
        count = spans.sizes[piece]
        entry = np.repeat(spans.entries[piece], count)
        other = spans.pool[np.arange(len(entry)) + np.repeat(spans.first[piece] - (np.cumsum(count) - count), count)]
        one, two = _row(index, other), _row(index, entry)
        left, right = (
            sizes[row] - (each & np.uint64((1 << PLACE_BITS) - 1)).astype(np.int64) for row, each in ((one, other), (two, entry))
        )
        needed = np.ceil(share * (sizes[one] + sizes[two]) - SLACK)
        enough = (np.minimum(left, right) >= needed) & (one != two)
        a, b = _unpacked(_distinct(_packed(index.rows[one[enough]], index.rows[two[enough]])))
        maybe = maybe_alike(index.sets, index.maps, a, b, index.floor)
        yield _packed(a[maybe], b[maybe])


def glued(sets: Sets, floor: float) -> Rows:
    """A group for each set, named by its least row: sets that reach the floor are in one group, if need be through others.

    Where sets are too many that share a rare member, they are in one group without being measured.
    """
    rows = np.flatnonzero(sets.sizes > 0)
    if len(rows) < 2:
        return np.arange(len(sets.starts) - 1)
    whole = index(sets, rows, np.zeros(len(rows), np.uint64), floor, bitmaps(sets))
    found = pairs(whole, limit=many(len(rows)))
    if found is not None:
        return components(found[0], found[1], len(sets.starts) - 1)
    row, member = whole.rows[_row(whole, whole.entries)], whole.entries >> np.uint64(whole.row_bits + PLACE_BITS)
    tied = member[1:] == member[:-1]
    return components(row[:-1][tied], row[1:][tied], len(sets.starts) - 1)


def components(a: Rows, b: Rows, count: int) -> Rows:
    """The least row of each connected component."""
    least = np.arange(count)
    while len(a):
        low = np.minimum(least[a], least[b])
        before = least.copy()
        np.minimum.at(least, a, low)
        np.minimum.at(least, b, low)
        least = least[least]
        if (before == least).all():
            break
    return least


def many(rows: int, least: int = 1 << 22) -> int:
    """Pairs that are too many to look at one by one: those of crowds, not of chance."""
    return 64 * rows + least


def _row(index: Index, entries: U64) -> Rows:
    return ((entries >> np.uint64(PLACE_BITS)) & np.uint64((1 << index.row_bits) - 1)).astype(np.int64)


def _packed(a: Rows, b: Rows) -> U64:
    return (np.minimum(a, b).astype(np.uint64) << np.uint64(32)) | np.maximum(a, b).astype(np.uint64)


def _unpacked(pairs: U64) -> tuple[Rows, Rows]:
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _distinct(numbers: U64) -> U64:
    """Sorted, each once."""
    numbers.sort()
    return numbers[np.concatenate([[True], numbers[1:] != numbers[:-1]])] if len(numbers) else numbers
