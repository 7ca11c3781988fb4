"""Argilla's exports: people's responses, of which only the submitted ones count, beside a model's suggestion.

Flat, {"toxicity.responses": ["toxic"], "toxicity.responses.status": ["submitted"]}; nested, {"responses": {"toxicity":
[{"value": "toxic", "status": "submitted"}]}}; and of older versions, {"toxicity": [{"value": ..., "status": ...}]}.
"""

from __future__ import annotations

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.labels.question import Columns, Question

RESPONSES = "responses"
SUBMITTED = "submitted"


def questions(columns: Columns) -> list[Question]:
    """A question for each column of responses."""
    asked: list[Question] = []
    for column, values in columns.items():
        parts = column.split(".")
        nested = any(_are_responses(value) for value in values)
        if parts[-1] == RESPONSES and len(parts) > 1 and (nested or any(isinstance(value, list) for value in values)):
            asked.append(Question("argilla", ".".join(parts[:-1]), (column,)))
        elif nested:
            asked.append(Question("argilla", ".".join(part for part in parts if part != RESPONSES) or column, (column,)))
    return asked


def answers(fields: Fields, question: Question, _: Policy) -> list[Json]:
    """The values of the responses that were submitted; where no status stands, all were."""
    (column,) = question.columns
    responses, states = fields.get(column), fields.get(f"{column}.status")
    if not isinstance(responses, list):
        return []
    given: list[Json] = []
    for at, response in enumerate(responses):
        value, state = response, states[at] if isinstance(states, list) and at < len(states) else None
        if isinstance(response, dict):
            value, state = response.get("value"), response.get("status")
        if state is None or str(state).casefold() == SUBMITTED:
            given.append(value)
    return given


def _are_responses(value: Json) -> bool:
    """Whether a cell is a list of {"value", "status"} or {"value", "user_id"}."""
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(one, dict) and "value" in one and ("status" in one or "user_id" in one) for one in value)
    )
