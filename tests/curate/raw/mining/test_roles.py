from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curate.core.errors import RecipeError
from curate.core.policy import load_policy
from curate.raw.mining.roles import Roles, find_roles
from curate.raw.sources import SourceSettings

RolesOf = Callable[..., Roles]
Mine = Callable[..., list[list[dict[str, Any]] | str]]


def rows(mined: list[list[dict[str, Any]] | str]) -> list[dict[str, Any]]:
    return [row for outcome in mined if isinstance(outcome, list) for row in outcome]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_file_without_text_is_reported_not_refused(mine: Mine) -> None:
    assert mine([{"n": 1}, {"m": [1, 2]}]) == ["no_text_column"] * 2
    assert mine([{"text": "  "}, {"text": None}, {}]) == ["empty"] * 3


def test_a_pinned_column_wins_and_an_unknown_one_is_an_error(mine: Mine) -> None:
    records = [{"body": "not this one here", "note": "this one here", "flag": "ok"}]
    pinned = SourceSettings(match="*", columns={"text": "note"}, licence="MIT")
    (row,) = rows(mine(records, pinned))
    assert (row["completion"], row["licence"]) == ("this one here", "MIT")
    with pytest.raises(RecipeError, match="has no column 'bod'; did you mean 'body'"):
        mine(records, SourceSettings(match="*", columns={"text": "bod"}))
    with pytest.raises(RecipeError, match="no role 'txt'; did you mean 'text'"):
        mine(records, SourceSettings(match="*", columns={"txt": "body"}))
    with pytest.raises(RecipeError, match="no column for rejected"):
        mine(records, SourceSettings(match="*", mine="preference", columns={"chosen": "body"}))
    with pytest.raises(RecipeError, match="no column for label"):
        mine([{"text": "a"}], SourceSettings(match="*", labels={"0": True}))


def test_a_telegram_export_is_a_chat_and_formatted_text_is_read_in_one_piece(mine: Mine) -> None:
    said = ["start", ["Where got ", {"type": "bold", "text": "good food"}, " ah"], "Go Bedok lor", "Later then go"]
    talk = [
        {
            "id": at,
            "type": "message",
            "date": "2026-01-01",
            "from": ("Mei", "Beng")[at % 2],
            "from_id": f"u{at % 2}",
            "text": text,
        }
        for at, text in enumerate(said)
    ]
    assert [(row["prompt"], row["completion"]) for row in rows(mine(talk, form="json"))] == [
        (user("start"), "Where got good food ah"),
        (user("Where got good food ah"), "Go Bedok lor"),
        (user("Go Bedok lor"), "Later then go"),
    ]


def test_a_header_that_any_file_may_have_labels_nothing_unless_the_path_or_the_recipe_says_which_set_it_is(mine: Mine) -> None:
    said = [{"spans": "[3, 4]", "text": "a text of six words here"}]
    assert rows(mine(said))[0]["given"] is None
    assert rows(mine(said, settings=SourceSettings(match="a.jsonl", known="toxic_spans")))[0]["given"] == 1.0
    assert find_roles(said, "csv", SourceSettings(match="x"), load_policy(), "raw/tsd_train.csv").known == "toxic_spans"
    with pytest.raises(RecipeError, match="known: no public set 'toxic_span'; did you mean 'toxic_spans'"):
        mine(said, settings=SourceSettings(match="a.jsonl", known="toxic_span"))
    with pytest.raises(RecipeError, match="has no column 'spans'"):
        mine([{"text": "words"}], settings=SourceSettings(match="a.jsonl", known="toxic_spans"))


def test_a_numeric_toxic_column_is_a_label_not_a_text(roles_of: RolesOf) -> None:
    assert roles_of([{"comment_text": "hello you there", "toxic": "1"}]).kind == "text"
