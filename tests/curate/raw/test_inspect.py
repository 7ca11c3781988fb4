from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.raw.inspect import inspect
from curate.raw.sources import SourceSettings

Command = Callable[..., Any]
SECRET = "quite a private sentence"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = [json.dumps({"body": f"{SECRET} number {at}", "y": at % 2, "who": "ann", "license": "CC0-1.0"}) for at in range(30)]
    (folder / "a.jsonl").write_text("\n".join([*lines, '{"broken']))
    words = ("toxic", "non-toxic", "1", "0", "")
    (folder / "b.csv").write_text("text,flag\n" + "".join(f"{SECRET} {at},{words[at % 5]}\n" for at in range(20)))
    (folder / "c.txt").write_text("".join(f"[18/06/21, 8:{at:02d}:00 PM] {'ab'[at % 2]}: {SECRET}\n" for at in range(20)))
    (folder / "d.bin").write_bytes(bytes(range(256)) * 4)
    with zipfile.ZipFile(folder / "e.zip", "w") as archive:
        archive.writestr("in.tsv", "text\toffensive\tnote\n" + "".join(f"{SECRET} {at}\t{at % 2}\tx\n" for at in range(9)))
        archive.writestr("../up.txt", "x")
    return folder


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def test_one_table_says_how_each_file_would_be_read(raw: Path) -> None:
    page = inspect(raw)
    a, b, c, e = (line_of(page, name).split("  ") for name in ("a.jsonl", "b.csv", "c.txt", "e.zip/in.tsv"))
    assert {"plain", "jsonl", "utf-8", "text"} <= {cell.strip() for cell in a}
    assert "author=who" not in page and "text=body" in " ".join(a) and "CC0-1.0" in " ".join(a)
    assert {"chat", "1 first_turn"} <= {cell.strip() for cell in c}
    assert {"zip", "csv", "1 under 'offensive' is toxic: 4 toxic, 5 not"} <= {cell.strip() for cell in e}
    assert "1 is toxic, as words beside it prove: 8 toxic, 8 not, 4 no label" in [cell.strip() for cell in b]


def test_what_is_left_aside_or_broken_has_its_reason(raw: Path) -> None:
    page = inspect(raw)
    assert line_of(page, "d.bin").split() == ["d.bin", "unknown_format"]
    assert line_of(page, "e.zip/../up.txt").split() == ["e.zip/../up.txt", "path_traversal"]
    assert line_of(page, "a.jsonl: line 31").startswith("a.jsonl: line 31: not JSON")


def test_a_label_of_unproven_side_abstains_and_inspect_says_what_would_settle_it(raw: Path) -> None:
    page = inspect(raw)
    assert "abstains: 0 toxic, 0 not, 15 '0' of unproven side, 15 '1' of unproven side" in line_of(page, "a.jsonl")
    assert '  - {match: "a.jsonl", labels: {"1": true, "0": false}}' in page.splitlines()
    settled = inspect(raw, sources=(SourceSettings(match="a.jsonl", labels={"1": True, "0": False}),))
    assert "the recipe says: 15 toxic, 15 not" in line_of(settled, "a.jsonl") and "sources:" not in settled


def test_columns_that_play_no_role_are_listed(raw: Path) -> None:
    page = inspect(raw).splitlines()
    unused = page[page.index("columns that play no role:") :]
    assert any(line.split() == ["a.jsonl", "who"] for line in unused)
    assert any(line.split() == ["e.zip/in.tsv", "note"] for line in unused)


def test_no_text_is_told_unless_asked_for(raw: Path) -> None:
    assert SECRET not in inspect(raw)
    assert f"  completion: {SECRET}" in inspect(raw, show_text=True)


def test_a_limit_reads_the_first_records_of_each_file_and_says_so(raw: Path) -> None:
    page = inspect(raw, limit=10)
    assert " 10+ " in line_of(page, "a.jsonl") and " 9 " in line_of(page, "e.zip/in.tsv")
    assert "the first 10 records of each file were read" in page


def test_names_of_files_cannot_reach_the_terminal_as_control_characters(raw: Path) -> None:
    (raw / "x\x1b[31m.txt").write_text("one text\n")
    assert "\x1b" not in inspect(raw) and "x\ufffd[31m.txt" in inspect(raw)


def test_the_command_reads_the_recipes_sources_and_writes_nothing(curate: Command, raw: Path, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    done = curate("inspect", raw, "--set", "sources=[{match: 'a.jsonl', labels: {'1': false, '0': true}}]")
    assert done.code == 0, done.err
    assert "the recipe says: 15 toxic, 15 not" in done.out and SECRET not in done.out
    assert sorted(path for path in tmp_path.rglob("*")) == before
    missing = curate("inspect", tmp_path / "none")
    assert missing.code == 3 and "no such folder" in missing.err
