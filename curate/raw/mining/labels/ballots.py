"""A list of what each annotator said: [{"annotator": "w1", "label": "toxic"}, {"annotator": "w2", "label": "ok"}]."""

from __future__ import annotations

from collections.abc import Mapping

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.columns import leaf, plain_name
from curate.raw.mining.labels.label_names import speaker_in
from curate.raw.mining.labels.question import Columns, Question
from curate.raw.mining.labels.words import LABEL, PEOPLE, WHOLE
from curate.raw.mining.names import NAMES

COLUMNS = ("annotators", "judgements", "judgments", *NAMES["votes"])


def questions(columns: Columns) -> list[Question]:
    """A question for each label that the objects of a column of votes hold."""
    names: dict[tuple[str, str], None] = {}
    for column, values in columns.items():
        if plain_name(leaf(column)) in COLUMNS or PEOPLE.intersection(plain_name(leaf(column)).split("_")):
            ballots = [ballot for value in values if isinstance(value, list) for ballot in value if isinstance(ballot, dict)]
            names |= {(column, name): None for ballot in ballots for name in ballot if _asks(name)}
    outer = {column: column.rpartition(".")[0] for column, _ in names}
    return [Question("ballots", f"{outer[column]}.{name}".strip("."), (column,)) for column, name in names]


def answers(fields: Fields, question: Question, _: Policy) -> list[Json]:
    """What every person among the annotators said."""
    ballots = fields.get(question.columns[0])
    people = [one for one in ballots if isinstance(one, dict) and not _by_machine(one)] if isinstance(ballots, list) else []
    return [one[leaf(question.name)] for one in people if one.get(leaf(question.name)) is not None]


def _asks(name: str) -> bool:
    words = set(plain_name(name).split("_"))
    return bool(words & (LABEL | WHOLE)) and not words & {"id", "time", "source"}


def _by_machine(ballot: Mapping[str, Json]) -> bool:
    return any(speaker_in(cell) == "machine" for cell in ballot.values() if isinstance(cell, str) and len(cell.split()) == 1)
