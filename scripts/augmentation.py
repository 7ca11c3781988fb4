"""Other dresses for a training text: what it says stays, how it sounds changes, alike for toxic and harmless rows.

A labeler that has seen particles, clipped spellings and lower case on both sides cannot take them for toxicity.
"""

from __future__ import annotations

import random
import re

PARTICLES = (
    *("lah", "la", "leh", "lor", "lo", "liao", "meh", "mah", "hor", "sia", "siah", "ah", "eh", "what", "one", "already", "bah"),
    *("loh", "lah sia", "sia lah", "one leh", "liao lor", "right", "can", "bro", "sis", "uncle"),
)
OPENERS = (
    *("walao", "wah", "aiyo", "aiyah", "alamak", "eh", "wah lau eh", "haha", "huh", "bro", "oi", "oh ya", "ya lah", "ok lor"),
    "actually hor",
)
SPELLINGS = dict(
    pair.split("=")
    for pair in (
        "you=u your=ur are=r the=de that=dat this=dis don't=dun not=nt very=damn already=liao with=wif what=wat because=cos"
        " then=den they=dey them=dem like=lidat now=nw never=neber going=gg to=2 for=4 people=ppl so=damn"
        " really=damn is= a= an= does= have=got"
    ).split()
)
MARKS = {"a": "@4*", "e": "3*", "i": "1!*", "o": "0*", "u": "*v", "s": "$5"}


def dress(text: str, seed: str) -> str:
    """One rendering of a text; the same seed gives the same one.

    About half of the texts stay as they are; the rest get a particle, an opener, clipped spellings, lower case or masked letters.
    """
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    kind = rng.random()
    if kind < 0.45:
        return text
    if kind < 0.65:
        return particle(text, rng.choice(PARTICLES))
    if kind < 0.85:
        text = _clip(text, rng)
        text = f"{rng.choice(OPENERS)} {text}" if rng.random() < 0.4 else text
        return particle(text, rng.choice(PARTICLES)) if rng.random() < 0.6 else text
    if kind < 0.93:
        return _mask(text, rng)
    return text.lower().rstrip(".!?")


def particle(text: str, word: str) -> str:
    """Append a particle before the closing marks: "No way!" becomes "No way lah!"."""
    body, marks = re.fullmatch(r"(.*?)([\s.!?…]*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # it always fits
    return f"{body} {word}{marks}"


def _clip(text: str, rng: random.Random) -> str:
    """Clip common words as texters do, and drop little ones."""
    kept = []
    for word in text.split():
        short = SPELLINGS.get(word.casefold())
        kept.append(word if short is None or rng.random() < 0.35 else short)
    return " ".join(word for word in kept if word).lower()


def _mask(text: str, rng: random.Random) -> str:
    """Mask one letter in about a third of the longer words, rude or not."""

    def masked(match: re.Match[str]) -> str:
        word = match[0]
        places = [at for at in range(1, len(word) - 1) if word[at].lower() in MARKS]
        if not places or rng.random() > 0.35:
            return word
        at = rng.choice(places)
        return word[:at] + rng.choice(MARKS[word[at].lower()]) + word[at + 1 :]

    return re.sub(r"[A-Za-z]{4,}", masked, text)
