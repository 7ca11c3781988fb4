"""Small inputs that failed elsewhere, with the right values: they lie beside the repository, and may be absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from curate.raw.ingest import ingest
from curate.raw.sources import discover

CASES = Path(__file__).parents[4] / "shared" / "cases"

EXPECTED: dict[str, list[float | None]] = {
    "01-prompt-label-taken-for-reply/aegis2.jsonl": [0, 0, 1, 0],
    "01-prompt-label-taken-for-reply/c_prompt_toxic.jsonl": [0, 0, 1, 0],
    "01-prompt-label-taken-for-reply/d_only_prompt_toxicity.jsonl": [None] * 4,
    "02-suggestion-taken-for-human/argilla_flat.jsonl": [1, 0, 1],
    "02-suggestion-taken-for-human/argilla_nested.jsonl": [1, 0, 1, 0],
    "02-suggestion-taken-for-human/gpt.jsonl": [1, 0, 1, 0],
    "02-suggestion-taken-for-human/weak.jsonl": [1, 0, 1, 0],
    "09-jigsaw-six-labels/j.csv": [0, 1, 1, None, 1, None],
    "10-label-studio-json/export.json": [1, 0, None],
    "10-label-studio-json/prodigy.jsonl": [1, 0, 0, 1, None],
    "10-label-studio-json/two_annotators.json": [1, 0],
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
@pytest.mark.parametrize("name", EXPECTED)
def test_every_case_gives_the_right_labels(tmp_path: Path, name: str) -> None:
    (tmp_path / "raw").mkdir()
    shutil.copy(CASES / name, tmp_path / "raw" / Path(name).name)
    made = ingest(discover(tmp_path / "raw"), work=tmp_path / "work", author_key=b"key")
    rows = pl.concat([pl.read_parquet(part.path) for part in made.parts])
    assert rows["given"].to_list() == EXPECTED[name]
    assert set(rows["evidence"]) <= {"human", "votes", None} or "aegis2" in name
