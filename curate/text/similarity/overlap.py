"""Which of many texts overlap a few others: shared word 8-grams, near copies, neighbours by vector.

How training is compared with evaluation sets. Texts and arrays in, arrays out; each of the three is exact: a hash or a float32
product only finds what may count.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.text.normalise import normalise
from curate.text.similarity import measures as similarity
from curate.text.similarity.measures import Rows, mix
from curate.text.similarity.set_join import likeness
from curate.text.similarity.shingles import SHINGLE, Texts, sets

WORDS = 8  # of a gram; shorter runs are phrases that people share
ANCHORS = 8  # shingles that a near copy must share of an item's rarest
COMMON = 100  # texts: what stands in more of them is a phrase of the trade, not a leak
TEXTS = 1 << 12  # texts looked through at a time: their characters stay in a core's cache
SAMPLE = 2_000  # texts that say which shingles are rare
SIDE = 1024  # rows of one block of products
HEAD = 48  # coordinates of a vector that are compared first
SLACK = 1e-4  # a float32 product of two unit vectors is nearer than this to the exact one
_BITS = 20  # of the table that most grams are turned away at

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
Hashes = NDArray[Any]
_PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Overlap:
    """Pairs that overlap.

    Attributes:
        text: places in the many.
        item: places in the few.
        score: in [0, 1]; what it measures is the function's.
    """

    text: Rows
    item: Rows
    score: NDArray[np.float32]


def shared_grams(texts: Sequence[str], items: Sequence[str], floor: float) -> Overlap:
    """Texts and items that share runs of 8 words. Signs, case and spacing do not count.

    The score is the share of the smaller set of 8-grams that the other holds: 1 where one text contains the other. A gram
    that more than 100 of the texts hold counts for nothing.

    Args:
        texts: the many.
        items: the few; one of fewer than 8 words shares nothing.
        floor: least score, in (0, 1].
    """
    gram, item = _distinct_grams(items)
    order = np.lexsort((item, gram))
    gram, item = gram[order], item[order]
    known, first, holders = np.unique(gram, return_index=True, return_counts=True)
    table = _table(known)
    blocks: list[tuple[Rows, Rows]] = []
    for start, piece in _pieces(texts):
        grams, owner = _grams(piece)
        maybe = np.flatnonzero(table[_slot(grams)])
        place, hit = _find(known, grams[maybe])
        blocks.append((owner[maybe[hit]] + start, place))
    owner, place = (np.concatenate(column) for column in zip(*blocks, strict=True)) if blocks else _nothing()
    owner, place, _ = _unique_pairs(owner, place)
    holding: Rows = np.bincount(place, minlength=len(known))
    rare = np.flatnonzero(holding[place] <= COMMON)
    owner, place = owner[rare], place[rare]
    count = holders[place]
    text = np.repeat(owner, count)
    offset = np.arange(len(text)) - np.repeat(np.cumsum(count) - count, count)
    other = item[np.repeat(first[place], count) + offset]
    text, other, common = _unique_pairs(text, other)
    sizes = np.bincount(item, minlength=len(items))
    hit_texts = np.unique(text)
    own = np.bincount(_distinct_grams([texts[at] for at in hit_texts])[1], minlength=len(hit_texts))
    score = common / np.minimum(sizes[other], own[np.searchsorted(hit_texts, text)])
    enough = score >= floor
    return Overlap(text[enough], other[enough], score[enough].astype(np.float32))


def near_copies(texts: Sequence[str], items: Sequence[str], floor: float) -> Overlap:
    """Texts and items whose sets of 5-character shingles have a Jaccard similarity of `floor` or more: all of them.

    Of an item's n shingles, a text that reaches the floor lacks at most n - floor * n; so of any n - floor * n + 8 it has 8. The
    rarest are taken, and only texts with 8 of those are compared.

    Args:
        texts: the many.
        items: the few.
        floor: least similarity, in (0, 1].

    Source: Chaudhuri, Ganti & Kaushik (2006), A primitive operator for similarity joins in data cleaning (prefix filter).
    """
    windows, owner = _distinct_windows([normalise(text) for text in items])
    known, place = np.unique(windows, return_inverse=True)
    step = max(1, len(texts) // SAMPLE)
    seen = _find(known, _windows(_letters(texts[::step]))[0])[0]
    often = np.bincount(seen, minlength=len(known))
    order = np.lexsort((place, often[place], owner))
    sizes = np.bincount(owner, minlength=len(items))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shared = np.ceil(floor * sizes - 1e-9).astype(np.int64)  # by any text that reaches the floor
    least = np.minimum(shared, ANCHORS)
    needed = sizes - shared + least
    chosen = order[rank < needed[owner[order]]]
    anchor, item = windows[chosen], owner[chosen]
    order = np.lexsort((item, anchor))
    anchor, item = anchor[order], item[order]
    known, first, holders = np.unique(anchor, return_index=True, return_counts=True)
    table = _table(known)
    blocks: list[tuple[Rows, Rows]] = []
    for start, piece in _pieces(texts):
        hashed, ends = _windows(_letters(piece))
        maybe = np.flatnonzero(table[_slot(hashed)])
        where, hit = _find(known, hashed[maybe])
        text, where = _unique_pairs(np.searchsorted(ends, maybe[hit]), where)[:2]
        count = holders[where]
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        text, other, hits = _unique_pairs(np.repeat(text, count), item[np.repeat(first[where], count) + offset])
        enough = hits >= least[other]
        blocks.append((text[enough] + start, other[enough]))
    text, other = (np.concatenate(column) for column in zip(*blocks, strict=True)) if blocks else _nothing()
    return _measured(texts, items, text, other, floor)


def neighbours(vectors: NDArray[np.float32], items: NDArray[np.float32], floor: float) -> Overlap:
    """Rows of `vectors` (n, dim) and of `items` (m, dim) whose cosine is `floor` or more; zero vectors have no neighbour.

    Both hold float16 values, as encoders give them; the result does not depend on blocks.
    """
    blocks: list[tuple[Rows, Rows, NDArray[np.float32]]] = []
    few = _unit(items)
    said: NDArray[np.bool_] = np.asarray(items.any(axis=1))
    for start in range(0, len(vectors), SIDE):
        block = vectors[start : start + SIDE]
        a, b = _maybe_near(_unit(block), few, floor - SLACK)
        spoken = said[b] & block[a].any(axis=1)
        a, b = a[spoken], b[spoken]
        used = np.unique(a)
        both = np.concatenate([block[used], items])
        score = similarity.cosine(both, np.searchsorted(used, a), b + len(used))
        near = score >= floor
        blocks.append((a[near] + start, b[near], score[near].astype(np.float32)))
    if not blocks:
        return Overlap(*_nothing(), np.zeros(0, np.float32))
    text, item = (np.concatenate([piece[at] for piece in blocks]) for at in (0, 1))
    return Overlap(text, item, np.concatenate([piece[2] for piece in blocks]))


def _maybe_near(many: NDArray[np.float32], few: NDArray[np.float32], floor: float) -> tuple[Rows, Rows]:
    """Pairs of unit vectors whose float32 product reaches the floor.

    The product of a few coordinates and that of the lengths of the rest (Cauchy and Schwarz) are no less than the whole
    product; with a high floor they rule out nearly all pairs for an eighth of the work.
    """
    head, other = _headed(many), _headed(few)
    flat = np.flatnonzero(head @ other.T >= floor)
    if HEAD * len(flat) > many.shape[0] * few.shape[0]:  # rules out too little
        a, b = np.nonzero(many @ few.T >= floor)
        return a, b
    a, b = np.divmod(flat, max(1, len(few)))
    near = np.concatenate(
        [
            np.einsum("ij,ij->i", many[a[some]], few[b[some]]) >= floor
            for some in (slice(at, at + SIDE) for at in range(0, len(a), SIDE))
        ]
        or [np.zeros(0, bool)]
    )
    return a[near], b[near]


def _headed(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first coordinates, and the length of the rest."""
    rest = np.sqrt(np.einsum("ij,ij->i", unit[:, HEAD:], unit[:, HEAD:]))
    return np.column_stack([unit[:, :HEAD], rest])


