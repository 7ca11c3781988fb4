"""The life of one row, told in ids and numbers unless its text is asked for."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from curate.core.errors import DataError
from curate.core.store import read_parquet
from curate.dataset.look.explain import explain


def corpus(folder: Path) -> pl.DataFrame:
    return read_parquet(folder / "corpus/part-00000.parquet")


def test_a_dropped_row_names_its_stage_twin_and_similarity(dataset_folder: Path) -> None:
    row = corpus(dataset_folder).filter(pl.col("reason") == "near_duplicate").row(0, named=True)
    said = explain(dataset_folder, row["id"])
    assert f"near_duplicates: near_duplicate, score 0.9, twin {row['twin']}" in said
    assert f"{row['source']}, {row['locator']}" in said
    assert row["near_cluster"] in said and "unpaired" not in said


def test_a_row_in_a_pair_names_the_pair_and_its_other_side(dataset_folder: Path) -> None:
    pair = read_parquet(dataset_folder / "paired/train-00000.parquet").row(0, named=True)
    rejected = explain(dataset_folder, pair["rejected_id"])
    assert f"{pair['id']}: train, rejected for {pair['chosen_id']} (same_prompt" in rejected
    assert "train, undesirable" in rejected and "label           toxic, toxicity 0." in rejected
    assert f"train, chosen over {pair['rejected_id']}" in explain(dataset_folder, pair["chosen_id"])


def test_texts_are_shown_only_when_asked_for(dataset_folder: Path) -> None:
    row = corpus(dataset_folder).filter(pl.col("toxic")).row(0, named=True)
    assert row["completion"] not in explain(dataset_folder, row["id"])
    assert "question" not in explain(dataset_folder, row["id"])
    shown = explain(dataset_folder, row["id"], show_text=True)
    assert row["completion"] in shown and row["prompt"][0]["content"] in shown


def test_the_beginning_of_an_id_is_enough(dataset_folder: Path) -> None:
    name = corpus(dataset_folder)["id"][5]
    assert explain(dataset_folder, name[:16]) == explain(dataset_folder, name)


def test_an_id_that_fits_many_rows_or_none_says_what_would_do(dataset_folder: Path) -> None:
    with pytest.raises(DataError, match="ids begin with ''.*give more of it"):
        explain(dataset_folder, "")
    name = corpus(dataset_folder)["id"][5]
    with pytest.raises(DataError, match=f"no row '{name[:8]}zz'; nearest: {name}"):
        explain(dataset_folder, f"{name[:8]}zz")


def test_a_folder_that_no_build_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no manifest\.json"):
        explain(tmp_path, "x")
