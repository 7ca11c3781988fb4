"""A dataset folder that was changed after its build, or that a wrong build made, does not pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.core.schema import canonical, digest
from curate.core.store import read_parquet, sha256, write_json, write_parquet
from curate.dataset.verify import verify

PAIRED, UNPAIRED, CORPUS = "paired/train-00000.parquet", "unpaired/train-00000.parquet", "corpus/part-00000.parquet"


@pytest.fixture
def folder(dataset_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset_folder, tmp_path / "copy"))


def seal(folder: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None) -> None:
    """Give a changed folder a manifest whose checksums and fingerprint fit, so that only the deeper checks can see it."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for path, fact in manifest["files"].items():
        fact["sha256"] = sha256(folder / path)
        if path.endswith(".parquet"):
            fact["rows"] = read_parquet(folder / path).height
    change(manifest)
    del manifest["fingerprint"]
    manifest["fingerprint"] = digest(canonical(manifest))
    write_json(folder / "manifest.json", manifest)


def edit(folder: Path, path: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> list[str]:
    write_parquet(folder / path, change(read_parquet(folder / path)))
    seal(folder)
    return verify(folder)


def test_a_build_passes(dataset_folder: Path) -> None:
    assert verify(dataset_folder) == []


def test_one_changed_byte_is_found(folder: Path) -> None:
    data = bytearray((folder / PAIRED).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / PAIRED).write_bytes(data)
    assert verify(folder) == [f"{PAIRED}: its sha256 is not the manifest's"]


def test_a_missing_file_and_a_strange_one_are_named(folder: Path) -> None:
    (folder / PAIRED).rename(folder / "paired/more.parquet")
    assert verify(folder) == [f"{PAIRED}: is missing", "paired/more.parquet: is not in the manifest"]


def test_a_changed_manifest_does_not_fit_its_fingerprint(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["policy"] = "0" * 32
    write_json(folder / "manifest.json", manifest)
    assert verify(folder) == ["manifest.json: its fingerprint does not fit what it says"]


def test_inverted_polarity_is_found(folder: Path) -> None:
    found = edit(folder, UNPAIRED, lambda rows: rows.with_columns(label=~pl.col("label")))
    assert any("have a label of the wrong polarity" in line for line in found)


def test_swapped_sides_are_found(folder: Path) -> None:
    def swap(pairs: pl.DataFrame) -> pl.DataFrame:
        return pairs.with_columns(
            chosen="rejected", rejected="chosen", chosen_id="rejected_id", rejected_id="chosen_id", margin=-pl.col("margin")
        )

    assert any("have a toxic chosen side" in line for line in edit(folder, PAIRED, swap))


def test_a_text_that_is_not_the_rows_is_found(folder: Path) -> None:
    found = edit(folder, PAIRED, lambda pairs: pairs.with_columns(chosen=pl.col("chosen").reverse()))
    assert any(f"{PAIRED[:12]}: " in line and "have a side that is not the corpus' text" in line for line in found)


def test_pairs_from_two_prompts_are_found(folder: Path) -> None:
    found = edit(folder, PAIRED, lambda pairs: pairs.with_columns(pl.col("chosen_id").reverse()))
    assert any("answer two prompts" in line for line in found)


def test_a_pair_in_another_split_is_found(folder: Path) -> None:
    pairs = read_parquet(folder / PAIRED)
    found = edit(folder, "paired/test-00000.parquet", lambda rows: pl.concat([rows, pairs.head(1)]))
    assert any("paired/test: 1 rows have a side of another split" in line for line in found)


def test_a_row_that_is_lost_between_stages_is_found(folder: Path) -> None:
    def lose(manifest: dict[str, Any]) -> None:
        manifest["stages"][0]["kept"] -= 1

    seal(folder, lose)
    assert any(line.startswith("near_duplicates: ") and "kept" in line for line in verify(folder))


def test_drops_that_the_corpus_does_not_know_are_found(folder: Path) -> None:
    found = edit(folder, CORPUS, lambda rows: rows.with_columns(pl.col("reason").replace({"near_duplicate": "other"})))
    assert any("near_duplicate 3 in the manifest, 0 in the corpus" in line for line in found)


def test_a_leak_from_train_into_test_is_found(folder: Path) -> None:
    found = edit(folder, CORPUS, lambda rows: rows.with_columns(near_cluster=pl.lit("one")))
    assert any(line.startswith("test: ") and "share a near cluster with train" in line for line in found)


def test_a_source_that_must_not_be_trained_on_is_found(folder: Path) -> None:
    found = edit(folder, CORPUS, lambda rows: rows.with_columns(source=pl.lit("held_out/b.jsonl")))
    assert "held_out/b.jsonl: is never to be trained on, but has rows in train or validation" in found


def test_a_lost_column_is_found(folder: Path) -> None:
    found = edit(folder, PAIRED, lambda pairs: pairs.drop("licence"))
    assert found == [f"{PAIRED}: columns are not those of this format: licence"]


def test_records_that_do_not_add_up_are_found(folder: Path) -> None:
    def lose(manifest: dict[str, Any]) -> None:
        manifest["records"]["read"] += 1

    seal(folder, lose)
    found = verify(folder)
    assert any(line.startswith("records of all sources") for line in found)
