from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from curate.core.errors import RecipeError
from curate.core.policy import load_policy
from curate.core.schema import ROW, canonical
from curate.raw.formats import Record
from curate.raw.mining.columns import flat
from curate.raw.mining.kinds import TableContext
from curate.raw.mining.messages import cut, messages, sides
from curate.raw.mining.miner import Miner
from curate.raw.mining.roles import Roles, find_roles
from curate.raw.mining.threads import Threads
from curate.raw.sources import SourceSettings

EVERY = SourceSettings(match="*")


def mine(
    records: Sequence[dict[str, Any]], settings: SourceSettings = EVERY, form: str = "jsonl"
) -> list[list[dict[str, Any]] | str]:
    roles = roles_of(records, settings, form)
    threads = Threads(map(flat, records), roles) if roles.kind == "thread" else None
    miner = Miner(TableContext("a.jsonl", roles, settings, load_policy(), b"key"), threads)
    return [miner(Record(fields, canonical(fields).encode(), f"line {at + 1}")) for at, fields in enumerate(records)]


def roles_of(records: Sequence[dict[str, Any]], settings: SourceSettings = EVERY, form: str = "jsonl") -> Roles:
    return find_roles([flat(fields) for fields in records], form, settings, load_policy(), "a.jsonl")


def rows(mined: list[list[dict[str, Any]] | str]) -> list[dict[str, Any]]:
    return [row for found in mined if isinstance(found, list) for row in found]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_row_has_every_column_of_the_schema_and_the_authors_pseudonym() -> None:
    row = rows(mine([{"prompt": "how are you?", "completion": "ok lah", "author": "ah huat", "license": "CC0-1.0"}]))[0]
    assert set(row) == set(ROW)
    assert (row["prompt"], row["completion"], row["licence"]) == (user("how are you?"), "ok lah", "CC0-1.0")
    assert len(row["author"]) == 16
    assert "huat" not in row["author"]


def test_a_line_that_is_put_in_renames_nothing() -> None:
    texts = [{"text": f"message number {at % 7} of this long afternoon lah"} for at in range(20)]
    before = [row["id"] for row in rows(mine(texts))]
    after = [row["id"] for row in rows(mine([*texts[:9], {"text": "a new one in between the others here"}, *texts[9:]]))]
    assert len(set(before)) == 20
    assert after[:9] + after[10:] == before


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("label", "toxic", 1.0),
        ("label", "Non Toxic", 0.0),
        ("label", 1, None),
        ("is_toxic", "1", 1.0),
        ("is_toxic", False, 0.0),
        ("safe", "yes", 0.0),
        ("safe", 0, 1.0),
        ("Toxicity score", "0,83", 1.0),
        ("class", "unknown", None),
        ("label", None, None),
        ("label", ["toxic", "ok"], None),
    ],
)
def test_a_label_keeps_its_polarity_or_abstains(column: str, value: object, expected: float | None) -> None:
    row = rows(mine([{"text": "what you say", column: value}, {"text": "others", column: "ok"}]))[0]
    assert (row["given"], row["votes"]) == (expected, 0 if expected is None else 1)
    assert row["evidence"] == (None if expected is None else "human")


@pytest.mark.parametrize(
    ("words", "of_one"),
    [
        (("toxic", "Non-Toxic"), 1.0),  # who writes "non-toxic" was asked whether it is toxic
        (("hate", "noHate"), 1.0),
        (("safe", "unsafe"), 0.0),  # and who writes "unsafe" whether it is safe
        (("toxic", "clean"), None),  # denies nothing
        (("non-toxic", "unsafe"), None),  # denies both
        (("fine", "so-so"), None),
    ],
)
@pytest.mark.parametrize("column", ["label", "flag", "annotations"])
def test_words_beside_bare_answers_prove_what_one_means_or_it_abstains(
    column: str, words: tuple[str, str], of_one: float | None
) -> None:
    said = [*words, 1, 0, "yes", True]
    labels: list[Any] = [{"w1": label, "w2": label} for label in said] if column == "annotations" else said
    told = rows(mine([{"text": f"what you say {at}", column: label} for at, label in enumerate(labels)]))
    of_zero = None if of_one is None else 1 - of_one
    assert [row["given"] for row in told[2:]] == [of_one, of_zero, of_one, of_one]


