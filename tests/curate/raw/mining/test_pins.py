from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curate.core.errors import RecipeError
from curate.raw.mining.roles import Roles
from curate.raw.sources import SourceSettings

RECORDS = [{"body": "see you at the market later", "who": "ann", "flag": 1}]


@pytest.mark.parametrize(
    ("settings", "problem", "hint"),
    [
        ({"columns": {"txet": "body"}}, "columns: no role 'txet'", "did you mean 'text'?"),
        ({"columns": {"text": "content"}}, "columns: text: a.jsonl has no column 'content'", "one of body, who, flag"),
        (
            {"columns": {"text": ("body", "who")}},
            "found 2 columns, expected one",
            "name one; only votes and neutral take several",
        ),
        ({"known": "nowhere"}, "known: no public set 'nowhere'", "one of "),
        ({"known": "toxic_spans"}, "known: a.jsonl has no column", "take this line out"),
        ({"mine": "preference"}, "no column for chosen and rejected", "name them under columns (it has body, who, flag)"),
    ],
)
def test_what_the_recipe_says_wrongly_is_refused_with_a_cure(
    roles_of: Callable[..., Roles], settings: dict[str, Any], problem: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        roles_of(RECORDS, SourceSettings(match="a.jsonl", **settings))
    assert problem in caught.value.problem and (caught.value.hint or "").startswith(hint)


def test_what_the_recipe_says_wins_over_names_and_content(roles_of: Callable[..., Roles]) -> None:
    assert roles_of(RECORDS).columns == {"text": ("body",), "label": ("flag",)}
    assert roles_of(RECORDS, SourceSettings(match="*", columns={"author": "who"})).column("author") == "who"


def test_nothing_is_refused_of_a_table_without_records(roles_of: Callable[..., Roles]) -> None:
    assert roles_of([], SourceSettings(match="*", columns={"text": "content"}, mine="text")).columns == {}
