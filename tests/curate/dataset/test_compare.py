"""Two builds side by side: what is equal says so, what differs is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from curate.core.schema import canonical, digest
from curate.core.store import sha256
from curate.dataset.look.compare import as_page, as_text, compare


def changed(folder: Path, to: Path) -> Path:
    """The same build with another threshold, in which one kept row was dropped and one changed its label."""
    shutil.copytree(folder, to)
    path = to / "corpus/part-00000.parquet"
    rows = pl.read_parquet(path)
    kept = rows.filter(pl.col("reason").is_null() & ~pl.col("toxic"))["id"].sort()
    rows = rows.with_columns(
        reason=pl.when(pl.col("id") == kept[0]).then(pl.lit("far")).otherwise("reason"),
        stage=pl.when(pl.col("id") == kept[0]).then(pl.lit("outliers")).otherwise("stage"),
        toxic=pl.when(pl.col("id") == kept[1]).then(True).otherwise("toxic"),
    )
    rows.write_parquet(path)
    manifest: dict[str, Any] = json.loads((to / "manifest.json").read_text())
    manifest["recipe"]["stages"][0]["near_duplicates"]["threshold"] = 0.7
    manifest["files"]["corpus/part-00000.parquet"]["sha256"] = sha256(path)
    del manifest["fingerprint"]
    manifest["fingerprint"] = digest(canonical(manifest), size=16)
    (to / "manifest.json").write_text(json.dumps(manifest))
    return to


def test_a_build_compared_with_itself_differs_nowhere(dataset_folder: Path) -> None:
    told = {table.heading: table.lines for table in compare(dataset_folder, dataset_folder)}
    assert {line[3] for line in told["Outputs"]} == {"="}
    assert told["Rows whose fate changed"] == []
    assert all(line[3] == "" for line in told["What made them"])


def test_a_changed_option_label_and_fate_are_each_named(dataset_folder: Path, tmp_path: Path) -> None:
    told = {table.heading: table.lines for table in compare(dataset_folder, changed(dataset_folder, tmp_path / "b"))}
    assert ("recipe.stages.near_duplicates.threshold", "0.8", "0.7", "differs") in told["What made them"]
    assert ("non_toxic", "toxic", "1", "changed") in told["Rows in both, by label"]
    assert [line[:3] for line in told["Rows whose fate changed"]] == [("kept", "outliers: far", "1")]


def test_the_page_shows_no_text_and_the_terminal_says_the_same(dataset_folder: Path, tmp_path: Path) -> None:
    tables = compare(dataset_folder, changed(dataset_folder, tmp_path / "b"))
    page = as_page(tables, dataset_folder, tmp_path / "b")
    assert "the stall" not in page and "outliers: far" in page and "outliers: far" in as_text(tables)
    assert "<script" not in page and "src=" not in page