def test_words_do_not_turn_round_what_the_columns_own_name_says() -> None:
    told = rows(mine([{"text": f"what you say {at}", "is_safe": label} for at, label in enumerate(["non-toxic", 1, 0])]))
    assert [row["given"] for row in told] == [0.0, 0.0, 1.0]


def test_a_column_of_labels_is_known_by_what_it_holds() -> None:
    said = ["toxic", "ok", "", "hateful", "clean", "unsure"] * 3
    told = mine([{"comment": f"some words here {at}", "rating": label, "coder": "A"} for at, label in enumerate(said)])
    assert [row["given"] for row in rows(told)][:6] == [1.0, 0.0, None, 1.0, 0.0, None]
    for column, values in (("model_prediction", said), ("status", ["ok", "normal"] * 9), ("mood", ["toxic", "sunny"] * 9)):
        told = mine([{"comment": f"some words here {at}", column: label} for at, label in enumerate(values)])
        assert {row["given"] for row in rows(told)} == {None}, column


def test_labels_of_unproven_polarity_can_be_pinned_by_the_recipe() -> None:
    records = [{"text": "one", "class": at} for at in (0, 1, 2)]
    pinned = SourceSettings(match="*", labels={"0": True, "1": True, "2": False})
    assert [row["given"] for row in rows(mine(records))] == [None, None, None]
    assert [row["given"] for row in rows(mine(records, pinned))] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "record",
    [
        {"votes": ["toxic", "toxic", "ok", "unsure"]},
        {"annotations": {"w81": "toxic", "w2": "hateful", "w7": "non-toxic", "w9": ""}},
        {"annotator_1": "toxic", "annotator_2": "toxic", "annotator_3": "ok"},
        {"votes": "['toxic', 'toxic', 'ok']"},
        {"votes_toxic": 2, "n_votes": 3},
        {"votes_toxic": "2", "votes_non_toxic": "1"},
    ],
)
def test_votes_become_a_share_and_a_count(record: dict[str, Any]) -> None:
    (row,) = rows(mine([{"text": "what you say", "label": "ok", **record}]))
    assert (row["given"], row["votes"], row["evidence"]) == (pytest.approx(2 / 3), 3, "votes")


def test_up_votes_are_no_labels() -> None:
    (row,) = rows(mine([{"text": "what you say", "votes": 12}]))
    assert (row["given"], row["votes"], row["evidence"]) == (None, 0, None)


def test_counts_of_votes_in_a_public_set_are_read_by_its_own_rules() -> None:
    record = {"count": "3", "hate_speech": "0", "offensive_language": "2", "neither": "1", "class": "1", "tweet": "some words"}
    (row,) = rows(mine([record]))
    assert (row["given"], row["votes"], row["evidence"]) == (pytest.approx(2 / 3), 3, "votes")


def test_bad_advice_is_no_toxicity() -> None:
    said = {"context": "I feel ill", "response": "just sleep", "category": "Risk Ignorance", "label": "Unsafe"}
    unsafe, safe = rows(mine([said, {**said, "label": "Safe"}]))
    assert (unsafe["given"], safe["given"]) == (None, 0.0)


def test_a_category_comes_only_with_a_toxic_label() -> None:
    first, second = rows(mine([{"text": "a b", "label": "hateful"}, {"text": "a b", "label": "ok"}]))
    assert (first["category"], second["category"]) == ("hateful", None)


