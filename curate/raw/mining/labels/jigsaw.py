"""Jigsaw's columns, one for each kind of toxicity: toxic where any says 1, not judged where one says -1."""

from __future__ import annotations

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.columns import plain_name
from curate.raw.mining.labels.question import Columns, Question

WHOLE = ("toxic", "toxicity")
KINDS = ("threat", "identity_hate", "identity_attack", "insult", "sexual_explicit", "obscene", "severe_toxic", "severe_toxicity")
"""Kinds of toxicity; of several that a text has, the first names its category."""
FEWEST = 3  # kinds beside the whole, by which the form is told
WORDS = {"sexual_explicit": "sexual"}  # where the policy has another word for a kind
JUDGED = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


def questions(columns: Columns) -> list[Question]:
    """The one question, where the columns are there and hold nothing but decisions."""
    names = {plain_name(column): column for column in columns}
    whole = [names[name] for name in WHOLE if name in names]
    kinds = [names[name] for name in KINDS if name in names]
    there = [*whole, *kinds]
    if not whole or len(kinds) < FEWEST or not all(_decided(value) for column in there for value in columns[column]):
        return []
    return [Question("jigsaw", whole[0], tuple(there))]


def answers(fields: Fields, question: Question, _: Policy) -> list[Json]:
    """The name of the kind, "toxic" where only the whole is, "non-toxic" where nothing is."""
    sides = {plain_name(column): JUDGED.get(str(fields.get(column)).strip().casefold()) for column in question.columns}
    if None in sides.values():
        return []
    kinds = [name for name in (*KINDS, *WHOLE) if sides.get(name)]
    return [WORDS.get(kinds[0], kinds[0]) if kinds else "non-toxic"]


def _decided(value: Json) -> bool:
    return value is None or str(value).strip().casefold() in (*JUDGED, "-1", "-1.0", "")