def _measured(texts: Sequence[str], items: Sequence[str], text: Rows, item: Rows, floor: float) -> Overlap:
    """Candidate pairs with their exact Jaccard similarity, those below the floor left out."""
    used = np.unique(text)
    both = Texts(pl.Series([normalise(one) for one in itertools.chain((texts[at] for at in used), items)], dtype=pl.String))
    sizes = sets(both, np.arange(len(both.lengths))).sizes
    score = likeness(both, sizes, np.searchsorted(used, text), item + len(used), floor)
    near = score >= floor
    return Overlap(text[near], item[near], score[near].astype(np.float32))


def _pieces(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    for start in range(0, len(texts), TEXTS):
        yield start, texts[start : start + TEXTS]


def _nothing() -> tuple[Rows, Rows]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64)


def _table(known: Hashes) -> NDArray[np.bool_]:
    table = np.zeros(1 << _BITS, bool)
    table[_slot(known)] = True
    return table


def _slot(hashed: Hashes) -> Hashes:
    return np.asarray(hashed >> hashed.dtype.type(8 * hashed.itemsize - _BITS))


def _find(known: Hashes, asked: Hashes) -> tuple[Rows, Rows]:
    """Of some numbers, the places in `known` (ascending) of those that stand there, and which those are."""
    if not len(known):
        return _nothing()
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    hit = np.flatnonzero(known[place] == asked)
    return place[hit], hit


