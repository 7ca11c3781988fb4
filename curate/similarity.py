"""How alike two rows are: shingle sets, exact Jaccard, exact cosine.

Arrays in, arrays out. Ragged sets are held as `Sets`; pairs as two arrays of rows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5  # characters; words-5, the common default, loses a fifth of near copies of chat-length text
HASH_BITS = 48  # of a shingle: two sets of 40 hold an accidental match once in 10^11 pairs
PAIRS = 1 << 17  # pairs in memory at a time
TEXTS = 1 << 10  # texts cut into shingles at a time: their working memory stays in cache
CACHED = 1 << 16  # numbers that stay in a core's cache while they are worked on
ELEMENTS = 1 << 18  # shingles in memory at a time, while sets are intersected

U64 = NDArray[np.uint64]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


def normalise(text: str) -> str:
    """What two texts must share to be one: case, width, ligatures, composition and spacing do not count; signs do.

    >>> normalise("  Ｃan   LAH ") == normalise("can lah")
    True

    Source: Unicode, D146 (compatibility caseless matching).
    """
    if text.isascii():
        if text.isprintable() and "  " not in text:  # no white space but single spaces: half the time
            return text.strip().lower()
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold())
    return " ".join(unicodedata.normalize("NFKC", folded.casefold()).split())


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
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def shingles(texts: Sequence[str]) -> Sets:
    """The sets of 5-character shingles, hashed; a text of 1 to 4 characters is one shingle, an empty text none.

    Args:
        texts: already normalised.
    """
    blocks = [_shingles(texts[start : start + TEXTS]) for start in range(0, len(texts), TEXTS)] or [_shingles([])]
    sizes = np.concatenate([block.sizes for block in blocks])
    return Sets(np.concatenate([block.values for block in blocks]), np.concatenate([[0], np.cumsum(sizes)]))


PAD = "\x1e"  # counts as white space, so that no normalised text holds it
WEIGHTS = tuple(int(odd) for odd in mix(np.arange(1, SHINGLE + 1, dtype=np.uint64)) | np.uint64(1))


def _shingles(texts: Sequence[str]) -> Sets:
    """A few texts (at most 2^16): a row and a hash share one number, so that one sort makes all the sets."""
    padded = [text if len(text) >= SHINGLE or not text else text.ljust(SHINGLE, PAD) for text in texts]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    whole = "".join(padded)
    if not whole:
        return Sets(np.zeros(0, np.uint64), np.zeros(len(texts) + 1, np.int64))
    narrow = whole.isascii()
    raw = whole.encode() if narrow else whole.encode("utf-32-le", "surrogatepass")
    letters = np.frombuffer(raw, np.uint8 if narrow else np.uint32).astype(np.uint64) + np.uint64(1)
    windows = len(letters) - SHINGLE + 1
    hashed = letters[:windows] * np.uint64(WEIGHTS[0])
    for step in range(1, SHINGLE):
        hashed += letters[step : step + windows] * np.uint64(WEIGHTS[step])
    inside = np.ones(len(letters), np.bool_)  # no window begins in the last letters of a text
    ends = np.cumsum(lengths)[lengths > 0]
    for back in range(1, SHINGLE):
        inside[ends - back] = False
    hashed = mix(hashed[inside[:windows]]) >> np.uint64(64 - HASH_BITS)
    row = np.repeat(np.arange(len(texts), dtype=np.uint64) << np.uint64(HASH_BITS), np.maximum(lengths - SHINGLE + 1, 0))
    packed = hashed | row
    packed.sort()
    packed = packed[np.concatenate([[True], packed[1:] != packed[:-1]])]
    starts = np.searchsorted(packed, np.arange(len(texts), dtype=np.uint64) << np.uint64(HASH_BITS))
    return Sets(packed & np.uint64((1 << HASH_BITS) - 1), np.append(starts, len(packed)))


def set_hashes(sets: Sets) -> U64:
    """One number per set, whatever the order of its members; 0 for the empty set."""
    out = np.empty(len(sets.starts) - 1, np.uint64)
    for piece in pieces(sets.sizes, CACHED, len(out)):
        block = sets.cut(piece)
        out[piece] = _reduce(np.add, mix(block.values + np.uint64(1)), block)
    return out


def bitmaps(sets: Sets, words: int = 4) -> U64:
    """A few machine words per set in which each member sets one bit, shape (n, words).

    Bits that differ between two sets' words are at most as many as members that differ, which makes a bound on Jaccard.

    Source: Sandes, Teodoro & Melo (2020), Bitmap filter.
    """
    out = np.empty((len(sets.starts) - 1, words), np.uint64)
    bits = 64 * words
    for piece in pieces(sets.sizes, CACHED, TEXTS):
        block = sets.cut(piece)
        rows = piece.stop - piece.start
        place = np.repeat(np.arange(rows) * bits, block.sizes) + (block.values % np.uint64(bits)).astype(np.int64)
        seen = np.zeros(rows * bits, np.bool_)
        seen[place] = True
        out[piece] = np.packbits(seen).view(np.uint64).reshape(rows, words)
    return out


def _reduce(how: np.ufunc, values: U64, sets: Sets) -> U64:
    out = np.zeros(len(sets.starts) - 1, np.uint64)
    full = sets.sizes > 0
    if full.any():
        out[full] = how.reduceat(values, sets.starts[:-1][full])
    return out


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


def maybe_alike(sets: Sets, maps: U64, a: Rows, b: Rows, floor: float) -> NDArray[np.bool_]:
    """Which pairs could have a Jaccard similarity of `floor` or more, by size and bitmap: no such pair is ever left out."""
    sizes = sets.sizes
    total = sizes[a] + sizes[b]
    most_different = total * ((1 - floor) / (1 + floor)) + 1e-9  # |A xor B| where Jaccard is exactly `floor`
    maybe = np.asarray(np.abs(sizes[a] - sizes[b]) <= most_different, np.bool_)
    rest = np.flatnonzero(maybe)
    different = np.zeros(len(rest), np.int64)
    for word in range(maps.shape[1]):
        different += np.bitwise_count(maps[a[rest], word] ^ maps[b[rest], word])
    maybe[rest] = different <= most_different[rest]
    return maybe


def pairs_within(groups: U64 | Rows) -> Iterator[tuple[Rows, Rows]]:
    """All pairs of positions that stand in one group, some at a time.

    Args:
        groups: the group of each position, ascending.
    """
    n = len(groups)
    if not n:
        return
    opens = np.concatenate([[True], groups[1:] != groups[:-1]])
    start = np.maximum.accumulate(np.where(opens, np.arange(n), 0))
    earlier = np.arange(n) - start  # how many of its group stand before it
    for piece in pieces(earlier, PAIRS, n):
        count = earlier[piece]
        second = np.repeat(np.arange(piece.start, piece.stop), count)
        first = np.arange(len(second)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start[piece], count)
        if len(second):
            yield first, second


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
