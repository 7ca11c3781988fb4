"""Prompts as a flat table and back."""

from __future__ import annotations

import polars as pl

from curate.core.schema import MESSAGE
from curate.text.prompts import flatten, last_user, regroup

PROMPTS = [
    [{"role": "user", "content": "eat where"}, {"role": "assistant", "content": "Maxwell"}],
    [],
    [{"role": "user", "content": "can or not"}],
]


def rows() -> pl.DataFrame:
    return pl.DataFrame({"prompt": PROMPTS}, schema={"prompt": pl.List(MESSAGE)})


def test_regroup_undoes_flatten_and_a_row_without_messages_gets_an_empty_prompt() -> None:
    assert regroup(flatten(rows()), 3).to_list() == PROMPTS


def test_messages_without_content_are_left_out() -> None:
    silent = rows().with_columns(prompt=pl.Series([[{"role": "user", "content": ""}], None, PROMPTS[2]], dtype=pl.List(MESSAGE)))
    assert flatten(silent).rows() == [(2, "user", "can or not")]


def test_the_last_thing_the_user_said_is_not_the_assistants() -> None:
    assert last_user(flatten(rows()), 3) == ["eat where", "", "can or not"]
