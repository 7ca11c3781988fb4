"""Labels that were not used and folders that gave nothing: what was seen, and the line to paste, which works as it stands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from curate.core.errors import DataError
from curate.dataset.card import card
from curate.dataset.look.summary import summary
from curate.dataset.report import report
from curate.pipeline.build import BuildResult, build
from curate.pipeline.recipe import read_recipe

RECIPE = """
stages: [repair, pii, column, ngram, consensus: {labelers: [column, ngram]}]
pairing: [same_prompt]
"""
THINGS = "bus train stall queue lift phone soup rice umbrella ticket lesson market library park song lamp".split()


def make(folder: Path, name: str, records: list[dict[str, Any]], *sets: str) -> BuildResult:
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    (raw / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "r.yaml").write_text(RECIPE)
    return build(raw, folder / "out", read_recipe(folder / "r.yaml", sets))


def labelled(column: str = "label") -> list[dict[str, Any]]:
    return [{"text": f"the {thing} at the corner is late again", column: at % 2} for at, thing in enumerate(THINGS)]


def pasted(line: str) -> str:
    """The setting that a line tells to paste, as a shell would pass it."""
    found = re.search(r"--set ('.*')", line)
    assert found is not None, line
    (setting,) = shlex.split(found[1])
    return setting


@pytest.mark.parametrize("answers", [(0, 1), (False, True), ("False", "True")])
@pytest.mark.parametrize("name", ["mine.jsonl", 'it\'s [1] "mine".jsonl'])
def test_labels_that_were_not_used_are_said_with_a_line_that_uses_them(tmp_path: Path, name: str, answers: Any) -> None:
    records = [record | {"label": answers[record["label"]]} for record in labelled()]
    manifest = make(tmp_path, name, records).manifest
    (line,) = (line for line in manifest.warnings if "`label`" in line)
    assert line.startswith(f"{name}: column `label` labels 0 of 16 rows: nothing proves which")
    assert manifest.warnings[-1] == line
    said = summary(manifest, tmp_path / "out").splitlines()
    assert said[-3] == f"warning: {line}", "the last line but the one that says what is next"
    assert "labels 0 of 16 rows" in report(manifest) and "labels 0 of 16 rows" in card(manifest)
    again = make(tmp_path, name, records, pasted(line)).manifest
    assert again.sources[0].labelled == 16 and not any("`label`" in line for line in again.warnings)
    assert again.dataset.labels["toxic"]["human"] == 8


def test_labels_that_prove_themselves_need_no_word(tmp_path: Path) -> None:
    assert not any("labels 0 of" in line for line in make(tmp_path, "a.jsonl", labelled("is_toxic")).manifest.warnings)


def test_a_recipe_that_speaks_of_sources_is_told_to_add_a_line_for_a_setting_would_replace_them(tmp_path: Path) -> None:
    sources = 'sources=[{match: "*", licence: cc0-1.0}]'
    (line,) = (line for line in make(tmp_path, "a.jsonl", labelled(), sources).manifest.warnings if "`label`" in line)
    assert '- {match: "a.jsonl", labels: {"1": true, "true": true, "0": false, "false": false}} under sources' in line
    wrong = 'sources=[{match: "*", labels: {"bad": true}}]'
    (line,) = (line for line in make(tmp_path, "a.jsonl", labelled(), wrong).manifest.warnings if "`label`" in line)
    assert line.endswith("it holds none of the values that `sources: labels:` names")


def test_a_table_of_opening_posts_is_named_with_its_reason_and_the_setting_reads_it(tmp_path: Path) -> None:
    posts = [
        {"id": str(at), "parent_id": "", "body": f"the {thing} at the corner is late", "is_toxic": at % 2}
        for at, thing in enumerate(THINGS)
    ]
    with pytest.raises(DataError, match=r"16 opening_post.*posts\.jsonl \(jsonl, read as thread\)") as error:
        make(tmp_path, "posts.jsonl", posts)
    hint = error.value.hint or ""
    assert hint.startswith("where each text stands alone (opening_post): --set")
    assert make(tmp_path, "posts.jsonl", posts, pasted(hint)).manifest.sources[0].labelled == 16


def test_a_table_without_a_text_is_told_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 no_text_column.*n\.jsonl \(jsonl, read as no text\)") as error:
        make(tmp_path, "n.jsonl", [{"count": at, "size": at * 2} for at in range(3)])
    assert (error.value.hint or "").endswith("""'sources=[{match: "n.jsonl", columns: {text: COLUMN}}]'""")


def test_rows_that_all_abstain_say_so_and_what_would_help(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in labelled()))
    (tmp_path / "r.yaml").write_text("stages: [repair, pii, column, consensus: {labelers: [column]}]\npairing: [same_prompt]\n")
    with pytest.raises(DataError, match="no row is left to write: abstained 16") as error:
        build(tmp_path / "raw", tmp_path / "out", read_recipe(tmp_path / "r.yaml"))
    assert "with the line to paste" in (error.value.hint or "")
