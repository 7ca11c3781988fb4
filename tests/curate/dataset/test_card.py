"""The card says what the manifest says, in the words that the Hub reads."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

from curate.core.manifest import from_json
from curate.dataset.card import card
from curate.dataset.croissant import croissant

NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?%?(?!\w)")
TEMPLATE = Path(__file__).resolve().parents[3] / "data_cards/template.md"


SINGLISH = ("Singlish", "singlish", "Singapore", "en-SG")


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(text))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def told(manifest: dict[str, Any]) -> set[str]:
    """Every number of the manifest in every spelling that a page may use, and numbers within its texts."""
    said: set[str] = set()
    for leaf in leaves(manifest):
        if isinstance(leaf, str):
            said |= numbers(leaf)
        elif isinstance(leaf, (int, float)):
            said |= {f"{leaf:,}", f"{leaf:.0%}", f"{leaf:.2%}"}
    skipped = sum(manifest["records"]["skipped"].values())
    purged = manifest["dataset"]["purged"]
    return said | {f"{skipped:,}", f"{sum(sum(purged[split].values()) for split in ('validation', 'test')):,}"}


def test_every_number_of_the_card_is_the_manifests(manifest: dict[str, Any]) -> None:
    body = card(from_json(manifest)).split("---\n", 2)[2]
    ours = numbers(TEMPLATE.read_text("utf-8")) | {"8", "2024"}  # Eq. 8, 2024
    strange = numbers(body) - told(manifest) - ours
    assert not strange


def test_every_count_of_rows_is_on_the_card(manifest: dict[str, Any]) -> None:
    counts = manifest["dataset"]
    for value in (*leaves(counts["paired"]), *leaves(counts["unpaired"]), *leaves(counts["sft"]), *leaves(counts["dropped"])):
        assert f"{value:,}" in card(from_json(manifest))


def test_a_changed_count_changes_the_card(manifest: dict[str, Any]) -> None:
    other = copy.deepcopy(manifest)
    other["dataset"]["unpaired"]["train"]["undesirable"] = 987_654
    assert "987,654" in card(from_json(other)) and "987,654" not in card(from_json(manifest))


def test_the_head_is_what_the_hub_reads(manifest: dict[str, Any]) -> None:
    head = yaml.safe_load(card(from_json(manifest)).split("---\n")[1])
    assert head["license"] == "cc0-1.0" and head["language_details"] == "en-SG-x-singlish"
    assert "not-for-all-audiences" in head["tags"]
    assert head["configs"][0]["config_name"] == "paired" and head["configs"][0]["default"] is True
    paths = [entry["path"] for config in head["configs"] for entry in config["data_files"]]
    assert sorted({path.replace("-*", "-00000") for path in paths}) == sorted(
        path for path in manifest["files"] if path.endswith(".parquet") and not path.startswith("similarity/")
    )


def test_a_licence_that_the_hub_does_not_know_is_other_there_and_in_full_below(manifest: dict[str, Any]) -> None:
    other = copy.deepcopy(manifest) | {"licences": {"Terms of the Forum": 3, "MIT": 4, "": 5}}
    text = card(from_json(other))
    assert yaml.safe_load(text.split("---\n")[1])["license"] == ["mit", "other"]
    assert "| Terms of the Forum | 3 |" in text and "| not stated | 5 |" in text


def test_a_name_cannot_smuggle_markup_into_the_card(manifest: dict[str, Any]) -> None:
    other = copy.deepcopy(manifest) | {"name": "x\n---\n<script>alert(1)</script> [y](http://z)"}
    text = card(from_json(other))
    body = text.split("\n---\n", 1)[1]
    assert "<script" not in body and not re.search(r"(?<!\\)\[y\]\(", body)
    assert yaml.safe_load(text.split("---\n")[1])["configs"]


def test_the_labelers_that_decided_are_named(manifest: dict[str, Any]) -> None:
    assert "these labelers did: head." in card(from_json(manifest))


MARKERS = """
name: manglish
code: en-MY-x-manglish
bias: -2.0
frame: {weight: 4.0, centre: 0.4}
frame_words: how to go take the bus
names: ""
groups: [{name: particle, why: at the end, at: end, cap: 5.0, words: {lah: 3.5}}]
constructions: []
"""


def test_card_and_metadata_name_the_variety_of_the_build(manifest: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "markers.yaml").write_text(MARKERS)
    other = copy.deepcopy(manifest)
    other["recipe"]["stages"][-1] = {"language": {"variety": str(tmp_path)}}
    head, body = card(from_json(other)).split("---\n", 2)[1:]
    assert yaml.safe_load(head)["language_details"] == "en-MY-x-manglish" and "manglish" in yaml.safe_load(head)["tags"]
    assert "English, and manglish (`en-MY-x-manglish`) where its words mark it." in body
    document = croissant(from_json(other))
    assert document["inLanguage"] == ["en", "en-MY"] and "Manglish" in document["keywords"]
    del document["rai:dataBiases"]  # what the rows themselves are counted as
    texts = (head, body.split("Unpaired rows by variety")[0], str(document))
    assert not {word for text in texts for word in SINGLISH if word in text}


def test_a_build_that_looked_for_no_variety_names_none(manifest: dict[str, Any]) -> None:
    other = copy.deepcopy(manifest)
    del other["recipe"]["stages"][-1]
    head = yaml.safe_load(card(from_json(other)).split("---\n")[1])
    assert head["language"] == ["en"] and "language_details" not in head and "singlish" not in head["tags"]
    assert "No variety was looked for." in card(from_json(other))
    assert croissant(from_json(other))["inLanguage"] == ["en"]


def test_the_variety_that_ships_is_named_as_before(manifest: dict[str, Any]) -> None:
    assert "English as written in Singapore, Singlish (`en-SG-x-singlish`)" in card(from_json(manifest))
    assert croissant(from_json(manifest))["inLanguage"] == ["en", "en-SG"]