def test_preference_transcripts_share_their_prompt() -> None:
    start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Where got good rice?"
    record = {"chosen": start + "\n\nAssistant: Try the hawker centre.", "rejected": start + "\n\nAssistant: Go away."}
    chosen, rejected = rows(mine([record]))
    assert [message["role"] for message in chosen["prompt"]] == ["user", "assistant", "user"]
    assert chosen["prompt"] == rejected["prompt"]
    assert (chosen["side"], chosen["completion"]) == ("chosen", "Try the hawker centre.")
    assert (rejected["side"], rejected["completion"]) == ("rejected", "Go away.")
    assert chosen["record"] == rejected["record"]
    assert chosen["id"] != rejected["id"]


def test_conversations_that_differ_before_the_last_turn_are_no_pair() -> None:
    first, second = (
        "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "\n\nHuman: a\n\nAssistant: x\n\nHuman: c\n\nAssistant: d",
    )
    assert sides(first, second) is None
    assert mine([{"chosen": first, "rejected": second}]) == ["prompts_differ"]
    assert mine([{"chosen": "same", "rejected": "same"}, {"chosen": "", "rejected": "x"}]) == ["sides_equal", "empty"]


@pytest.mark.parametrize(
    ("vote", "first"), [("A", "chosen"), ("response_a", "chosen"), ("b", "rejected"), ("Response B", "rejected")]
)
def test_a_vote_for_one_of_two_responses_gives_sides(vote: str, first: str) -> None:
    one, two = rows(mine([{"prompt": "hi", "response_a": "yes", "response_b": "no", "preferred": vote}]))
    assert {one["completion"]: one["side"], two["completion"]: two["side"]}["yes"] == first
    assert one["side"] == "chosen"


def test_a_tie_and_a_vote_for_nobody_give_no_pair() -> None:
    said = {"prompt": "hi", "response_a": "yes", "response_b": "no"}
    assert mine([{**said, "preferred": "tie"}, {**said, "preferred": "c"}, {**said, "preferred": None}]) == [
        "tie",
        "no_preference",
        "no_preference",
    ]


def test_a_parallel_set_gives_a_toxic_original_and_rewrites_that_derive_from_it() -> None:
    record = {"toxic": "this stupid plan again", "neutral1": "this plan again", "neutral2": "that plan once more", "neutral3": ""}
    toxic, *neutral = rows(mine([record, {**record, "neutral1": "", "neutral2": ""}]))
    assert (toxic["side"], toxic["given"], toxic["completion"]) == ("original", 1.0, "this stupid plan again")
    assert [(row["side"], row["given"], row["completion"]) for row in neutral] == [
        ("rewrite", 0.0, "this plan again"),
        ("rewrite", 0.0, "that plan once more"),
    ]
    assert len({row["record"] for row in (toxic, *neutral)}) == 1
    assert [row["derived_from"] for row in (toxic, *neutral)] == [None, *[toxic["id"]] * len(neutral)]


def test_a_numeric_toxic_column_is_a_label_not_a_text() -> None:
    assert roles_of([{"comment_text": "hello you there", "toxic": "1"}]).kind == "text"


def test_a_reply_answers_its_parent_wherever_that_stands_in_the_file() -> None:
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


def test_replies_that_answer_each_other_end() -> None:
    mined = mine([{"id": "a", "parent_id": "b", "body": "one"}, {"id": "b", "parent_id": "a", "body": "two"}])
    assert [row["completion"] for row in rows(mined)] == ["one", "two"]


def test_a_thread_without_parents_answers_its_opening_post() -> None:
    mined = mine([{"thread_id": 1, "text": "who is free?"}, {"thread_id": 1, "text": "me"}, {"thread_id": 2, "text": "me"}])
    assert mined[0] == mined[2] == "opening_post"
    assert rows(mined)[0]["prompt"] == user("who is free?")


def test_a_turn_answers_the_latest_turn_by_somebody_else() -> None:
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
    assert [found for found in mined if isinstance(found, str)] == ["notice", "first_turn", "first_turn", "no_words", "empty"]
    assert [(row["prompt"][0]["content"], row["completion"]) for row in rows(mined)] == [
        ("i hungry", "mall lah"),
        ("i hungry", "or <3"),
        ("or <3", "ok"),
    ]
    assert len({row["thread"] for row in rows(mined)}) == 1


