"""The commands of `curate label`: what they print, what they write, and how they refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.compose.verdicts import read_verdicts
from tests.conftest import Command
from tests.curate.conftest import STAGES, judged, write_folder

NAMES = ("forum.jsonl", "chat.jsonl")


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Judged answers to questions, in a file of their own."""
    kind = ("Sorry to hear, hope it gets better.", "Thanks, see you there at six.", "Take the bus, quite fast one.")
    rude = ("You are so stupid, shut up.", "Nobody likes you, get lost.", "What an idiot question, you moron.")
    rows = [
        {"text": f"{text} {at}", "toxic": toxic, "prompt": f"How do I go there? {at}", "turns": [at], "template": f"t{at % 10}"}
        for at in range(20)
        for toxic, texts in ((False, kind), (True, rude))
        for text in texts
    ]
    path = tmp_path_factory.mktemp("replies") / "replies.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_replies_are_judged_behind_their_prompts(curate: Command, replies: Path) -> None:
    alone = json.loads(curate("label", "eval", "--data", replies, "--labeler", "tuned", "--json").out)
    asked = json.loads(curate("label", "eval", "--data", replies, "--labeler", "tuned", "--prompt", "prompt", "--json").out)
    assert alone["overall"]["texts"] == asked["overall"]["texts"] == 120
    assert alone["overall"]["roc_auc"][0] > 0.9 < asked["overall"]["roc_auc"][0]
    assert alone["overall"] != asked["overall"]
    ran = curate("label", "eval", "--data", replies, "--labeler", "reply", "--prompt", "prompt")
    assert ran.code == 0 and "0 without a score\nroc_auc: " in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--labeler", "reply"), "give --prompt"),
        (("--prompt", "prompt"), "does not read prompts\n  hint: try tuned or reply"),
        (("--labeler", "tuned", "--prompt", "asked"), "no column 'asked'"),
        (("--labeler", "tuned", "--prompt", "turns"), "texts are needed"),
        (("--by", "target"), "no column 'target' to break down by"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(
    curate: Command, replies: Path, arguments: tuple[str, ...], said: str
) -> None:
    ran = curate("label", "eval", "--data", replies, *arguments)
    assert ran.code != 0 and said in ran.err and "Traceback" not in ran.err


def _two_sources(rows: int = 600) -> pl.DataFrame:
    """Rows that people labelled, of a forum where one in five is toxic and a chat where four in five are."""
    rng = np.random.default_rng(4)
    lines = []
    for at in range(rows):
        source = NAMES[at % 2]
        toxic = bool(rng.random() < (0.2, 0.8)[at % 2])
        scores = {f"score_{name}": float(np.clip(rng.normal(0.65 if toxic else 0.35, 0.2), 0, 1)) for name in ("head", "ngram")}
        lines.append(
            {"text": f"words {at}", "prompt": "how? é", "source": source, "evidence": "human", "toxicity": float(toxic), **scores}
        )
    return judged(*lines)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of two sources that people labelled."""
    folder = tmp_path_factory.mktemp("labelled")
    consensus = {"consensus": {"labelers": ["column", "head", "ngram"]}}
    write_folder(_two_sources(), folder, [STAGES[0], {"head": {}}, {"ngram": {}}, consensus])
    return folder


def test_labelers_are_weighed_and_each_source_by_itself_if_wanted(curate: Command, labelled: Path, tmp_path: Path) -> None:
    ran = curate("label", "weigh", labelled, "--out", tmp_path / "all.json")
    assert ran.code == 0, ran.err
    assert "by labels, 600 rows" in ran.out and not any(name in ran.out for name in NAMES)
    ran = curate("label", "weigh", labelled, "--out", tmp_path / "own.json", "--by-source")
    shifts = {name: float(ran.out.split(f"{name}: log-odds ")[1].split(";")[0]) for name in NAMES}
    assert shifts["forum.jsonl"] < 0 < shifts["chat.jsonl"]
    assert "not measured" not in ran.out
    kept = json.loads((tmp_path / "own.json").read_text("utf-8"))
    assert set(kept["sources"]) == set(NAMES)


def test_a_labeler_that_spoke_of_few_labelled_rows_is_named(curate: Command, tmp_path: Path) -> None:
    rows = _two_sources().with_columns(score_tuned=pl.when(pl.int_range(pl.len()) < 30).then(0.5))
    consensus = {"consensus": {"labelers": ["column", "head", "ngram", "tuned"]}}
    write_folder(rows, tmp_path / "few", [STAGES[0], {"head": {}}, {"ngram": {}}, {"tuned": {}}, consensus])
    ran = curate("label", "weigh", tmp_path / "few", "--out", tmp_path / "r.json")
    assert ran.code == 0 and "tuned: not measured" in ran.out and "judged" in ran.out


def test_a_labeler_of_ones_own_is_weighed_too(curate: Command, tmp_path: Path) -> None:
    rows = _two_sources().with_columns(score_rude=pl.col("score_head"), score_head_hateful=pl.col("score_head"))
    consensus = {"consensus": {"labelers": ["column", "head", "ngram", "rude"]}}
    write_folder(rows, tmp_path / "own", [STAGES[0], {"head": {}}, {"ngram": {}}, {"rude:Rude": {}}, consensus])
    ran = curate("label", "weigh", tmp_path / "own", "--out", tmp_path / "r.json")
    assert ran.code == 0 and set(json.loads((tmp_path / "r.json").read_text("utf-8"))["labelers"]) == {"head", "ngram", "rude"}


def test_without_a_machine_there_is_nothing_to_weigh(curate: Command, tmp_path: Path) -> None:
    rows = _two_sources().drop("score_head", "score_ngram")
    write_folder(rows, tmp_path / "people", [STAGES[0], {"consensus": {"labelers": ["column"]}}])
    ran = curate("label", "weigh", tmp_path / "people", "--out", tmp_path / "r.json")
    assert ran.code == 3 and "600 labelled rows, of which no labeler scored 50" in ran.err and "hint: run a labeler" in ran.err


def test_an_audit_is_drawn_filled_in_and_counted(curate: Command, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.csv"
    assert curate("label", "audit", labelled, "--out", out, "--count", 30).code == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 30 and not any("words" in value for row in rows for value in row.values())
    truth = dict(_two_sources().select("id", "toxic").iter_rows())
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"toxic": "yes" if truth[row["id"]] else "no"} for row in rows)
    ran = curate("label", "audit", labelled, "--out", out)
    assert ran.code == 0 and "accuracy" in ran.out.lower()


def test_an_audit_shows_texts_only_where_they_are_asked_for(curate: Command, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.csv"
    assert curate("label", "audit", labelled, "--out", out, "--count", 20, "--show-text").code == 0
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = dict(_two_sources().select("id", "completion").iter_rows())
    assert rows and all(row["completion"] == texts[row["id"]] for row in rows)
    assert {row["prompt"] for row in rows} == {"user: how? é"}
    with out.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"toxic": "Yes"} for row in rows)
    ran = curate("label", "audit", labelled, "--out", out)
    assert ran.code == 0 and "20 rows of the random queue have a label" in ran.out
    assert set(read_verdicts(out).values()) == {True}


def test_a_folder_that_is_no_dataset_is_named(curate: Command, tmp_path: Path) -> None:
    ran = curate("label", "weigh", tmp_path, "--out", tmp_path / "r.json")
    assert ran.code != 0 and str(tmp_path) in ran.err and "Traceback" not in ran.err
