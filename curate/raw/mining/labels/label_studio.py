"""Label Studio's JSON exports: {"annotations": [{"result": [{"from_name": "toxicity", "value": {"choices": ["Toxic"]}}]}]}.

An annotation that was cancelled is no answer; `predictions` beside them are a machine's.
"""

from __future__ import annotations

from collections.abc import Iterator

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.labels.question import Columns, Question

ANNOTATIONS = ("annotations", "completions")  # the latter before version 1.0


def questions(columns: Columns) -> list[Question]:
    """A question for each name of choices in a column of annotations."""
    names: dict[tuple[str, str], None] = {}
    for column, values in columns.items():
        if column in ANNOTATIONS:
            for value in values:
                names |= {(column, _name(result)): None for annotation in _each(value) for result in _results(annotation)}
    return [Question("label_studio", name, (column,)) for column, name in names]


def answers(fields: Fields, question: Question, policy: Policy) -> list[Json]:
    """What every annotator chose; of several choices by one the side that all that say something are on."""
    given: list[Json] = []
    for annotation in _each(fields.get(question.columns[0])):
        for result in _results(annotation):
            if _name(result) == question.name:
                given.append(_one(_choices(result), question.name, policy))
    return given


def _each(value: Json) -> Iterator[dict[str, Json]]:
    """The annotations that were handed in."""
    for annotation in value if isinstance(value, list) else []:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled") and not annotation.get("skipped"):
            yield annotation


def _results(annotation: dict[str, Json]) -> Iterator[dict[str, Json]]:
    results = annotation.get("result")
    for result in results if isinstance(results, list) else []:
        if isinstance(result, dict) and _choices(result):
            yield result


def _choices(result: dict[str, Json]) -> list[Json]:
    value = result.get("value")
    choices = value.get("choices") if isinstance(value, dict) else None
    return choices if isinstance(choices, list) else []


def _name(result: dict[str, Json]) -> str:
    """The question's name, after the text's where that says more than "text": "prompt.safety"."""
    to_name, from_name = str(result.get("to_name") or ""), str(result.get("from_name") or "label")
    return f"{to_name}.{from_name}" if to_name else from_name


def _one(choices: list[Json], name: str, policy: Policy) -> Json:
    sides = {policy.label(name, choice).toxic: choice for choice in reversed(choices)}
    sides.pop(None, None)
    return next(iter(sides.values())) if len(sides) == 1 else None if sides else choices[0]
