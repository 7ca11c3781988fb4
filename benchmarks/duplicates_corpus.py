"""Made-up short texts with planted copies, and what is true of them.

About 15 words (log-normal, 3 to 4 % under 5), words by Zipf's law, particles at the end. Three rows in ten copy an earlier
one: word for word, with cosmetic changes, or with 3 to 40 % of their characters edited. Likeness is the exact Jaccard
similarity of character 5-gram sets, worked out with plain Python sets.
"""

from __future__ import annotations

import random

from curate.text.normalise import normalise

PARTICLES = ("lah", "leh", "lor", "sia", "meh", "hor", "one", "")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def corpus(count: int, seed: int = 0, first: int = 0) -> tuple[list[str], dict[int, int]]:
    """Texts, and for each copy the row it copies.

    Args:
        count: of texts.
        seed: of the vocabulary, and of all else.
        first: another number, another corpus of the same vocabulary.
    """
    dice = random.Random(seed)
    vocabulary = ["".join(dice.choices(LETTERS, k=min(12, 1 + int(dice.lognormvariate(1.5, 0.4))))) for _ in range(20_000)]
    if first:
        dice = random.Random(f"{seed} {first}")
    weights = [1 / (rank + 2.7) for rank in range(len(vocabulary))]
    words = iter(dice.choices(vocabulary, weights, k=count * 30))
    texts: list[str] = []
    source: dict[int, int] = {}
    for row in range(count):
        if row and dice.random() < 0.3:
            source[row] = dice.randrange(row)
            texts.append(copy(texts[source[row]], dice))
        else:
            length = min(100, max(1, round(dice.lognormvariate(2.55, 0.6))))
            texts.append(" ".join([*(next(words) for _ in range(length)), dice.choice(PARTICLES)]).strip())
    return texts, source


def copy(text: str, dice: random.Random) -> str:
    """A copy: identical, cosmetic or edited, a third each."""
    kind = dice.randrange(3)
    if kind == 0:
        return text
    if kind == 1:
        return dice.choice((text.upper(), text.capitalize(), text + "!", text.replace(" ", "  "), text + " "))
    letters = list(text)
    for _ in range(max(1, round(len(letters) * dice.uniform(0.03, 0.4)))):
        letters[dice.randrange(len(letters))] = dice.choice(LETTERS)
    return "".join(letters)


def shingle_set(text: str) -> frozenset[str]:
    """Character 5-grams of the normalised text; a shorter text is one."""
    text = normalise(text)
    return frozenset(text[i : i + 5] for i in range(max(1, len(text) - 4)))


def likeness(one: str, other: str) -> float:
    """Exact Jaccard similarity of character 5-gram sets."""
    a, b = shingle_set(one), shingle_set(other)
    return len(a & b) / len(a | b)
