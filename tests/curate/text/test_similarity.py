"""Likeness, against what sets and exact arithmetic say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.normalise import normalise
from curate.text.similarity.measures import Sets, cosine, jaccard, maybe_alike
from curate.text.similarity.set_index import index
from curate.text.similarity.shingles import Texts, maps
from curate.text.similarity.shingles import sets as sets_of

few_letters = st.text(alphabet="abc e\u0301é好", max_size=30)
texts = st.lists(few_letters, min_size=2, max_size=12)


def shingles(many: list[str]) -> Sets:
    return sets_of(Texts(pl.Series(many, dtype=pl.String)), np.arange(len(many)))


def plain_shingles(text: str) -> set[str]:
    if len(text) < 5:
        return {text} if text else set()
    return {text[start : start + 5] for start in range(len(text) - 4)}


def plain_jaccard(a: str, b: str) -> float:
    one, other = plain_shingles(a), plain_shingles(b)
    return len(one & other) / len(one | other) if one | other else 1.0


def every_pair(count: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.triu_indices(count, 1)
    return a.astype(np.int64), b.astype(np.int64)


@given(texts)
@settings(max_examples=150, deadline=None)
def test_jaccard_is_that_of_the_sets_of_shingles(many: list[str]) -> None:
    a, b = every_pair(len(many))
    found = jaccard(shingles(many), a, b)
    assert found.tolist() == [plain_jaccard(many[i], many[j]) for i, j in zip(a, b, strict=True)]


@given(texts)
@settings(max_examples=100, deadline=None)
def test_jaccard_is_symmetric_and_one_exactly_for_equal_sets(many: list[str]) -> None:
    sets = shingles(many)
    a, b = every_pair(len(many))
    there, back = jaccard(sets, a, b), jaccard(sets, b, a)
    assert (there == back).all()
    equal = [plain_shingles(many[i]) == plain_shingles(many[j]) for i, j in zip(a, b, strict=True)]
    assert (there == 1).tolist() == equal
    hashes = index(Texts(pl.Series(many)), np.zeros(len(many), np.uint64), 0.5).hashes
    assert (hashes[a] == hashes[b]).tolist() == equal


@given(texts, st.sampled_from([0.3, 0.65, 0.8, 1.0]))
@settings(max_examples=100, deadline=None)
def test_the_quick_filter_never_loses_a_pair(many: list[str], floor: float) -> None:
    sets, source = shingles(many), Texts(pl.Series(many))
    a, b = every_pair(len(many))
    reaches = jaccard(sets, a, b) >= floor
    for words in (1, 4):
        bits = maps(source, np.arange(len(many)), words)
        assert (maybe_alike((sets.sizes[a], sets.sizes[b]), (bits[a], bits[b]), floor) | ~reaches).all()


def test_a_text_shorter_than_a_shingle_is_one_shingle_and_an_empty_one_none() -> None:
    sets = shingles(["", "k", "lah!", "hello", "hellos", ""])
    assert sets.sizes.tolist() == [0, 1, 1, 1, 2, 0]
    assert jaccard(sets, np.array([0, 0, 3]), np.array([5, 1, 4])).tolist() == [1.0, 0.0, 0.5]


def test_no_text_at_all_is_no_set() -> None:
    assert shingles([]).sizes.tolist() == []


def test_more_texts_than_one_block_holds_keep_their_places() -> None:
    many = [f"text number {index}" for index in range(3000)]
    sets = shingles(many)
    last = shingles(many[-1:])
    assert sets.values[sets.starts[-2] :].tolist() == last.values.tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Can LAH", "can  lah "),
        ("ｃａｎ lah", "can lah"),
        ("cafe\u0301", "café"),
        ("ﬁne", "fine"),
        ("STRASSE", "straße"),
        ("a\u3000b", "a b"),
    ],
)
def test_case_width_composition_and_spacing_do_not_count(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_signs_and_emoji_count() -> None:
    assert len({normalise(text) for text in ("ok", "ok.", "ok!", "ok \N{THUMBS UP SIGN}", "o k")}) == 5


@given(st.text(max_size=20))
@settings(max_examples=300)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def half(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def test_a_cosine_is_exact_whatever_the_order_of_its_terms() -> None:
    random = np.random.default_rng(0)
    vectors = half(random.normal(size=(40, 384)))
    a, b = every_pair(40)
    straight = cosine(vectors, a, b)
    assert (straight == cosine(np.ascontiguousarray(vectors[:, random.permutation(384)]), a, b)).all()
    product = sum(Fraction(float(x)) * Fraction(float(y)) for x, y in zip(vectors[0], vectors[1], strict=True))
    lengths = [sum(Fraction(float(x)) ** 2 for x in vectors[row]) for row in (0, 1)]
    assert straight[0] == float(product) / np.sqrt(float(lengths[0]) * float(lengths[1]))


def test_two_vectors_of_nothing_are_equal_and_one_is_unlike_any_other() -> None:
    vectors = np.array([[0, 0], [0, 0], [1, 0]], np.float32)
    assert cosine(vectors, np.array([0, 0]), np.array([1, 2])).tolist() == [1.0, 0.0]


def test_spacing_counts_for_nothing_whichever_white_space_it_is() -> None:
    for space in (" ", "  ", "\t", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", " \t "):
        assert normalise(f"{space}Go{space}HOME{space}") == "go home"
    assert normalise("a\x7fB\x00") == "a\x7fb\x00"
