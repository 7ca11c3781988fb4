from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from curate.core.errors import RecipeError
from curate.core.schema import ROW
from curate.raw.mining.roles import Roles
from curate.raw.sources import SourceSettings

Mine = Callable[..., list[list[dict[str, Any]] | str]]
RolesOf = Callable[..., Roles]


def rows(mined: list[list[dict[str, Any]] | str]) -> list[dict[str, Any]]:
    return [row for outcome in mined if isinstance(outcome, list) for row in outcome]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_row_has_every_column_of_the_schema_and_the_authors_pseudonym(mine: Mine) -> None:
    row = rows(mine([{"prompt": "how are you?", "completion": "ok lah", "author": "ah huat", "license": "CC0-1.0"}]))[0]
    assert set(row) == set(ROW)
    assert (row["prompt"], row["completion"], row["licence"]) == (user("how are you?"), "ok lah", "CC0-1.0")
    assert len(row["author"]) == 16
    assert "huat" not in row["author"]


def test_a_line_that_is_put_in_renames_nothing(mine: Mine) -> None:
    texts = [{"text": f"message number {at % 7} of this long afternoon lah"} for at in range(20)]
    before = [row["id"] for row in rows(mine(texts))]
    after = [row["id"] for row in rows(mine([*texts[:9], {"text": "a new one in between the others here"}, *texts[9:]]))]
    assert len(set(before)) == 20
    assert after[:9] + after[10:] == before


def test_preference_transcripts_share_their_prompt(mine: Mine) -> None:
    start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Where got good rice?"
    record = {"chosen": start + "\n\nAssistant: Try the hawker centre.", "rejected": start + "\n\nAssistant: Go away."}
    chosen, rejected = rows(mine([record]))
    assert [message["role"] for message in chosen["prompt"]] == ["user", "assistant", "user"]
    assert chosen["prompt"] == rejected["prompt"]
    assert (chosen["side"], chosen["completion"]) == ("chosen", "Try the hawker centre.")
    assert (rejected["side"], rejected["completion"]) == ("rejected", "Go away.")
    assert chosen["record"] == rejected["record"]
    assert chosen["id"] != rejected["id"]


@pytest.mark.parametrize(
    ("vote", "first"), [("A", "chosen"), ("response_a", "chosen"), ("b", "rejected"), ("Response B", "rejected")]
)
def test_a_vote_for_one_of_two_responses_gives_sides(mine: Mine, vote: str, first: str) -> None:
    one, two = rows(mine([{"prompt": "hi", "response_a": "yes", "response_b": "no", "preferred": vote}]))
    assert {one["completion"]: one["side"], two["completion"]: two["side"]}["yes"] == first
    assert one["side"] == "chosen"


def test_a_tie_and_a_vote_for_nobody_give_no_pair(mine: Mine) -> None:
    said = {"prompt": "hi", "response_a": "yes", "response_b": "no"}
    assert mine([{**said, "preferred": "tie"}, {**said, "preferred": "c"}, {**said, "preferred": None}]) == [
        "tie",
        "no_preference",
        "no_preference",
    ]


def test_a_parallel_set_gives_a_toxic_original_and_rewrites_that_derive_from_it(mine: Mine) -> None:
    record = {"toxic": "this stupid plan again", "neutral1": "this plan again", "neutral2": "that plan once more", "neutral3": ""}
    toxic, *neutral = rows(mine([record, {**record, "neutral1": "", "neutral2": ""}]))
    assert (toxic["side"], toxic["given"], toxic["completion"]) == ("original", 1.0, "this stupid plan again")
    assert [(row["side"], row["given"], row["completion"]) for row in neutral] == [
        ("rewrite", 0.0, "this plan again"),
        ("rewrite", 0.0, "that plan once more"),
    ]
    assert len({row["record"] for row in (toxic, *neutral)}) == 1
    assert [row["derived_from"] for row in (toxic, *neutral)] == [None, *[toxic["id"]] * len(neutral)]


def test_a_turn_answers_the_latest_turn_by_somebody_else(mine: Mine) -> None:
    talk = [
        (None, "Messages are encrypted."),
        ("a", "eat where?"),
        ("a", "i hungry"),
        ("b", "mall lah"),
        ("b", "or <3"),
        ("a", "ok"),
    ]
    talk += [("b", "<Media omitted>"), ("a", "")]
    records = [
        {"time": f"18/06/21, 8:4{at}:00 PM", "author": who, "text": text, "turn": at} for at, (who, text) in enumerate(talk)
    ]
    mined = mine(records, form="chat")
    assert [reason for reason in mined if isinstance(reason, str)] == ["notice", "first_turn", "first_turn", "no_words", "empty"]
    assert [(row["prompt"][0]["content"], row["completion"]) for row in rows(mined)] == [
        ("i hungry", "mall lah"),
        ("i hungry", "or <3"),
        ("or <3", "ok"),
    ]
    assert len({row["thread"] for row in rows(mined)}) == 1


