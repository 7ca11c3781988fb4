"""All pairs of sets with a Jaccard similarity from a floor on, without comparing all pairs: exact, nothing is overlooked.

Pairs are looked up in an index of each set's rarest members. Sizes, the places of the shared member in both prefixes and
bitmaps, first narrow, then wide, rule out most of the pairs so found; the rest are measured.

Source: Xiao et al. (2011), Efficient similarity joins for near-duplicate detection (place filter, shorter prefixes of the
smaller set).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.text.similarity.measures import U64, Floats, Rows, jaccard, maybe_alike
from curate.text.similarity.set_index import ENTRIES, PLACE_BITS, Index, places, prefix
from curate.text.similarity.shingles import SetSource, maps, sets

LOOKED = 1 << 14  # pairs looked at together: their working memory stays in cache
MEASURED = 1 << 15  # pairs whose sets are in memory at a time
GLANCES = 32  # pairs whose places are compared in the time that one takes whose bitmaps are
EPSILON = 1e-6  # a float32 of a size is nearer than this share of it: rather one pair too many
WIDE = 32  # words of a bitmap that still tells long sets apart

Alike = tuple[Rows, Rows, Floats]


def pairs(index: Index, old: NDArray[np.bool_] | None = None, limit: int | None = None) -> Alike | None:
    """Pairs of rows, a < b, and their similarity, from the floor on; each once, in order.

    Args:
        index: of the rows to compare.
        old: by row; where given, only pairs of an old and a new row.
        limit: give up, returning None, where more pairs than this would have to be looked at.
    """
    seen = glances = 0
    codes = [np.zeros(0, np.uint64)]
    sizes, bounds = index.sizes[index.rows], _bounds(index)
    side = np.zeros(len(sizes), np.bool_) if old is None else old[index.rows]
    for entries in _groups(index):
        for one, two, compared in _batches(_sharing(index, entries, bounds)):
            across = (one != two) if old is None else side[one] != side[two]  # cut short, two members of a set may be the same
            one, two = one[across], two[across]
            seen, glances = seen + len(one), glances + compared
            if limit is not None and max(seen, glances // GLANCES) > limit:
                return None
            for start in range(0, len(one), LOOKED):
                a, b = one[start : start + LOOKED], two[start : start + LOOKED]
                both = index.maps.take(a, axis=0), index.maps.take(b, axis=0)
                maybe = np.flatnonzero(maybe_alike((sizes[a], sizes[b]), both, index.floor))
                codes.append(_packed(index.rows[a[maybe]], index.rows[b[maybe]]))
    a, b = _unpacked(_distinct(np.concatenate(codes)))
    score = likeness(index.source, index.sizes, a, b, index.floor)
    near = score >= index.floor
    return a[near], b[near], score[near]


def likeness(source: SetSource, sizes: Rows, a: Rows, b: Rows, floor: float) -> Floats:
    """Jaccard similarity of pairs of rows of `source`, whose sets are of these sizes; 0 where it is below the floor."""
    score = np.zeros(len(a))
    for start in range(0, len(a), MEASURED):
        some = slice(start, start + MEASURED)
        used, one, two = _used(a[some], b[some])
        wide = maps(source, used, WIDE)
        both = sizes[used[one]], sizes[used[two]]
        maybe = np.flatnonzero(maybe_alike(both, (wide.take(one, axis=0), wide.take(two, axis=0)), floor))
        used, one, two = _used(used[one[maybe]], used[two[maybe]])
        score[start + maybe] = jaccard(sets(source, used), one, two)
    score[score < floor] = 0
    return score


def _used(a: Rows, b: Rows) -> tuple[Rows, Rows, Rows]:
    """The rows that stand in pairs, and the pairs by their places there."""
    used, place = np.unique(np.concatenate([a, b]), return_inverse=True)
    return used, place[: len(a)], place[len(a) :]


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


@dataclass(frozen=True)
class _Bounds:
    """What the place of a shared member must keep to, by place in `index.rows`.

    Of two sets of a and b members that share c = (a + b) * floor / (1 + floor), the floor is just reached. With the rarest that
    they share at places i and j, both a - i and b - j are at least c.

    Attributes:
        part: a * floor / (1 + floor).
        room: the rest of a: what i and the other's part may make up together.
        shows: how many members a set need show to those that are no smaller.
    """

    part: NDArray[np.float32]
    room: NDArray[np.float32]
    shows: NDArray[np.float32]


def _bounds(index: Index) -> _Bounds:
    sizes = index.sizes[index.rows]
    part = sizes * (index.floor / (1 + index.floor))
    room = sizes - part + EPSILON * (1 + sizes)
    shows = prefix(sizes, 2 * index.floor / (1 + index.floor))
    return _Bounds(part.astype(np.float32), room.astype(np.float32), shows.astype(np.float32))


def _sharing(index: Index, entries: U64, bounds: _Bounds) -> Iterator[tuple[Rows, Rows, int]]:
    """Places of pairs that share a member and, by where it stands in both prefixes, may reach the floor; not each only once.

    Entries of one member stand together, so comparing entries with their neighbours, then with those two apart, and so on, finds
    all pairs without a list of them.

    Args:
        index: whose entries they are.
        entries: some groups.
        bounds: of all sets.

    Yields:
        Places in `index.rows`, the smaller set's first, and how many pairs were compared to find them.
    """
    member, row, place = index.member(entries), index.row(entries), places(entries).astype(np.float32)
    group = np.zeros(len(entries), np.int32)
    np.cumsum(member[1:] != member[:-1], out=group[1:])
    part = bounds.part.take(row)
    spare = bounds.room.take(row)
    spare -= place
    shown = np.where(place < bounds.shows.take(row), spare, np.float32(-1))
    count = np.bincount(group)
    step, narrow, widest = 1, 4, int(count.max(initial=0))
    while step < widest:
        if step == narrow:  # now and then leave out the groups that have no pair that far apart
            wide = np.flatnonzero(np.repeat(count > step, count))
            group, row, part, spare, shown = group[wide], row[wide], part[wide], spare[wide], shown[wide]
            count = np.bincount(group)
            narrow *= 4
        enough = group[step:] == group[:-step]
        enough &= shown[:-step] >= part[step:]
        enough &= spare[step:] >= part[:-step]
        first = np.flatnonzero(enough)
        yield row[first], row[first + step], len(enough)
        step += 1


def _batches(pairs: Iterator[tuple[Rows, Rows, int]]) -> Iterator[tuple[Rows, Rows, int]]:
    """The same, at least `LOOKED` pairs at a time, but for the last."""
    one: list[Rows] = []
    two: list[Rows] = []
    waiting = looked = 0
    for a, b, compared in pairs:
        one.append(a)
        two.append(b)
        waiting += len(a)
        looked += compared
        if waiting >= LOOKED or looked > GLANCES * LOOKED:
            yield np.concatenate(one), np.concatenate(two), looked
            one, two, waiting, looked = [], [], 0, 0
    if one:
        yield np.concatenate(one), np.concatenate(two), looked


def glued(index: Index) -> Rows:
    """A group for each set, named by its least row: sets that reach the floor are in one group, if need be through others.

    Where sets are too many that share a rare member, they are in one group without being measured.
    """
    count = len(index.rows)
    alike = pairs(index, limit=many(count))
    if alike is not None:
        return components(alike[0], alike[1], count)
    row, member = index.rows[index.row(index.entries)], index.member(index.entries)
    tied = member[1:] == member[:-1]
    return components(row[:-1][tied], row[1:][tied], count)


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


def _packed(a: Rows, b: Rows) -> U64:
    return (np.minimum(a, b).astype(np.uint64) << np.uint64(32)) | np.maximum(a, b).astype(np.uint64)


def _unpacked(pairs: U64) -> tuple[Rows, Rows]:
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _distinct(numbers: U64) -> U64:
    """Sorted, each once."""
    numbers.sort()
    return numbers[np.concatenate([[True], numbers[1:] != numbers[:-1]])] if len(numbers) else numbers
