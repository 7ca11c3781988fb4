"""The policy page: every spelling, every polarity and every public set's labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from curate.core.errors import RecipeError
from curate.core.policy import BUNDLED, load_policy

POLICY = load_policy()


@pytest.mark.parametrize(
    ("column", "value", "toxic"),
    [
        ("is_toxic", 1, True),
        ("is_toxic", "0", False),
        ("isToxic", True, True),
        ("Toxicity", "yes", True),
        ("safe", 1, False),
        ("safe", 0, True),
        ("is_safe", "No", True),
        ("unsafe", 1, True),
        ("acceptable", "y", False),
        ("non_toxic", 1, False),
        ("not_toxic", 0, True),
        ("non-hateful", "true", False),
        ("not_safe", 1, True),
        ("label", 1, None),
        ("label", "0", None),
        ("flag", True, None),
        ("class", 0, None),
        ("toxic_or_safe", 1, None),
    ],
)
def test_an_answer_means_what_its_columns_name_proves(column: str, value: object, toxic: bool | None) -> None:
    assert POLICY.label(column, value).toxic is toxic


@pytest.mark.parametrize("spelling", ["toxic", "Toxic ", "HATE", "hateful", "Offensive", "un-safe", "Hate_Speech", "hate speech"])
@pytest.mark.parametrize("column", ["label", "is_toxic", "safe"])
def test_a_toxic_word_says_so_in_any_column(column: str, spelling: str) -> None:
    assert POLICY.label(column, spelling).toxic is True


@pytest.mark.parametrize(
    "spelling", ["non-toxic", "Non Toxic", "not_toxic", "noHate", "neither", "Safe", "ok", "OK ", "clean", "normal"]
)
@pytest.mark.parametrize("column", ["label", "is_toxic", "unsafe"])
def test_a_harmless_word_says_so_in_any_column(column: str, spelling: str) -> None:
    assert POLICY.label(column, spelling).toxic is False


@pytest.mark.parametrize(
    "value", [None, "", "  ", "NA", "n/a", "unknown", "Null", "nonsensical", float("nan"), "purple", 2, -1, "1.5", "-", "?"]
)
def test_what_says_nothing_abstains(value: object) -> None:
    assert POLICY.label("is_toxic", value).toxic is None


@pytest.mark.parametrize(
    ("column", "value", "toxic"),
    [
        ("toxicity", 0.83, True),
        ("Toxicity score", "0,83", True),
        ("toxicity", 0.5, None),
        ("toxicity", "0.2", False),
        ("safe", 0.9, False),
        ("score", 0.9, None),
        ("toxic", 1.0, True),
    ],
)
def test_a_share_counts_where_the_column_proves_its_polarity(column: str, value: object, toxic: bool | None) -> None:
    assert POLICY.label(column, value).toxic is toxic


def test_a_word_that_names_a_category_gives_it() -> None:
    assert POLICY.label("label", "hate").category == "hateful"
    assert POLICY.label("label", "toxic").category is None


def test_a_label_says_why_and_never_quotes_an_unknown_value() -> None:
    assert POLICY.label("is_toxic", 1).why == "is_toxic = 1"
    assert "purple" not in POLICY.label("label", "purple rain").why


SOURCES = [
    ("davidson", {"class": "0"}, True, "hateful"),
    ("davidson", {"class": 1}, True, "insults"),
    ("davidson", {"class": 2.0}, False, None),
    ("surge", {"is_toxic": "Toxic"}, True, None),
    ("surge", {"is_toxic": "Not Toxic"}, False, None),
    ("toxigen", {"label": "hate"}, True, "hateful"),
    ("toxigen", {"label": "neutral"}, False, None),
    ("paradetox_cannot_rewrite", {"OUTPUT:reasons": '{"toxic_content":true}'}, True, None),
    ("paradetox_cannot_rewrite", {"OUTPUT:reasons": '{"not_toxic":true}'}, False, None),
    ("paradetox_cannot_rewrite", {"OUTPUT:reasons": '{"unclear":true,"not_toxic":true}'}, None, None),
    ("diasafety", {"category": "Toxicity Agreement", "label": "Unsafe"}, True, None),
    ("diasafety", {"category": "Offending User", "label": "Unsafe"}, True, "insults"),
    ("diasafety", {"category": "Biased Opinion", "label": "Unsafe"}, True, "hateful"),
    ("diasafety", {"category": "Biased Opinion", "label": "Safe"}, False, None),
    ("diasafety", {"category": "Risk Ignorance", "label": "Unsafe"}, None, None),
    ("diasafety", {"category": "Unauthorized Expertise", "label": "Unsafe"}, None, None),
    ("toxic_spans", {"spans": "[3, 4]", "text": "…"}, True, None),
    ("toxic_spans", {"spans": "[]", "text": "…"}, None, None),
    ("toxic_spans_votes", {"not toxic": "True"}, False, None),
    ("toxic_spans_votes", {"not toxic": "False"}, True, None),
    ("hatecheck", {"functionality": "slur_h", "label_gold": "hateful"}, True, "hateful"),
    ("hatecheck", {"functionality": "threat_dir_h", "label_gold": "hateful"}, True, "physical_violence"),
    ("hatecheck", {"functionality": "ident_pos_nh", "label_gold": "non-hateful"}, False, None),
    ("hatecheck", {"functionality": "target_indiv_nh", "label_gold": "non-hateful"}, True, "insults"),
    ("singlish_treebank", {"text": "…"}, False, None),
]


@pytest.mark.parametrize(("source", "fields", "toxic", "category"), SOURCES)
def test_a_public_sets_labels_map_as_the_page_says(
    source: str, fields: dict[str, object], toxic: bool | None, category: str | None
) -> None:
    label = POLICY.label_record(source, fields)
    assert (label.toxic, label.category) == (toxic, category)


def test_every_source_with_rules_is_mapped_in_these_tests() -> None:
    assert {source for source, *_ in SOURCES} == {name for name, source in POLICY.sources.items() if source.rules}


def test_bad_advice_is_excluded_and_forum_talk_is_weak() -> None:
    assert POLICY.label_record("diasafety", {"category": "Risk Ignorance", "label": "Unsafe"}).excluded
    assert POLICY.label_record("singlish_treebank", {}).weak


def test_paradetox_columns_are_texts_of_a_known_label() -> None:
    assert POLICY.sources["paradetox"].texts == {"toxic": True, "neutral1": False, "neutral2": False, "neutral3": False}


def test_a_public_set_is_recognised_by_its_header() -> None:
    assert POLICY.recognise(["", "count", "hate_speech", "offensive_language", "neither", "class", "tweet"]) == "davidson"
    assert POLICY.recognise(["context", "response", "category", "label"]) == "diasafety"
    assert POLICY.recognise(["prompt", "completion"]) is None


def test_davidsons_columns_are_votes() -> None:
    assert POLICY.votes("davidson", {"count": "3", "hate_speech": "0", "offensive_language": "2"}) == (pytest.approx(2 / 3), 3)
    assert POLICY.votes("davidson", {"count": "0", "hate_speech": "0", "offensive_language": "0"}) is None
    assert POLICY.votes("surge", {"is_toxic": "Toxic"}) is None


def _page(folder: Path, change: dict[str, object]) -> Path:
    page = folder / "policy.yaml"
    page.write_text(yaml.safe_dump(yaml.safe_load(BUNDLED.read_text(encoding="utf-8")) | change), encoding="utf-8")
    return page


def test_the_hash_follows_the_meaning_and_not_the_spelling(tmp_path: Path) -> None:
    assert load_policy(_page(tmp_path, {})).hash == POLICY.hash  # comments gone, keys in another order
    (tmp_path / "other").mkdir()
    assert load_policy(_page(tmp_path / "other", {"share": 0.4})).hash != POLICY.hash


def test_the_page_is_read_once() -> None:
    assert load_policy() is POLICY


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": 1}, "colour"),
        ({"words": {"toxic": {"toxic": "rudeness"}, "non_toxic": [], "abstain": []}}, "rudeness"),
        ({"words": {"toxic": {"toxic": None}, "non_toxic": ["TOXIC"], "abstain": []}}, "two things"),
        ({"words": {"toxic": {"toxic": None}, "non_toxics": []}}, "non_toxic"),
        ({"sources": {"x": {"title": "x", "licence": "MIT", "columns": ["a"], "rules": [{"wen": {}}]}}}, "when"),
        ({"polarity": 3}, "polarity"),
    ],
)
def test_a_mistaken_page_is_refused_in_one_line(tmp_path: Path, change: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=says) as caught:
        load_policy(_page(tmp_path, change))
    assert "\n" not in str(caught.value)
