"""A question that people answered with a tool, and what a tool's form has to say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json


@dataclass(frozen=True)
class Question:
    """What was asked of every record.

    Attributes:
        maker: the form, a key of `makers.MAKERS`.
        name: the question's, by which the text and the polarity of its answers are told: "is_toxic".
        columns: where the answers stand.
    """

    maker: str
    name: str
    columns: tuple[str, ...]


Columns: TypeAlias = Mapping[str, Sequence[Json]]
"""Column -> what a table's first records hold in it."""


@dataclass(frozen=True)
class Maker:
    """A form.

    Attributes:
        questions: those that a table asks; none where it is not in this form.
        answers: of a record, one for each person who handed one in.
    """

    questions: Callable[[Columns], list[Question]]
    answers: Callable[[Fields, Question, Policy], list[Json]]
