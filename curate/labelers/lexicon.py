"""Label texts by a list of terms of your own."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.contracts import Schema
from curate.errors import RecipeError
from curate.recipe import config
from curate.schema import digest


@config
class Lexicon:
    """1 where a text holds any of the terms as whole words, else 0; case, width and runs of spaces do not count.

    Args:
        terms: a UTF-8 file, one term or phrase a line; empty lines are skipped.

    Raises:
        RecipeError: the file cannot be read, or holds no term.
    """

    terms: Path
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("completion",)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return {"score_lexicon": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """Digest of the terms, in whatever order the file has them."""
        return (digest(*_terms(self.terms)),)

    @property
    def threshold(self) -> float:
        """Any score above 0 is a term found."""
        return 0.5

    @property
    def trained_on(self) -> tuple[str, ...]:
        """None: a list is not trained."""
        return ()

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """1.0 or 0.0 for each text, shape (n,)."""
        automaton = _automaton(_terms(self.terms))
        return np.fromiter((_found(automaton, text) for text in texts), np.float32, len(texts))

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_lexicon`."""
        return pl.DataFrame({"score_lexicon": self.score(rows["completion"].to_list())}, schema=self.writes)


def _terms(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise RecipeError(f"lexicon: terms: {path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise RecipeError(f"lexicon: terms: {path}: not UTF-8 text; save it as UTF-8") from None
    terms = tuple(sorted({_plain(line) for line in lines} - {""}))
    if not terms:
        raise RecipeError(f"lexicon: terms: {path}: holds no term; write one a line")
    return terms


@cache
def _automaton(terms: tuple[str, ...]) -> Any:  # noqa: ANN401 - the library has no types
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for term in terms:
        automaton.add_word(term, len(term))
    automaton.make_automaton()
    return automaton


def _found(automaton: Any, text: str) -> bool:  # noqa: ANN401 - the library has no types
    plain = f" {_plain(text)} "
    return any(
        not (_wordlike(plain[end - size]) and _wordlike(plain[end - size + 1]))
        and not (_wordlike(plain[end + 1]) and _wordlike(plain[end]))
        for end, size in automaton.iter(plain)
    )


def _wordlike(character: str) -> bool:
    return character.isalnum() or character == "_"


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
