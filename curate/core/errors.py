"""The errors that a user can act on: what is wrong, a hint, an exit code; no traceback."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable
from typing import ClassVar


class UserError(Exception):
    """A condition that the user can mend.

    Args:
        problem: where it is and what was found there, in one line.
        hint: what would do. The command line prints it on a line of its own.

    Example:
        >>> from curate.core.errors import RecipeError
        >>> raise RecipeError("recipes/x.yaml: seed: expected a whole number, found 'one'", hint="write seed: 1")
        Traceback (most recent call last):
        curate.core.errors.RecipeError: recipes/x.yaml: seed: expected a whole number, found 'one'; write seed: 1
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.hint = problem, hint

    def __str__(self) -> str:
        """Both in one line, as logs and ledgers keep them."""
        return self.problem if self.hint is None else f"{self.problem}; {self.hint}"


class RecipeError(UserError):
    """A recipe or a command line that does not say what is needed."""

    exit_code: ClassVar[int] = 2


class DataError(UserError):
    """Input data that cannot give what was asked of it."""

    exit_code: ClassVar[int] = 3


class NonFiniteError(UserError):
    """Training met NaN or infinity and stopped."""

    exit_code: ClassVar[int] = 65


class StorageError(UserError):
    """A file that cannot be read or written, or whose checksum is wrong."""

    exit_code: ClassVar[int] = 74


def require(package: str, extra: str, where: str) -> None:
    """Ask for a package that only an extra brings, before the work that needs it begins.

    Args:
        package: as it is imported.
        extra: of ours that brings it.
        where: what needs it.

    Raises:
        RecipeError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise RecipeError(f"{where}: {package} is not installed", hint=f"pip install 'margins[{extra}]'")


MOST_NAMED = 30  # words that a hint lists


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint for a word that is not known: the known one nearest to it, else all that are known.

    Args:
        word: what was written.
        known: what would have done.

    Example:
        >>> nearest("treshold", ["threshold", "window"])
        "did you mean 'threshold'?"
        >>> nearest("x", ["threshold", "window"])
        'one of threshold, window'
    """
    words = sorted(known) if isinstance(known, (set, frozenset)) else list(known)
    close = difflib.get_close_matches(word, words, n=1)
    more = " ..." if len(words) > MOST_NAMED else ""
    return f"did you mean {close[0]!r}?" if close else f"one of {', '.join(words[:MOST_NAMED])}{more}"
