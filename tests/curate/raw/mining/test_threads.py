from __future__ import annotations

from collections.abc import Callable
from typing import Any

Mine = Callable[..., list[list[dict[str, Any]] | str]]


def rows(mined: list[list[dict[str, Any]] | str]) -> list[dict[str, Any]]:
    return [row for outcome in mined if isinstance(outcome, list) for row in outcome]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_reply_answers_its_parent_wherever_that_stands_in_the_file(mine: Mine) -> None:
    posts = [
        {"id": "c2", "parent_id": "t1_c1", "body": "second reply", "author": "b"},
        {"id": "p", "parent_id": None, "title": "Lunch where?", "body": "near the mall", "author": "a"},
        {"id": "c1", "parent_id": "t3_p", "body": "first reply", "author": "b"},
        {"id": "x", "parent_id": "gone", "body": "lost reply", "author": "b"},
        {"id": "q", "parent_id": "", "body": "no title here", "author": "b"},
        {"id": "d", "parent_id": "p", "body": "[deleted]", "author": "b"},
    ]
    mined = mine(posts)
    assert [(row["prompt"], row["completion"]) for row in rows(mined)] == [
        (user("first reply"), "second reply"),
        (user("near the mall"), "first reply"),
    ]
    assert [one for one in mined if isinstance(one, str)] == ["opening_post", "parent_missing", "opening_post", "no_words"]
    assert len({row["thread"] for row in rows(mined)}) == 1


def test_replies_that_answer_each_other_end(mine: Mine) -> None:
    mined = mine([{"id": "a", "parent_id": "b", "body": "one"}, {"id": "b", "parent_id": "a", "body": "two"}])
    assert [row["completion"] for row in rows(mined)] == ["one", "two"]


def test_a_thread_without_parents_answers_its_opening_post(mine: Mine) -> None:
    mined = mine([{"thread_id": 1, "text": "who is free?"}, {"thread_id": 1, "text": "me"}, {"thread_id": 2, "text": "me"}])
    assert mined[0] == mined[2] == "opening_post"
    assert rows(mined)[0]["prompt"] == user("who is free?")
