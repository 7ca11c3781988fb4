"""Shared 8-grams, near copies and neighbours are what plain Python says they are, all of them and no other."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from curate.text.normalise import normalise
from curate.text.similarity import overlap

WORDS = "the lift is spoilt again so must climb all eleven storeys with two bags of rice and one fish lah sia wah".split()


def edited(text: str, dice: random.Random) -> str:
    words = text.split()
    for _ in range(dice.choice((0, 1, 3, 9))):
        words[dice.randrange(len(words))] = dice.choice(WORDS)
    return dice.choice(("{}", "{}!", "Wah, {}", "{} can or not?")).format(" ".join(words))


def corpus(seed: int) -> tuple[list[str], list[str]]:
    dice = random.Random(seed)
    items = [" ".join(dice.choices(WORDS, k=dice.randint(1, 30))) for _ in range(40)]
    texts = [edited(dice.choice(items), dice) for _ in range(150)]
    return [
        *texts,
        "",
        "k",
        "a\0b",
        "今天 so tired, 不想 go out already!",
        "ＷＩＤＥ letters and the lift is spoilt again so must",
    ], [
        *items,
        "",
        "ok",
        "wide letters and the lift is spoilt again so must",
    ]


def grams(text: str) -> set[object]:
    words = "".join(letter if letter.isalnum() else " " for letter in normalise(text)).split()
    return {tuple(words[at : at + 8]) for at in range(len(words) - 7)}


def shingled(text: str) -> set[object]:
    text = normalise(text)
    return {text[at : at + 5] for at in range(len(text) - 4)}


def smaller(a: set[object], b: set[object]) -> float:
    return len(a & b) / min(len(a), len(b)) if a and b else 0.0


def jaccard(a: set[object], b: set[object]) -> float:
    return len(a & b) / len(a | b) if a and b else 0.0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("floor", [0.3, 0.8, 1.0])
@pytest.mark.parametrize(
    ("find", "cut", "measure"),
    [(overlap.shared_grams, grams, smaller), (overlap.near_copies, shingled, jaccard)],
    ids=["grams", "near"],
)
def test_what_overlaps_is_found_and_nothing_else(
    find: Callable[..., overlap.Overlap],
    cut: Callable[[str], set[object]],
    measure: Callable[..., float],
    floor: float,
    seed: int,
) -> None:
    texts, items = corpus(seed)
    found = find(texts, items, floor)
    told = {(int(a), int(b)): float(score) for a, b, score in zip(found.text, found.item, found.score, strict=True)}
    true = {
        (a, b): score
        for a, text in enumerate(texts)
        for b, item in enumerate(items)
        if (score := measure(cut(text), cut(item))) >= floor
    }
    assert true and told == pytest.approx(true, abs=1e-6)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, items = corpus(2)
    whole = [find(texts, items, 0.6) for find in (overlap.shared_grams, overlap.near_copies)]
    monkeypatch.setattr(overlap, "TEXTS", 7)
    for before, find in zip(whole, (overlap.shared_grams, overlap.near_copies), strict=True):
        after = find(texts, items, 0.6)
        assert sorted(zip(before.text, before.item, before.score, strict=True)) == sorted(
            zip(after.text, after.item, after.score, strict=True)
        )


def test_a_phrase_that_many_texts_hold_is_no_leak() -> None:
    phrase = "please be informed that your parcel is on the way"
    items = [f"{phrase} to the blue gate"]
    few = [f"{phrase} number {at}" for at in range(overlap.COMMON)]
    assert set(overlap.shared_grams(few, items, 0.5).text) == set(range(overlap.COMMON))
    assert not len(overlap.shared_grams([*few, f"{phrase} number none"], items, 0.5).text)


def test_nothing_overlaps_nothing() -> None:
    for find in (overlap.shared_grams, overlap.near_copies):
        for texts, items in (([], []), (["a long enough text for one gram of eight words"], []), ([], ["one two three"])):
            assert not len(find(texts, items, 0.5).text)
    none = np.zeros((0, 4), np.float32)
    assert not len(overlap.neighbours(none, none, 0.5).text)


def test_neighbours_are_exact_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    items = draw.normal(size=(30, 16))
    many = np.concatenate([items + draw.normal(size=(30, 16)) * spread for spread in (0.0, 0.1, 0.3)])
    items, many = ((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16).astype(np.float32) for x in (items, many))
    items[3] = many[5] = 0
    cosine = many.astype(np.float64) @ items.T.astype(np.float64)
    lengths = np.linalg.norm(many.astype(np.float64), axis=1)[:, None] * np.linalg.norm(items.astype(np.float64), axis=1)
    true = np.argwhere(np.divide(cosine, lengths, out=np.zeros_like(cosine), where=lengths > 0) >= 0.9)
    for side, head in ((4096, 48), (7, 48), (4096, 4), (7, 2)):
        monkeypatch.setattr(overlap, "SIDE", side)
        monkeypatch.setattr(overlap, "HEAD", head)
        found = overlap.neighbours(many, items, 0.9)
        assert np.stack([found.text, found.item], axis=1).tolist() == true.tolist()
