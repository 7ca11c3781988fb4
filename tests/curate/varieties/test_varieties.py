"""Varieties: Singlish is recognised by its markers and says which; plain English and other languages are not Singlish."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml

from curate.core.errors import RecipeError
from curate.varieties import VARIETIES, variety

SENTENCES = yaml.safe_load((Path(__file__).parents[1] / "sentences.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", VARIETIES)
def test_every_construction_matches_its_own_example(name: str) -> None:
    for construction in variety(name).constructions:
        assert f"construction: {construction.name}" in variety(name).read(construction.example).reasons, construction.name


@pytest.mark.parametrize("name", VARIETIES)
def test_the_key_of_the_table_is_the_name_in_the_file_and_its_folder(name: str) -> None:
    assert variety(name).name == name == VARIETIES[name].parent.name


@pytest.mark.parametrize(
    "text",
    [
        "wah lau so expensive sia",
        "can lah",
        "why you so like that one",
        "you eat already or not",
        "siaaaaa damn shiok",
        "then how?",
        "got meh",
    ]
    + ["don't anyhow say leh", "where got so cheap", "dun worry lahhh", "he confirm late one"],
)
def test_singlish_reads_as_singlish(text: str) -> None:
    assert variety("singlish").read(text).score >= 0.5


@pytest.mark.parametrize(
    "text",
    [
        "The library closes at nine on weekdays.",
        "I would like to book this one.",
        "We flew to LA.",
        "What time is it?",
        "Ah, I see what you mean.",
    ]
    + ["", "😂", "12345", "<PHONE_1>", "Let's go to De Souza's, is this one free?"],
)
def test_plain_english_does_not(text: str) -> None:
    assert variety("singlish").read(text).score < 0.5


def test_a_reading_gives_its_reasons_heaviest_first() -> None:
    reading = variety("singlish").read("wah this laksa shiok sia")
    assert reading.reasons[:2] == ("particle: sia", "word: shiok")
    assert {"interjection: wah", "place: laksa"} <= set(reading.reasons)


def test_a_marker_counts_once_and_the_score_stays_below_one() -> None:
    read = variety("singlish").read
    assert read("ok lah, fine lah, go lah").score == pytest.approx(read("ok fine, go lah").score, abs=0.02)
    assert 0.0 <= read("lah leh lor meh sia liao " * 50).score <= 1.0


@pytest.mark.parametrize("language", ["tl", "vi", "id", "th", "hi", "es"])
def test_other_languages_are_not_singlish(language: str) -> None:
    for sentence in SENTENCES["foreign"][language]:
        assert variety("singlish").read(sentence).score < 0.5, sentence


def test_malay_with_a_particle_is_not_singlish() -> None:
    assert variety("singlish").read("jom pergi pasar malam dekat rumah saya lah").score < 0.5


def test_an_unknown_variety_is_named_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match="no variety 'manglish'; one of singlish"):
        variety("manglish")


def test_the_treebank_scores_far_above_polite_english(shared: Path) -> None:
    def share(name: str, column: str) -> float:
        with gzip.open(shared / name, "rt", encoding="utf-8") as lines:
            scores = [variety("singlish").read(json.loads(line)[column]).score for line in lines]
        return sum(score >= 0.5 for score in scores) / len(scores)

    assert share("singlish_treebank_dev/singlish_stb_dev.jsonl.gz", "text") >= 0.45
    assert share("sgd_dialogue_pairs/sgd_pairs_20k.jsonl.gz", "prompt") <= 0.01
