"""Terms that a lexicon looks for: the lists that ship, encoded so that nobody reads slurs by accident, or a file of one's own."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from curate.core.errors import RecipeError, StorageError
from curate.core.shipped import located
from curate.core.store import write_bytes
from curate.labelers.lexicon.obfuscation import plain

WORDLISTS = Path(__file__).with_name("wordlists")
SUFFIX = ".terms"
LISTS = ("own", "surge", "ldnoobw", "wiktionary")
"""Where two hold a term, the earlier one counts: it says more about it."""


@dataclass(frozen=True)
class Term:
    """A word or phrase.

    Attributes:
        text: as `obfuscation.plain` leaves it.
        weight: probability, in (0, 1], that its presence alone makes a text toxic.
        category: of the policy; None where the term says nothing about it.
    """

    text: str
    weight: float
    category: str | None


def encode(terms: list[Term]) -> bytes:
    """Bytes of a list that ships."""
    lines = [[term.text, term.weight, term.category] for term in sorted(terms, key=lambda term: term.text)]
    return zlib.compress(json.dumps(lines, ensure_ascii=False, separators=(",", ":")).encode("utf-8"), 9)


def write_list(path: Path, terms: list[Term]) -> None:
    """Write a list that ships."""
    write_bytes(path, encode(terms))


@cache
def bundled_terms() -> tuple[Term, ...]:
    """All lists that ship.

    Raises:
        StorageError: a list is missing or damaged.
    """
    by_text: dict[str, Term] = {}
    for name in LISTS:
        path = WORDLISTS / f"{name}{SUFFIX}"
        try:
            lines = json.loads(zlib.decompress(path.read_bytes()))
            terms = [Term(str(text), float(weight), category) for text, weight, category in lines]
        except (OSError, ValueError, zlib.error):
            raise StorageError(f"{path}: cannot be read", hint="install the project again") from None
        for term in terms:
            by_text.setdefault(term.text, term)
    return tuple(by_text[text] for text in sorted(by_text))


def own_terms(path: Path) -> tuple[Term, ...]:
    """Terms of a file, one a line, each of weight 1 and without a category.

    Raises:
        RecipeError: the file cannot be read, or holds no term.
    """
    try:
        lines = located(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise RecipeError(f"lexicon: terms: {path}: cannot be read ({error.strerror})", hint="check the path") from None
    except UnicodeDecodeError:
        raise RecipeError(f"lexicon: terms: {path}: not UTF-8 text", hint="save it as UTF-8") from None
    terms = tuple(Term(text, 1.0, None) for text in sorted({plain(line) for line in lines} - {""}))
    if not terms:
        raise RecipeError(f"lexicon: terms: {path}: holds no term", hint="write one a line")
    return terms
