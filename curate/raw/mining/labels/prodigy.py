"""Prodigy's exports: a label, and whether the annotator took it: {"label": "TOXIC", "answer": "accept"}."""

from __future__ import annotations

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.columns import decision_column, plain_name
from curate.raw.mining.labels.question import Columns, Question

CHOSEN = ("accept", "label")  # a choice among several stands in a list, a question of one label in "label"
OF_SIDE = {True: "toxic", False: "non-toxic"}


def questions(columns: Columns) -> list[Question]:
    """The one question, where decisions stand beside a label."""
    decision = decision_column(columns)
    label = next((column for name in CHOSEN for column in columns if plain_name(column) == name), None)
    if decision is None or label is None:
        return []
    return [Question("prodigy", "label", (label, decision))]


def answers(fields: Fields, question: Question, policy: Policy) -> list[Json]:
    """The label where it was accepted, its opposite where it was rejected, nothing where it was ignored.

    Who rejects "hate" has not said that a text is harmless: only a label of toxicity as a whole has an opposite.
    """
    label, decision = (fields.get(column) for column in question.columns)
    decided = str(decision).strip().casefold()
    if decided == "accept":
        return [label]
    of_label = policy.label("", label if not isinstance(label, list) else None)
    if decided != "reject":
        return []
    return [None if of_label.toxic is None or of_label.category is not None else OF_SIDE[not of_label.toxic]]
