"""The dataset folder opens by the names in its card, and its shapes are TRL's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.compose.compose import DatasetOptions, compose
from curate.compose.splits import Splits
from curate.core.store import PARQUET_ROWS, read_parquet
from curate.dataset.formats import data_files, write_dataset
from curate.pairing import PAIRERS

Rows = Callable[..., pl.DataFrame]


@pytest.mark.parametrize("config", ["paired", "unpaired", "sft", "corpus"])
def test_load_dataset_opens_every_config(dataset_folder: Path, manifest: dict[str, Any], config: str, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(dataset_folder), config, cache_dir=str(tmp_path))
    files = {path: fact["rows"] for path, fact in manifest["files"].items() if path.startswith(f"{config}/")}
    if config == "corpus":
        assert loaded["train"].num_rows == sum(files.values())
        return
    assert {split: part.num_rows for split, part in loaded.items()} == {
        split: sum(rows for path, rows in files.items() if f"/{split}-" in path) for split in loaded
    }
    assert set(loaded) == {path.split("/")[1].split("-")[0] for path in files}
    row = loaded["train"][0]
    for name in {"paired": ("chosen", "rejected"), "unpaired": ("completion",), "sft": ("completion",)}[config]:
        assert row["prompt"][-1]["role"] == "user" and [message["role"] for message in row[name]] == ["assistant"]
        assert all(set(message) == {"role", "content"} and message["content"] for message in (*row["prompt"], *row[name]))


def test_labels_are_boolean_and_true_is_the_mild_reply(dataset_folder: Path) -> None:
    rows = read_parquet(dataset_folder / "unpaired/train-00000.parquet")
    assert rows.schema["label"] == pl.Boolean
    rude = rows["completion"].list.first().struct.field("content").str.starts_with("you fool")
    assert rows["label"].equals(~rude, check_names=False) and rude.any()


def test_an_empty_split_has_no_file_and_no_line_in_the_card(tmp_path: Path, rows: Rows) -> None:
    import datasets
    import yaml

    made = compose(
        rows({"prompt": "a", "text": "x", "toxicity": 0.9}, {"prompt": "a", "text": "y", "toxicity": 0.1}),
        DatasetOptions(splits=Splits(validation=0, test=0)),
        [make() for make in PAIRERS.values() if not make.reads],
        0,
    )
    written = write_dataset(made, tmp_path / "out")
    assert sorted(written) == [f"{name}-00000.parquet" for name in ("corpus/part", "paired/train", "sft/train", "unpaired/train")]
    files = data_files(made.counts)
    head = yaml.safe_dump({"configs": [{"config_name": name, "data_files": paths} for name, paths in files.items()]})
    (tmp_path / "out/README.md").write_text(f"---\n{head}---\n")
    assert list(datasets.load_dataset(str(tmp_path / "out"), "paired", cache_dir=str(tmp_path / "cache"))) == ["train"]


def test_files_hold_at_most_a_parts_rows_in_order_of_id(tmp_path: Path, rows: Rows) -> None:
    some = rows(*({"prompt": "a", "text": f"reply {n}", "toxicity": 0.1} for n in range(3)))
    many = pl.concat([some] * 22_000).with_columns(
        id=pl.arange(66_000).cast(pl.String).str.zfill(9), completion=pl.arange(66_000).cast(pl.String)
    )
    composed = compose(many, DatasetOptions(), [], 0)
    written = write_dataset(composed, tmp_path)
    assert [written[f"corpus/part-{at:05d}.parquet"] for at in (0, 1)] == [PARQUET_ROWS, 66_000 - PARQUET_ROWS]
    assert pl.concat([read_parquet(tmp_path / f"corpus/part-{at:05d}.parquet", ["id"]) for at in (0, 1)])["id"].is_sorted()
