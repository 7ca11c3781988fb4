"""Sets with inverted labels: each is read right, abstains and is shown, or is warned about; none passes in silence."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.compose.polarity import contradictions
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.raw.inspect import inspect

RECIPE = """
stages: [repair, pii, column, ngram, consensus: {labelers: [column, ngram]}]
pairing: [given]
"""
THINGS = "bus train stall queue lift phone soup rice umbrella ticket lesson market library park song".split()
NICE = ("Thank you for the {}, very helpful lah", "The {} here is quite good, you can try", "See you at the {} tomorrow ok")
RUDE = ("You stupid idiot, even the {} is smarter than you", "Shut up about the {}, you useless moron")
Set = list[dict[str, Any]]


def texts(name: str) -> list[tuple[str, bool]]:
    """Distinct texts, half of them mildly rude, and whether they are."""
    found = [(NICE[at % 3].format(f"{thing} {name}"), False) for at, thing in enumerate(THINGS)]
    return found + [(RUDE[at % 2].format(f"{thing} {name}"), True) for at, thing in enumerate(THINGS)]


def labelled(column: str, rude: Any, nice: Any) -> Callable[[str], Set]:
    return lambda name: [{"text": text, column: rude if toxic else nice} for text, toxic in texts(name)]


def each(rude: dict[str, Any], nice: dict[str, Any]) -> Callable[[str], Set]:
    return lambda name: [{"text": text} | (rude if toxic else nice) for text, toxic in texts(name)]


def sides(first: str, second: str, more: dict[str, Any] | None = None) -> Callable[[str], Set]:
    """A rude text under the first name, a nice one under the second."""

    def make(name: str) -> Set:
        found = texts(name)
        half = len(found) // 2
        nice, rude = found[:half], found[half:]
        return [
            {"prompt": f"How is number {at}?", first: r, second: n} | (more or {})
            for at, ((n, _), (r, _)) in enumerate(zip(nice, rude, strict=True))
        ]

    return make


READ_RIGHT = {  # 1 means fine here, and a name or a word proves it
    "safe": labelled("safe", 0, 1),
    "is_safe_words": labelled("is_safe", "no", "yes"),
    "label_words": labelled("label", "Toxic ", "OK"),
    "non_toxic": labelled("non_toxic", "N", "Y"),
    "not_offensive": labelled("notOffensive", False, True),
    "clean_decimal_comma": labelled("clean", "0,1", "0,9"),
    "hate_words": labelled("class", "hate", "noHate"),
    "vote_lists": labelled("annotations", ["unsafe", "unsafe", "safe"], ["safe", "safe", "unsafe"]),
    "annotators": each({f"annotator_{n}": "toxic" for n in (1, 2, 3)}, {f"annotator_{n}": "non-toxic" for n in (1, 2, 3)}),
    "vote_counts": each({"votes_toxic": 4, "votes_non_toxic": 1}, {"votes_toxic": 0, "votes_non_toxic": 5}),
    "acceptable": labelled("acceptable", 0.05, 0.97),
}
ABSTAINED = {  # nothing proves what 1 means; here it means fine
    "bare_label": labelled("label", 0, 1),
    "bare_boolean": labelled("label", False, True),
    "bare_flag": labelled("flag", "n", "y"),
    "bare_class": labelled("class", "0", "1"),
    "bare_ballots": labelled("votes", [0, 0, 1], [1, 1, 1]),
}
CONTRADICTED = {  # the name proves a polarity, and the texts say the opposite
    "flipped_is_toxic": labelled("is_toxic", 0, 1),
    "flipped_share": labelled("toxicity", 0.1, 0.9),
    "flipped_safe": labelled("safe", "yes", "no"),
    "flipped_words": labelled("label", "non-toxic", "toxic"),
    "flipped_ballots": labelled("annotations", ["ok", "ok", "toxic"], ["toxic", "toxic", "ok"]),
    "flipped_counts": each({"votes_toxic": 0, "votes_total": 5}, {"votes_toxic": 5, "votes_total": 5}),
    "flipped_pairs": sides("chosen", "rejected"),
    "flipped_ballot_pairs": sides("response_a", "response_b", {"preferred": "response_a"}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], pl.DataFrame]:
    """Source folder, manifest, rows as mined and judged, of one build of all the sets."""
    place = tmp_path_factory.mktemp("flipped")
    (place / "raw").mkdir()
    for at, (name, make) in enumerate((READ_RIGHT | ABSTAINED | CONTRADICTED).items()):
        entries = make(name)
        if at % 2 or any(isinstance(value, list) for value in entries[0].values()):
            (place / "raw" / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
            continue
        with (place / "raw" / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, entries[0])
            writer.writeheader()
            writer.writerows(entries)
    (place / "recipe.yaml").write_text(RECIPE)
    manifest = build(place / "raw", place / "out", read_recipe(place / "recipe.yaml")).manifest.to_json()
    corpus = pl.concat([pl.read_parquet(path) for path in (place / "out" / "corpus").glob("*.parquet")])
    name = pl.col("source").str.split(".").list.first()
    return place, manifest, corpus.with_columns(set=name, rude=pl.col("completion").str.contains("idiot|moron"))


def test_there_are_at_least_twenty_sets() -> None:
    assert len(READ_RIGHT) + len(ABSTAINED) + len(CONTRADICTED) >= 20


@pytest.mark.parametrize("name", READ_RIGHT)
def test_what_a_name_or_a_word_proves_is_read_right(made: Any, name: str) -> None:
    _, manifest, rows = made
    rows = rows.filter(set=name)
    assert rows.height == 30 and rows["given"].null_count() == 0
    assert ((rows["given"] > 0.5) == rows["rude"]).all()
    assert not any(warning.startswith(name) for warning in manifest["warnings"])


@pytest.mark.parametrize("name", ABSTAINED)
def test_what_nothing_proves_abstains_and_is_shown(made: Any, name: str) -> None:
    place, manifest, rows = made
    assert rows.filter(set=name)["given"].null_count() == rows.filter(set=name).height >= 30
    (source,) = [one for one in manifest["sources"] if one["source"].startswith(name)]
    assert source["labelled"] == 0
    assert "abstain" in said_of(inspect(place / "raw"), source["source"])


@pytest.mark.parametrize("name", CONTRADICTED)
def test_what_the_texts_contradict_is_warned_about(made: Any, name: str) -> None:
    _, manifest, _ = made
    (warning,) = [warning for warning in manifest["warnings"] if warning.startswith(name)]
    assert "AUC 0.0" in warning and "by ngram on 15 toxic and 15 other rows" in warning and "idiot" not in warning


def test_a_pair_whose_chosen_side_is_toxic_is_never_made(made: Any) -> None:
    _, manifest, rows = made
    assert manifest["dataset"]["paired"] == {"train": 0, "validation": 0, "test": 0}
    assert rows.filter(set="flipped_pairs", side="chosen")["toxic"].to_list() != [False] * 15


def said_of(told: str, source: str) -> str:
    """What `inspect` says of one file: its line."""
    (line,) = [line for line in told.splitlines() if line.startswith(f"{source} ")]
    return line


def rows_of(given: list[float | None], scores: list[float | None], source: str = "a.csv") -> pl.DataFrame:
    columns = {"source": [source] * len(given), "given": given, "side": [None] * len(given), "score_head": scores}
    return pl.DataFrame(columns, schema={"source": pl.String, "given": pl.Float32, "side": pl.String, "score_head": pl.Float32})


def test_agreement_is_the_share_of_right_orders_with_ties_half() -> None:
    # toxic .1 .2 .2 against others .2 .9: orders right 0, ties 2 of 6 -> AUC 1/6; five rows are too few to say so
    few = rows_of([1, 1, 1, 0, 0], [0.1, 0.2, 0.2, 0.2, 0.9])
    assert contradictions(few) == []
    many = pl.concat([few] * 20)
    assert contradictions(many)[0].startswith(
        "a.csv: its labels say the opposite of its texts: AUC 0.17 by head on 60 toxic and 40"
    )


def test_chance_agreement_silence_and_one_class_are_not_warned_about() -> None:
    draw = [((at * 7919) % 101) / 101 for at in range(400)]
    assert contradictions(rows_of([at % 2 for at in range(400)], draw)) == []
    assert contradictions(rows_of([1.0] * 400, draw)) == []
    assert contradictions(rows_of([None] * 400, draw)) == []
    assert contradictions(rows_of([1.0, 0.0] * 200, [None] * 400)) == []
    assert contradictions(rows_of([0.5, 0.5] * 200, draw)) == []
    assert contradictions(rows_of([], [])) == []
