"""The errors that a user can act on: one line, no traceback, an exit code."""

from __future__ import annotations

from typing import ClassVar


class UserError(Exception):
    """A condition that the user can mend: the message says where, what was found, what would do."""

    exit_code: ClassVar[int] = 1


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
