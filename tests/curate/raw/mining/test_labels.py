from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curate.raw.mining.roles import Roles
from curate.raw.sources import SourceSettings

Mine = Callable[..., list[list[dict[str, Any]] | str]]
RolesOf = Callable[..., Roles]


def rows(mined: list[list[dict[str, Any]] | str]) -> list[dict[str, Any]]:
    return [row for outcome in mined if isinstance(outcome, list) for row in outcome]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


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
        ("Toxicity score", "0,83", None),  # nobody gives a score by hand
        ("Share of annotators: toxic", "0,83", 1.0),
        ("class", "unknown", None),
        ("label", None, None),
        ("label", ["toxic", "ok"], None),
    ],
)
def test_a_label_keeps_its_polarity_or_abstains(mine: Mine, column: str, value: object, expected: float | None) -> None:
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
    mine: Mine, column: str, words: tuple[str, str], of_one: float | None
) -> None:
    said = [*words, 1, 0, "yes", True]
    labels: list[Any] = [{"w1": label, "w2": label} for label in said] if column == "annotations" else said
    labelled = rows(mine([{"text": f"what you say {at}", column: label} for at, label in enumerate(labels)]))
    of_zero = None if of_one is None else 1 - of_one
    assert [row["given"] for row in labelled[2:]] == [of_one, of_zero, of_one, of_one]


def test_words_do_not_turn_round_what_the_columns_own_name_says(mine: Mine) -> None:
    labelled = rows(mine([{"text": f"what you say {at}", "is_safe": label} for at, label in enumerate(["non-toxic", 1, 0])]))
    assert [row["given"] for row in labelled] == [0.0, 0.0, 1.0]


def test_a_column_of_labels_is_known_by_what_it_holds(mine: Mine) -> None:
    said = ["toxic", "ok", "", "hateful", "clean", "unsure"] * 3
    labelled = mine([{"comment": f"some words here {at}", "rating": label, "coder": "A"} for at, label in enumerate(said)])
    assert [row["given"] for row in rows(labelled)][:6] == [1.0, 0.0, None, 1.0, 0.0, None]
    for column, values in (("model_prediction", said), ("status", ["ok", "normal"] * 9), ("mood", ["toxic", "sunny"] * 9)):
        labelled = mine([{"comment": f"some words here {at}", column: label} for at, label in enumerate(values)])
        assert {row["given"] for row in rows(labelled)} == {None}, column


def test_labels_of_unproven_polarity_can_be_pinned_by_the_recipe(mine: Mine) -> None:
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
def test_votes_become_a_share_and_a_count(mine: Mine, record: dict[str, Any]) -> None:
    (row,) = rows(mine([{"text": "what you say", "label": "ok", **record}]))
    assert (row["given"], row["votes"], row["evidence"]) == (pytest.approx(2 / 3), 3, "votes")


def test_up_votes_are_no_labels(mine: Mine) -> None:
    (row,) = rows(mine([{"text": "what you say", "votes": 12}]))
    assert (row["given"], row["votes"], row["evidence"]) == (None, 0, None)


def test_counts_of_votes_in_a_public_set_are_read_by_its_own_rules(mine: Mine) -> None:
    record = {"count": "3", "hate_speech": "0", "offensive_language": "2", "neither": "1", "class": "1", "tweet": "some words"}
    (row,) = rows(mine([record]))
    assert (row["given"], row["votes"], row["evidence"]) == (pytest.approx(2 / 3), 3, "votes")


def test_bad_advice_is_no_toxicity(mine: Mine) -> None:
    said = {"context": "I feel ill", "response": "just sleep", "category": "Risk Ignorance", "label": "Unsafe"}
    unsafe, safe = rows(mine([said, {**said, "label": "Safe"}]))
    assert (unsafe["given"], safe["given"]) == (None, 0.0)


def test_a_category_comes_only_with_a_toxic_label(mine: Mine) -> None:
    first, second = rows(mine([{"text": "a b", "label": "hateful"}, {"text": "a b", "label": "ok"}]))
    assert (first["category"], second["category"]) == ("hateful", None)


def test_numbered_columns_of_a_label_are_several_peoples_votes(mine: Mine) -> None:
    votes = [("you are quite nice lah", (0, 0, 0)), ("what a fool you are", (1, 1, 0))]
    voted = rows(mine([{"text": text} | {f"toxic_{at + 1}": vote for at, vote in enumerate(given)} for text, given in votes]))
    assert [(row["votes"], round(row["given"], 2), row["evidence"]) for row in voted] == [(3, 0.0, "votes"), (3, 0.67, "votes")]