def test_instructions_conversations_and_instances_are_taken_as_they_are() -> None:
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


def test_a_plain_text_continues_itself_unless_a_label_speaks_of_all_of_it() -> None:
    text = "The queue at the stall is so long, better come back tomorrow."
    (row,) = rows(mine([{"text": text}]))
    assert (row["prompt"], row["completion"]) == (
        user("The queue at the stall is so long,"),
        "better come back tomorrow.",
    )
    (labelled,) = rows(mine([{"text": text, "label": "ok"}]))
    assert (labelled["prompt"], labelled["completion"]) == ([], text)


def test_a_plain_text_answers_the_recipes_instruction_whole_or_from_its_middle() -> None:
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


def test_a_header_that_any_file_may_have_labels_nothing_unless_the_path_or_the_recipe_says_which_set_it_is() -> None:
    said = [{"spans": "[3, 4]", "text": "a text of six words here"}]
    assert rows(mine(said))[0]["given"] is None
    assert rows(mine(said, settings=SourceSettings(match="a.jsonl", known="toxic_spans")))[0]["given"] == 1.0
    assert find_roles(said, "csv", SourceSettings(match="x"), load_policy(), "raw/tsd_train.csv").known == "toxic_spans"
    with pytest.raises(RecipeError, match="known: no public set 'toxic_span'; did you mean 'toxic_spans'"):
        mine(said, settings=SourceSettings(match="a.jsonl", known="toxic_span"))
    with pytest.raises(RecipeError, match="has no column 'spans'"):
        mine([{"text": "words"}], settings=SourceSettings(match="a.jsonl", known="toxic_spans"))


def test_a_cut_loses_nothing_and_is_never_within_a_word() -> None:
    chance = random.Random(3)
    for _ in range(500):
        words = [
            chance.choice(["lah", "so,", "what?", "makan", "你好。", "😀", "e.g.", "\u2028"])
            for _ in range(chance.randrange(0, 15))
        ]
        text = " ".join(words)
        first, second = cut(text)
        assert "".join((first + second).split()) == "".join(text.split())
        assert second or not text.strip()
        assert len(text.split()) >= 6 or not first


def test_a_file_without_text_is_reported_not_refused() -> None:
    assert mine([{"n": 1}, {"m": [1, 2]}]) == ["no_text_column"] * 2
    assert mine([{"text": "  "}, {"text": None}, {}]) == ["empty"] * 3


def test_a_pinned_column_wins_and_an_unknown_one_is_an_error() -> None:
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


def test_transcripts_are_told_from_texts_that_mention_a_speaker() -> None:
    assert messages("Human: hi\n\nAssistant: hello") == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
    ]
    assert messages("I am only Human: he said") == user("I am only Human: he said")


def test_records_of_any_shape_give_rows_or_a_reason() -> None:
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
        for found in mine(records, form=form):
            assert found
            for row in found if isinstance(found, list) else ():
                assert set(row) == set(ROW)
                assert isinstance(row["completion"], str)
                assert row["completion"].strip()
                assert all(set(message) == {"role", "content"} for message in row["prompt"])
    assert len(kinds) == 9


def test_a_telegram_export_is_a_chat_and_formatted_text_is_read_in_one_piece() -> None:
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


def test_numbered_columns_of_a_label_are_several_peoples_votes() -> None:
    votes = [("you are quite nice lah", (0, 0, 0)), ("what a fool you are", (1, 1, 0))]
    found = rows(mine([{"text": text} | {f"toxic_{at + 1}": vote for at, vote in enumerate(given)} for text, given in votes]))
    assert [(row["votes"], round(row["given"], 2), row["evidence"]) for row in found] == [(3, 0.0, "votes"), (3, 0.67, "votes")]
