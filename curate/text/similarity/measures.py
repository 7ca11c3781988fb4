"""How alike two rows are: shingle sets, exact Jaccard, exact cosine.

Arrays in, arrays out. Ragged sets are held as `Sets`; pairs as two arrays of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HASH_BITS = 48  # of a shingle: two sets of 40 hold an accidental match once in 10^11 pairs
PAIRS = 1 << 17  # pairs in memory at a time
SLACK = 1e-9  # of a bound in floating point: rather one pair too many
ELEMENTS = 1 << 18  # shingles in memory at a time, while sets are intersected

U64 = NDArray[np.uint64]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sets:
    """One set of numbers per row: row i holds `values[starts[i]:starts[i + 1]]`, ascending, no repeats."""

    values: U64
    starts: Rows

    @property
    def sizes(self) -> Rows:
        """Members of each row's set."""
        return np.diff(self.starts)

    def cut(self, piece: slice) -> Sets:
        """The sets of consecutive rows, without a copy."""
        starts = self.starts[piece.start : piece.stop + 1]
        return Sets(self.values[starts[0] : starts[-1]], starts - starts[0])

    def take(self, rows: Rows) -> Sets:
        """The sets of some rows, in their order; a row may come several times."""
        sizes = self.sizes[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        where = np.repeat(self.starts[rows] - starts[:-1], sizes) + np.arange(starts[-1])
        return Sets(self.values[where], starts)


def mix(x: U64) -> U64:
    """Scatter 64-bit numbers so that every bit depends on every bit.

    Source: Steele, Lea & Flood (2014), SplitMix; the finaliser's constants are Stafford's variant 13.
    """
    x = x ^ (x >> np.uint64(30))
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def scattered_sum(table: U64, sizes: Rows) -> U64:
    """One number per row, equal for equal sets: of its members, in any order.

    Args:
        table: shape (rows, longest); all that stands behind a row's size is the same number.
        sizes: of each row.
    """
    each = table * (table + np.uint64(1))  # a square's top bits depend on all of the number
    total: U64 = each.sum(axis=1, dtype=np.uint64) - np.where(sizes < table.shape[1], each[:, -1], np.uint64(0)) * (
        table.shape[1] - sizes
    ).astype(np.uint64)
    return total


def jaccard(sets: Sets, a: Rows, b: Rows) -> Floats:
    """Exact Jaccard similarity of pairs of rows, shape (pairs,), in [0, 1]; two empty sets are equal: 1.

    Args:
        sets: the rows' sets.
        a: first rows.
        b: second rows, same shape.
    """
    sizes = sets.sizes
    total = sizes[a] + sizes[b]
    common = np.zeros(len(a), np.int64)
    most = min(1 << (64 - HASH_BITS), PAIRS)  # a pair's number shares 64 bits with a hash
    for piece in pieces(total, ELEMENTS, most):
        left, right = sets.take(a[piece]), sets.take(b[piece])
        number = np.arange(piece.stop - piece.start, dtype=np.uint64) << np.uint64(HASH_BITS)
        both = np.concatenate([np.repeat(number, s.sizes) | s.values for s in (left, right)])
        both.sort()
        twice = both[1:][both[1:] == both[:-1]] >> np.uint64(HASH_BITS)
        common[piece] = np.bincount(twice.astype(np.int64), minlength=piece.stop - piece.start)
    union = total - common
    return np.asarray(np.divide(common, union, out=np.ones(len(a)), where=union > 0), np.float64)


def maybe_alike(sizes: tuple[Rows, Rows], maps: tuple[U64, U64], floor: float) -> NDArray[np.bool_]:
    """Which pairs could have a Jaccard similarity of `floor` or more, by size and bitmap: no such pair is ever left out.

    Args:
        sizes: of both sets of each pair.
        maps: of both, shape (pairs, words), see `shingles.bitmaps`.
        floor: in (0, 1].
    """
    total = sizes[0] + sizes[1]
    most_different = total * ((1 - floor) / (1 + floor)) + SLACK  # |A xor B| where Jaccard is exactly `floor`
    different = np.einsum("ij->i", np.bitwise_count(maps[0] ^ maps[1]).astype(np.uint16))  # faster than sum(axis=1)
    return np.asarray((np.abs(sizes[0] - sizes[1]) <= most_different) & (different <= most_different), np.bool_)


def pieces(weights: Rows, weight: int, count: int) -> Iterator[slice]:
    """Slices of consecutive items whose weights add up to about `weight` (one item at least), at most `count` items."""
    ends = np.cumsum(weights)
    start = 0
    while start < len(weights):
        before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, before + weight, side="right"))
        stop = min(max(stop, start + 1), start + count)
        yield slice(start, min(stop, len(weights)))
        start = stop


def cosine(vectors: NDArray[np.float32], a: Rows, b: Rows) -> Floats:
    """Cosine of pairs of rows, exact but for the last bit: two zero vectors are equal (1), a zero and another are not (0).

    The values must be float16 numbers of size at most 1, so multiples of 2^-24: their products are multiples of 2^-48, and
    float64 adds a row's worth of them without rounding. No order of summation, block or processor can change the result.

    Args:
        vectors: shape (n, dim), holding float16 values.
        a: first rows.
        b: second rows, same shape.
    """
    out = np.empty(len(a))
    for piece in pieces(np.full(len(a), vectors.shape[1]), ELEMENTS, PAIRS):
        left, right = vectors[a[piece]].astype(np.float64), vectors[b[piece]].astype(np.float64)
        product, left_square, right_square = (
            np.einsum("ij,ij->i", x, y) for x, y in ((left, right), (left, left), (right, right))
        )
        length = np.sqrt(left_square * right_square)
        both_zero = (left_square == 0) & (right_square == 0)
        out[piece] = np.where(both_zero, 1.0, np.divide(product, length, out=np.zeros(len(length)), where=length > 0))
    return out
