"""What people say of single rows outranks every labeler, is kept with the build, and is checked line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from curate.commands.cli import cli
from curate.compose.compose import DatasetOptions, compose
from curate.compose.splits import Splits
from curate.compose.verdicts import read_verdicts
from curate.core.errors import DataError
from curate.core.manifest.counts import VerdictCounts
from curate.pairing.given import GivenPairer
from curate.pairing.same_prompt import SamePromptPairer
from curate.pipeline.forget import forget

ONE = DatasetOptions(splits=Splits(validation=0, test=0))
PAIRERS = [GivenPairer(), SamePromptPairer()]


def test_a_person_outranks_machines_and_the_data_s_own_labels(rows: Any) -> None:
    built = rows(
        {"prompt": "a", "text": "walao so rude", "toxicity": 0.9, "evidence": "votes"},
        {"prompt": "a", "text": "you are a fool", "toxicity": 0.1},
        {"prompt": "b", "text": "hard to say", "toxicity": 0.1},
    )
    mild, rude, unclear = built["id"]
    made = compose(built, ONE, PAIRERS, 0, verdicts={mild: False, rude: True, unclear: None, "nobody": True})
    corpus = {row["id"]: row for row in made.corpus.iter_rows(named=True)}
    assert [(corpus[name]["toxic"], corpus[name]["toxicity"], corpus[name]["evidence"]) for name in (mild, rude)] == [
        (False, 0.0, "human"),
        (True, 1.0, "human"),
    ]
    assert corpus[unclear]["reason"] == "abstained"
    assert made.paired["train"].select("chosen_id", "rejected_id", "margin").rows() == [(mild, rude, 1.0)]
    assert made.counts.verdicts == VerdictCounts(rows=3, changed=3, unknown=1)
    assert any("verdicts: 1 name no row" in line for line in made.warnings)


def test_a_text_that_a_person_judged_is_in_no_conflict_with_what_machines_say_of_its_copies(rows: Any) -> None:
    built = rows(
        {"prompt": "a", "text": "Siao ah", "toxicity": 0.9},
        {"prompt": "b", "text": "siao ah", "toxicity": 0.1},
        {"prompt": "c", "text": "you fool", "toxicity": 0.9},
    )
    first, second, _ = built["id"]
    fates = dict(compose(built, ONE, PAIRERS, 0, verdicts={second: False}).corpus.select("id", "reason").iter_rows())
    assert (fates[first], fates[second]) == ("conflict", None)
    both = dict(compose(built, ONE, PAIRERS, 0, verdicts={first: True, second: False}).corpus.select("id", "reason").iter_rows())
    assert (both[first], both[second]) == ("conflict", "conflict"), "people disagree too"


def test_of_several_lines_the_last_counts_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text(
        '{"id": "a", "verdict": "toxic"}\n\n{"id": "a", "verdict": "abstain", "by": "r2"}\n{"id": "b", "verdict": "non_toxic"}\n'
    )
    assert read_verdicts(path) == {"a": None, "b": False}
    for bad in ('{"id": "a"}', '{"id": "a", "verdict": "yes"}', "[]", "no json"):
        path.write_text('{"id": "b", "verdict": "toxic"}\n' + bad)
        with pytest.raises(DataError, match=r"verdicts.jsonl:2: expected"):
            read_verdicts(path)


def test_a_filled_in_audit_is_taken_as_verdicts_and_a_bad_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    path.write_text("\ufeffid,queue,place,toxic\r\na,random,0,Yes\r\nb,random,1,\r\nc,suspect,0, no \r\n", encoding="utf-8")
    assert read_verdicts(path) == {"a": True, "c": False}
    path.write_text(f'id,toxic,completion\na,,{"long " * 50_000}\nb,no,"two\nlines"\na,yes,\n')
    assert read_verdicts(path) == {"a": True, "b": False}
    wrong = {"id,toxic\na,no\nb,maybe\n": "row 2: column toxic", "id,answer\na,yes\n": "found id, answer", "": "no table"}
    for bad, said in wrong.items():
        path.write_text(bad)
        with pytest.raises(DataError, match=said):
            read_verdicts(path)
    with pytest.raises(DataError, match="no table"):
        read_verdicts(tmp_path / "none.csv")


RECIPE = """
stages: [repair, pii, language, length, exact_duplicates, column, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
"""


def test_the_command_takes_a_file_and_forgetting_still_knows_what_it_said(tmp_path: Path) -> None:
    lines = [
        {"prompt": f"where to go {at}", "completion": f"{text} number {at} lah my friend", "is_toxic": toxic}
        for at in range(40)
        for text, toxic in (("take the bus", 0), ("idiot ask for what", 1))
    ]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    words = [
        "build",
        "--source",
        str(tmp_path / "raw"),
        "--out",
        str(tmp_path / "out"),
        "--recipe",
        str(tmp_path / "recipe.yaml"),
    ]
    assert CliRunner().invoke(cli, words).exit_code == 0

    def corpus() -> pl.DataFrame:
        return pl.read_parquet(tmp_path / "out" / "corpus" / "*.parquet")

    wrong, other = corpus().filter("toxic")["id"][:2]
    verdicts = tmp_path / "verdicts.jsonl"
    verdicts.write_text(json.dumps({"id": wrong, "verdict": "non_toxic"}) + "\n")
    result = CliRunner().invoke(cli, [*words, "--verdicts", str(verdicts)])
    assert result.exit_code == 0, result.output
    assert corpus().filter(id=wrong)["toxic"].to_list() == [False]
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()
    verdicts.unlink()
    forget(tmp_path / "out", [other])
    assert corpus().filter(id=wrong)["toxic"].to_list() == [False] and other not in corpus()["id"]
