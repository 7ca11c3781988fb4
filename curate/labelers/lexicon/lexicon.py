"""Label texts by the rude words in them: the lists that ship, or terms of your own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.config import config
from curate.core.contracts import Schema
from curate.core.schema import digest
from curate.labelers.lexicon.obfuscation import fits, masked, readings
from curate.labelers.lexicon.terms import Term, bundled_terms, own_terms
from curate.labelers.scoring import Scores, policy_categories, score_columns, score_rows

THRESHOLD = 0.5


@config
class Lexicon:
    """The chance that at least one of the terms in a text makes it toxic, each by its weight: 1 - the product of (1 - weight).

    A term counts once, as a whole word or phrase; a term within a longer one that is found too does not count. Case, width and
    runs of spaces never count; digits for letters, look-alike letters, stretched, spaced and masked words are read through. It
    knows words and not what is said with them: a quotation, a reclaimed word and an insult score alike, and an insult in plain
    words scores 0. A blank text is 0 as well: it holds no term.

    Args:
        terms: a UTF-8 file, one term or phrase a line, each of weight 1; without it the lists that ship (`wordlists/`): English
            by severity, Singlish, some Chinese, Filipino and Hindi.

    Raises:
        RecipeError: the file cannot be read, or holds no term.
    """

    terms: Path | None = None
    VERSION: ClassVar[int] = 2

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("completion",)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return score_columns("lexicon", self.categories)

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that its terms are tagged with; none for terms of your own."""
        return () if self.terms else policy_categories([term.category for term in bundled_terms() if term.category])

    @property
    def models(self) -> tuple[str, ...]:
        """Digest of the terms, in whatever order the file has them."""
        return (digest(*(f"{term.text}\t{term.weight}\t{term.category}" for term in self._terms)),)

    @property
    def threshold(self) -> float:
        """One term of this weight is enough; of your own terms, any."""
        return THRESHOLD

    @property
    def trained_on(self) -> tuple[str, ...]:
        """None: weights are the lists' own severities."""
        return ()

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """In [0, 1] for each text, shape (n,)."""
        return self.scores(texts)[:, 0]

    def scores(self, texts: Sequence[str]) -> Scores:
        """Toxic and the categories, shape (n, 1 + categories)."""
        matcher = _matcher(self._terms)
        place = {category: at for at, category in enumerate(self.categories, start=1)}
        clean = np.ones((len(texts), 1 + len(place)))
        for at, text in enumerate(texts):
            for term in matcher.find(text):
                clean[at, 0] *= 1.0 - term.weight
                if term.category in place:
                    clean[at, place[term.category]] *= 1.0 - term.weight
        return np.asarray(1.0 - clean, np.float32)

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_lexicon` and one column per category."""
        return score_rows(rows, self.writes, None, self.scores)

    @property
    def _terms(self) -> tuple[Term, ...]:
        return own_terms(self.terms) if self.terms else bundled_terms()


@cache
def _matcher(terms: tuple[Term, ...]) -> _Matcher:
    return _Matcher(terms)


class _Matcher:
    """Finds terms in a text, in the order of the list."""

    def __init__(self, terms: tuple[Term, ...]) -> None:
        import ahocorasick

        self._automaton: Any = ahocorasick.Automaton()
        self._words: dict[tuple[str, int], list[int]] = defaultdict(list)  # single words by first letter and length
        for at, term in enumerate(terms):
            self._automaton.add_word(term.text, at)
            if term.text.isascii() and term.text.isalpha():
                self._words[term.text[0], len(term.text)].append(at)
        self._automaton.make_automaton()
        self._terms = terms

    def find(self, text: str) -> list[Term]:
        """Each term that is there, once."""
        places: set[int] = set()
        for reading in readings(text):
            places.update(at for at, _, _ in self._outermost(reading))
            for word in masked(reading):
                fitting = [at for at in self._words[word[0], len(word)] if fits(word, self._terms[at].text)]
                places.update(sorted(fitting, key=lambda at: -self._terms[at].weight)[:1])  # one word was meant
        return [self._terms[at] for at in sorted(places)]

    def _outermost(self, reading: str) -> list[tuple[int, int, int]]:
        """Term, start and end of matches that lie in no longer one."""
        spans = sorted(self._whole(reading), key=lambda span: (span[1], -span[2]))
        kept: list[tuple[int, int, int]] = []
        for span in spans:
            if not kept or span[2] > kept[-1][2]:
                kept.append(span)
        return kept

    def _whole(self, reading: str) -> Iterator[tuple[int, int, int]]:
        padded = f" {reading} "
        for end, at in self._automaton.iter(padded):
            start = end + 1 - len(self._terms[at].text)
            if not (_joined(padded[start - 1], padded[start]) or _joined(padded[end], padded[end + 1])):
                yield at, start, end + 1


def _joined(left: str, right: str) -> bool:
    """Whether two characters belong to one word; Chinese writes words without a gap."""
    return _wordlike(left) and _wordlike(right) and not ("\u3400" <= left <= "\u9fff" or "\u3400" <= right <= "\u9fff")


def _wordlike(character: str) -> bool:
    return character.isalnum() or character == "_"
