"""Which replies decline: not toxic, but a model that learns to answer so to everything has learnt nothing.

One function, for what is built and for what is measured. It goes by phrases, which are tables: `refusals.yaml` here has those of
English and its neighbours, a variety's folder those that are its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from curate.varieties import VARIETIES, variety_folder

OPENING = 160  # characters: a refusal says so at once; "I can't" further on is mostly part of an answer
COMMON = Path(__file__).with_suffix(".yaml")

_APOSTROPHES = re.compile("[\u2018\u2019\u02bc`\u00b4\u2032\uff07]")
_QUOTED = re.compile(r"\"[^\"]*(?:\"|$)")
_LONG = {f"{verb}{end}": f"{verb} not" for verb in "do does did is are could would should must".split() for end in ("n't", "nt")}
_LONG |= {"can't": "cannot", "cant": "cannot", "can 't": "cannot", "won't": "will not", "wont": "will not"}
_LONG |= {
    "i'm": "i am",
    "im": "i am",
    "i'd": "i would",
    "i'll": "i will",
    "we're": "we are",
    "we'd": "we would",
    "we'll": "we will",
}
_LONG |= {f"{word}{end}": f"{word} is" for word in ("it", "that", "this") for end in ("'s", "s")} | {"let's": "let us"}
del _LONG["its"], _LONG["thiss"]  # a word of its own, and none
_SHORT = re.compile(rf"\b(?:{'|'.join(_LONG)})\b")
_CLAUSE = re.compile(r"(?:^|[.,;:!?()\u2013\u2014\u3002\uff0c\uff01\uff1f-])\W*")


@dataclass(frozen=True)
class Phrase:
    """One way to decline.

    Attributes:
        name: what the table calls it.
        pattern: a regular expression over `plain` text, where a clause begins.
        example: a reply that declines so.
    """

    name: str
    pattern: str
    example: str


def refuses(reply: str, variety: str | None = None) -> bool:
    """Whether a reply opens by declining; what it goes on to say does not count.

    A reply that declines a part of what was asked and answers the rest opens so too. One that says what a machine lacks, then
    answers, does not.

    Args:
        reply: any text.
        variety: whose phrases count beside the common ones; None, where it is not known, those of every variety.

    Raises:
        RecipeError: no variety of that name.

    Example:
        >>> refuses("I'm sorry, but I can't help with that."), refuses("I can't help laughing at that.")
        (True, False)
        >>> refuses("Sorry hor, this one cannot anyhow say.", variety="singlish")
        True
    """
    text, declines = plain(reply), _pattern(variety)
    return any(declines.match(text, clause.end()) for clause in _CLAUSE.finditer(text))


def plain(reply: str) -> str:
    """The opening of a reply as phrases are written.

    >>> plain("That's  all; I CAN`T come.")
    'that is all; i cannot come.'
    """
    text = _APOSTROPHES.sub("'", reply[:OPENING]).casefold().translate({0x201C: '"', 0x201D: '"'}).strip()
    text = _QUOTED.sub("", " ".join(text.removeprefix('"').split()))
    return _SHORT.sub(lambda short: _LONG[short[0]], text)


@cache
def phrases(variety: str | None = None) -> tuple[Phrase, ...]:
    """The common phrases, then those of a variety, or of every one.

    Raises:
        RecipeError: no variety of that name.
    """
    words: dict[str, str] = {}
    return tuple(phrase for path in _tables(variety) for phrase in _read(path, words))


def _tables(variety: str | None) -> list[Path]:
    own = [variety_folder(name) / COMMON.name for name in (VARIETIES if variety is None else [variety])]
    return [COMMON, *(path for path in own if path.exists())]


def _read(path: Path, words: dict[str, str]) -> list[Phrase]:
    """The phrases of a table; its words join those of the tables before it."""
    table = yaml.safe_load(path.read_bytes())

    def spelt(pattern: str) -> str:
        return re.sub(r"\{([a-z]+)\}", lambda match: words[match[1]], pattern)

    for word, pattern in table["words"].items():
        words[word] = spelt(pattern)
    return [Phrase(line["name"], spelt(line["pattern"]), line["example"]) for line in table["phrases"]]


@cache
def _pattern(variety: str | None) -> re.Pattern[str]:
    words: dict[str, str] = {}
    _read(COMMON, words)
    return re.compile(f"{words['opens']}(?:{'|'.join(phrase.pattern for phrase in phrases(variety))})")