def _unique_pairs(a: Rows, b: Rows) -> tuple[Rows, Rows, Rows]:
    """Different pairs in order, and how often each was there; both below 2^31."""
    code, count = np.unique((a.astype(np.int64) << 32) | b, return_counts=True)
    return code >> 32, code & 0xFFFFFFFF, count


def _letters(texts: Sequence[str]) -> U32:
    """Code points of texts as `normalise` leaves them (but for spaces at the ends), each text followed by a zero."""
    joined = "\0".join([text if text.isascii() else normalise(text) for text in texts]).lower() + "\0" * bool(texts)
    if joined.count("\0") != len(texts):  # a text holds one itself
        return _letters([text.replace("\0", " ") for text in texts])
    code = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    blank = _BLANK[np.minimum(code, len(_BLANK) - 1)]
    code = np.where(blank, np.uint32(32), code)
    doubled = blank.copy()
    doubled[1:] &= blank[:-1]
    return np.asarray(code[~doubled], np.uint32)


_BLANK = np.array([chr(code).isspace() for code in range(129)])


def _windows(code: U32) -> tuple[U32, Rows]:
    """A short hash of every 5 neighbouring code points, and where each text ends."""
    count = max(0, len(code) - SHINGLE + 1)
    hashed = code[:count].copy()
    for step in range(1, SHINGLE):
        hashed *= np.uint32(0x9E3779B1)
        hashed += code[step : count + step]
    hashed *= np.uint32(0x9E3779B1)
    return hashed, np.flatnonzero(code == 0)


def _distinct_windows(texts: Sequence[str]) -> tuple[U32, Rows]:
    """Each text's different windows, and the text of each."""
    hashed, ends = _windows(_letters(texts))
    at = np.arange(len(hashed))
    owner = np.searchsorted(ends, at)
    inside = at + SHINGLE - 1 < ends[np.minimum(owner, len(ends) - 1)] if len(ends) else np.zeros(0, bool)
    return _distinct(hashed[inside], owner[inside])


def _grams(texts: Sequence[str]) -> tuple[U64, Rows]:
    """A hash of every 8 neighbouring words of a text, and the text of each."""
    code = _letters(texts)
    letter = _is_letter(code)
    opens = np.flatnonzero(letter & ~np.concatenate([[False], letter[:-1]]))
    if len(opens) < WORDS:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    first = opens[0]
    place = np.arange(first, len(code)) - np.repeat(opens, np.diff(np.append(opens, len(code))))
    weighed = code[first:] * letter[first:] * _POWERS[np.minimum(place, len(_POWERS) - 1)]
    word = mix(np.add.reduceat(weighed, opens - first))
    owner = np.searchsorted(np.flatnonzero(code == 0), opens)
    count = len(word) - WORDS + 1
    hashed = np.zeros(count, np.uint64)
    for step in range(WORDS):
        hashed += word[step : count + step] * _POWERS[step]
    whole = owner[:count] == owner[WORDS - 1 :]
    return mix(hashed[whole]), owner[:count][whole]


with np.errstate(over="ignore"):
    _POWERS = np.cumprod(np.full(64, _PRIME))  # odd, so none is lost; letters of a word after the 64th share one


def _is_letter(code: U32) -> NDArray[np.bool_]:
    """Letters and digits: what words are made of."""
    known = _ALNUM[np.minimum(code, np.uint32(len(_ALNUM) - 1))]
    for rare in np.unique(code[code >= len(_ALNUM) - 1]):
        known[code == rare] = chr(int(rare)).isalnum()
    return known


_ALNUM = np.array([chr(code).isalnum() for code in range(0x250)] + [False])


def _distinct_grams(texts: Sequence[str]) -> tuple[U64, Rows]:
    """Each text's different grams, and the text of each."""
    hashed, owner = _grams(texts)
    return _distinct(hashed, owner)


def _distinct(hashed: Hashes, owner: Rows) -> tuple[Hashes, Rows]:
    order = np.lexsort((hashed, owner))
    hashed, owner = hashed[order], owner[order]
    new = np.ones(len(order), bool)
    new[1:] = (hashed[1:] != hashed[:-1]) | (owner[1:] != owner[:-1])
    return hashed[new], owner[new]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12))[:, None], np.float32)