def test_instructions_conversations_and_instances_are_taken_as_they_are(mine: Mine) -> None:
    (alpaca,) = rows(mine([{"instruction": "Name a fruit.", "input": "a red one", "output": "apple"}]))
    assert (alpaca["prompt"], alpaca["completion"]) == (user("Name a fruit.\n\na red one"), "apple")
    talk = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
    (shared,) = rows(mine([{"conversations": talk}]))
    assert (shared["prompt"], shared["completion"]) == (user("hi"), "hello")
    (typed,) = rows(mine([{"prompt": user("hi"), "completion": [{"role": "assistant", "content": "hello"}]}]))
    assert (typed["prompt"], typed["completion"]) == (user("hi"), "hello")
    two = rows(mine([{"instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}, {"input": "", "output": "3"}]}]))
    assert [(row["prompt"], row["completion"]) for row in two] == [(user("Add.\n\n1 1"), "2"), (user("Add."), "3")]
    (long,) = rows(mine([{"context": ["one", "two"], "prompt": "three", "completion": "four"}]))
    assert [(one["role"], one["content"]) for one in long["prompt"]] == [("user", "one"), ("assistant", "two"), ("user", "three")]


def test_a_plain_text_answers_the_recipes_instruction_whole_or_from_its_middle(mine: Mine) -> None:
    text = "Wah the queue so long, tomorrow then come back lah"
    asked = SourceSettings(match="a.jsonl", instruction="Say something about queues.")
    row = rows(mine([{"text": text}], settings=asked))[0]
    assert (row["prompt"], row["completion"]) == ([{"role": "user", "content": "Say something about queues."}], text)
    labelled = rows(mine([{"text": text, "label": "ok"}], settings=asked))[0]
    assert (labelled["prompt"], labelled["completion"], labelled["given"]) == (row["prompt"], text, 0.0)
    halved = SourceSettings(match="a.jsonl", instruction="Go on: {start}")
    row = rows(mine([{"text": text}], settings=halved))[0]
    assert row["prompt"][0]["content"] == "Go on: Wah the queue so long," and row["completion"] == "tomorrow then come back lah"
    assert rows(mine([{"text": "too short"}], settings=halved))[0]["prompt"] == []
    labelled = rows(mine([{"text": text, "label": "ok"}], settings=halved))[0]
    assert (labelled["prompt"], labelled["completion"]) == ([], text)  # the label speaks of all of it
    with pytest.raises(RecipeError, match="instruction: .* is read as completion"):
        mine([{"prompt": "how?", "completion": "can lah"}], settings=asked)


def test_records_of_any_shape_give_rows_or_a_reason(mine: Mine, roles_of: RolesOf) -> None:
    chance = random.Random(7)
    names = ["text", "prompt", "completion", "chosen", "rejected", "label", "votes", "toxic", "neutral1", "messages", "author"]
    names += [
        "parent_id",
        "id",
        "thread_id",
        "title",
        "turn",
        "response_a",
        "response_b",
        "preferred",
        "context",
        "instances",
        "x",
    ]
    values: list[Any] = [
        "",
        "hello there my friend, how are you",
        "1",
        1,
        -1.5,
        True,
        None,
        [],
        ["a", 1, None],
        {},
        {"a": {"b": 1}},
    ]
    values += [[{"role": "user", "content": 3}], [{"value": "x"}], "[1, 'toxic'", 10**30, "\n\nHuman: \n\nAssistant: "]
    kinds = set()
    for _ in range(250):
        chosen = chance.sample(names, chance.randrange(1, 9))
        records = [{name: chance.choice(values) for name in chosen} for _ in range(4)]
        form = chance.choice(["jsonl", "chat"])
        kinds.add(roles_of(records, form=form).kind)
        for outcome in mine(records, form=form):
            assert outcome
            for row in outcome if isinstance(outcome, list) else ():
                assert set(row) == set(ROW)
                assert isinstance(row["completion"], str)
                assert row["completion"].strip()
                assert all(set(message) == {"role", "content"} for message in row["prompt"])
    assert len(kinds) == 9


def test_a_plain_text_continues_itself_unless_a_label_speaks_of_all_of_it(mine: Mine) -> None:
    text = "The queue at the stall is so long, better come back tomorrow."
    (row,) = rows(mine([{"text": text}]))
    assert (row["prompt"], row["completion"]) == (
        user("The queue at the stall is so long,"),
        "better come back tomorrow.",
    )
    (labelled,) = rows(mine([{"text": text, "label": "ok"}]))
    assert (labelled["prompt"], labelled["completion"]) == ([], text)
