"""What a column's name says of the label in it: of which text it speaks, and whether people or a machine gave it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from curate.raw.files.records import Json
from curate.raw.mining.columns import leaf, plain_name, text_name
from curate.raw.mining.labels.words import (
    COMPLETION,
    CONTAINERS,
    LABEL,
    MACHINE,
    PEOPLE,
    PROMPT,
    SCORES,
    SHARES,
    SPEAKING,
    WHOLE,
)

Subject: TypeAlias = Literal["prompt", "completion", "both"]
Speaker: TypeAlias = Literal["people", "machine", "score"]

MOST_NAMES = 4_096  # of columns that are remembered: records ask again and again
MOST_SHARES = 2  # different fractions in a column that may be shares of votes; more are a machine's scores
MOST_VOTERS = 20  # of whom a fraction of three decimals and more may be a share

_KNOWN = MACHINE | SCORES | PEOPLE | PROMPT | COMPLETION | LABEL | WHOLE
_ELSE = (CONTAINERS | PROMPT | COMPLETION | MACHINE | PEOPLE) - LABEL  # of a part that says who, or of what

_WHOSE_TEXT = re.compile(rf"(?<=_)(?:{'|'.join(sorted(SPEAKING))})_(?=(?:{'|'.join(sorted(COMPLETION))})_)")


@dataclass(frozen=True)
class LabelName:
    """What the words of a column's name say.

    Attributes:
        text: the column of a text whose name it repeats, or beside which it is nested; None for none.
        subject: the kind of text that other words name; None where none does.
        speaker: whose word it is; None where the name does not say it.
        words: those of the last part that say neither.
        rest: the last part without what names a text: "votes" of "response_votes".
    """

    text: str | None
    subject: Subject | None
    speaker: Speaker | None
    words: tuple[str, ...]
    rest: str = ""

    @property
    def bare(self) -> bool:
        """Whether it names no text."""
        return self.text is None and self.subject is None


@lru_cache(MOST_NAMES)
def asked(column: str) -> str:
    """The part of a dotted column that says what was asked: "toxicity" of "toxicity.responses" and of "toxicity.human"."""
    parts = column.split(".")
    return next((part for part in reversed(parts) if not _ELSE.issuperset(_split(plain_name(part)))), leaf(column))


def label_name(column: str, texts: Collection[str] = ()) -> LabelName:
    """Read a column's name.

    Args:
        column: dotted where it is nested.
        texts: the columns that hold the table's texts.

    Example:
        >>> label_name("userInputToxicity", ["user_input", "model_output"])
        LabelName(text='user_input', subject=None, speaker=None, words=('toxicity',), rest='toxicity')
        >>> label_name("gpt4 response label").speaker, label_name("response.human_label").subject
        ('machine', 'completion')
    """
    return _label_name(column, tuple(sorted(texts)))


@lru_cache(MOST_NAMES)
def _label_name(column: str, texts: tuple[str, ...]) -> LabelName:
    parts = column.split(".")
    text, subject = None, None
    for at in reversed(range(len(parts))):
        text, rest = _repeated(parts[at], texts)
        subject = _subject(_split(rest))
        if text is not None and subject is not None:
            text, subject = None, "both"  # it names a text, and a word of another
        text = text if subject else text or _beside(".".join(parts[:at]), texts)
        if text is not None or subject is not None:
            break
    words = {part: _split(_repeated(part, texts)[1]) for part in parts}
    speaker = speaker_of([word for some in words.values() for word in some])
    return LabelName(text, subject, speaker, _own(words[asked(column)]), _rest(asked(column), texts))


def speaker_of(words: Sequence[str]) -> Speaker | None:
    """Whose word it is, by words: a machine's where any says so, else people's, else a number of nobody's."""
    if MACHINE.intersection(words):
        return "machine"
    if PEOPLE.intersection(words) or SHARES.intersection(words):
        return "people"
    return "score" if SCORES.intersection(words) else None


def speaker_in(cell: Json) -> Speaker | None:
    """Whose word it is, by a cell that tells it: "llm_jury" is a machine, "A12" somebody."""
    return speaker_of(_split(plain_name(str(cell)))) if cell is not None else None


def is_score(values: Sequence[Json]) -> bool:
    """Whether numbers between 0 and 1 are a machine's: more different ones than a few people's votes give, or finer ones."""
    fractions = {text for value in values if (text := _fraction(value)) is not None}
    return len(fractions) > MOST_SHARES or any(map(_too_fine, fractions))


def has_decimals(values: Sequence[Json]) -> bool:
    """Whether any cell is a number from 0 to 1 that is written with decimals, such as 0.0."""
    return any(re.fullmatch(r"[01]?[.,]\d+(?:e-?\d+)?|\d(?:\.\d+)?e-\d+", str(value).strip().casefold()) for value in values)


def is_fraction(value: Json) -> bool:
    """Whether a cell is a number between 0 and 1."""
    return _fraction(value) is not None


def _repeated(part: str, texts: Collection[str]) -> tuple[str | None, str]:
    """The column whose name a part of a label's name repeats, the longest, and the rest."""
    plain = f"_{plain_name(part)}_"
    names = {plain_name(name): column for column in texts for name in (column, text_name(column))}
    for name in sorted(names, key=lambda name: (-len(name), name)):
        if f"_{name}_" in plain:
            return names[name], plain.replace(f"_{name}_", "_", 1)
    return None, plain


def _beside(outer: str, texts: Collection[str]) -> str | None:
    """The one text within the same object."""
    inside = [text for text in texts if text.rpartition(".")[0] == outer]
    return inside[0] if len(inside) == 1 and len(texts) > 1 else None


def _split(plain: str) -> list[str]:
    """Words, digits aside; whose text it is goes with the text."""
    words = re.findall(r"[^\W\d_]+", _WHOSE_TEXT.sub("", f"_{plain.strip('_')}_"))
    return [part for word in words for part in _halves(word)]


@lru_cache(MOST_NAMES)
def _halves(word: str) -> tuple[str, ...]:
    """A word that is two known ones, written as one: "promptlabel"."""
    if word not in _KNOWN:
        for at in range(2, len(word) - 1):
            if word[:at] in _KNOWN and word[at:] in _KNOWN:
                return word[:at], word[at:]
    return (word,)


def _subject(words: Sequence[str]) -> Subject | None:
    prompt, completion = bool(PROMPT.intersection(words)), bool(COMPLETION.intersection(words))
    if prompt and completion:
        return "both"
    return "prompt" if prompt else "completion" if completion else None


def _own(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in PROMPT | COMPLETION | MACHINE | SCORES | (PEOPLE - {"annotation", "gold"}))


def _rest(part: str, texts: Collection[str]) -> str:
    words = _repeated(part, texts)[1].strip("_").split("_")
    return "_".join(word for word in words if word not in PROMPT | COMPLETION)


def _fraction(value: Json) -> str | None:
    """A number between 0 and 1 as it is written."""
    text = "" if isinstance(value, bool) else str(value).strip().replace(",", ".", 1)
    try:
        return text if 0 < float(text) < 1 else None
    except ValueError:
        return None


def _too_fine(fraction: str) -> bool:
    """Whether it has three decimals or more and is no share of a few people."""
    decimals = len(fraction.partition(".")[2])
    if decimals < 3 and "e" not in fraction.casefold():
        return False
    number, error = float(fraction), 10.0 ** -max(3, min(decimals, 6))
    return all(abs(number - round(number * voters) / voters) > error for voters in range(2, MOST_VOTERS + 1))
