"""The example data: what is committed is what the script writes, and every text is what its markers say."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from curate.dataset.licences import obligations
from curate.raw.ingest import ingest
from curate.raw.sources import discover

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
RAW = EXAMPLES / "raw"


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _table(name: str) -> list[dict[str, str]]:
    with (RAW / name).open(encoding="utf-8-sig", newline="") as file:
        return [row for row in csv.DictReader(file, delimiter="\t" if name.endswith("tsv") else ",") if row["completion"]]


def _lines(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (RAW / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def markers() -> re.Pattern[str]:
    words = (EXAMPLES / "truth.txt").read_text(encoding="utf-8").split("\n")
    return re.compile(r"\b(?:" + "|".join(re.escape(word) for word in words if word) + r")\b")


def test_the_script_writes_the_committed_files_to_the_last_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(EXAMPLES / "make_raw.py"), str(tmp_path)], check=True, capture_output=True, timeout=60)
    assert _files(tmp_path) == _files(RAW)


def test_labels_of_sampled_completions_agree_with_the_markers(markers: re.Pattern[str]) -> None:
    labelled = [row for row in _table("samples/samples_b.tsv") if row["is_toxic"]]
    assert len(labelled) > 200
    assert all(bool(markers.search(row["completion"].casefold())) == (row["is_toxic"] == "1") for row in labelled)


def test_prompts_neutral_rows_and_chosen_sides_hold_no_marker(markers: re.Pattern[str]) -> None:
    texts = [row["prompt"] for name in ("samples/model_outputs.csv", "samples/samples_b.tsv") for row in _table(name)]
    texts += [str(row[side]) for row in _lines("held_out/neutral.jsonl") for side in ("prompt", "completion")]
    texts += [str(row[side]) for row in _lines("samples/preferences.jsonl") for side in ("prompt", "chosen")]
    assert not [text for text in texts if markers.search(text.casefold())]


def test_rejected_sides_hold_a_marker(markers: re.Pattern[str]) -> None:
    assert all(markers.search(str(row["rejected"]).casefold()) for row in _lines("samples/preferences.jsonl"))


def test_neutral_words_stand_in_no_other_file() -> None:
    others = b" ".join(content for name, content in _files(RAW).items() if not name.startswith("held_out/")).decode().casefold()
    assert not [word for word in ("library", "seeds", "tide", "railway", "centimetre") if re.search(rf"\b{word}\b", others)]


def test_dirt_is_planted() -> None:
    forum = b"".join(content for name, content in _files(RAW).items() if name.startswith("forum/")).decode()
    for dirt in ("<br>", "&amp;quot;", "â€", "\u200b", "@example.com", "+65 9123 ", "https://example.com/"):
        assert dirt in forum


def test_the_folder_is_small_enough_for_git() -> None:
    assert sum(map(len, _files(RAW).values())) < 1_300_000


def test_every_row_of_the_example_states_its_licence(tmp_path: Path) -> None:
    read = ingest(discover(RAW), work=tmp_path / "work", author_key=b"key")
    assert set(read.licences()) == {"CC0-1.0"} and obligations(read.licences()).conflicts == []
