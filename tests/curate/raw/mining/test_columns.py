from __future__ import annotations

from typing import Any

import pytest

from curate.core.policy import load_policy
from curate.raw.mining.columns import RULES, Bindings, TableSample, bind, flat
from curate.raw.sources import SourceSettings


def bound(columns: dict[str, list[Any]]) -> Bindings:
    rows = max(map(len, columns.values()))
    return bind(TableSample("a.csv", "csv", SourceSettings(match="*"), load_policy(), rows, columns), RULES)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prompt": ["how are you"], "reply": ["fine lah"]}, {"prompt": ("prompt",), "completion": ("reply",)}),
        ({"user": ["ann"], "text": ["how are you"]}, {"author": ("user",), "text": ("text",)}),  # who speaks
        ({"user": ["how are you"], "bot_response": ["fine lah"]}, {"prompt": ("user",), "completion": ("bot_response",)}),
        ({"context": ["how are you"], "response": ["ok"]}, {"prompt": ("context",), "completion": ("response",)}),
        ({"reply": ["one text by itself"]}, {"completion": ("reply",), "text": ("reply",)}),
        ({"votes": [12], "body": ["hi"]}, {"text": ("body",)}),  # up-votes
        ({"votes": ["ok;toxic"], "body": ["hi"]}, {"text": ("body",), "votes": ("votes",)}),
        ({"a": ["x"], "notes": ["the one column of many words"]}, {"text": ("notes",)}),
    ],
)
def test_columns_play_the_roles_that_names_and_content_give_them(columns: dict[str, list[Any]], expected: Bindings) -> None:
    roles = ("prompt", "completion", "input", "history", "author", "text", "votes")
    assert {role: names for role, names in bound(columns).items() if role in roles} == expected


def test_a_later_rule_wins_and_no_columns_unbind() -> None:
    sample = TableSample("a.csv", "csv", SourceSettings(match="*"), load_policy(), 1, {"x": ["y"]})
    rules = (lambda *_: {"text": ("x",), "label": ("x",)}, lambda _, bindings: {"text": (), "author": bindings["text"]})
    assert bind(sample, rules) == {"label": ("x",), "author": ("x",)}


def test_nested_objects_become_dotted_columns_and_lists_stay() -> None:
    assert flat({"data": {"body": "x", "more": {"n": 1}}, "tags": [1]}) == {"tags": [1], "data.body": "x", "data.more.n": 1}
