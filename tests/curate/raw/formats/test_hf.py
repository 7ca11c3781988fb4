from __future__ import annotations

import gzip
import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.ingest import ingest
from curate.raw.sources import discover


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with two splits, as the library itself saves it."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

    features = Features(
        {
            "text": Value("string"),
            "y": ClassLabel(names=["non-toxic", "toxic"]),
            "all": Sequence(ClassLabel(names=["ok", "hate"])),
        }
    )

    def make(start: int) -> Dataset:
        rows = range(start, start + 30)
        return Dataset.from_dict(
            {
                "text": [f"the text of row number {at} here" for at in rows],
                "y": [-1 if at % 10 == 9 else at % 2 for at in rows],
                "all": [[at % 2, 0] for at in rows],
            },
            features=features,
        )

    folder = tmp_path_factory.mktemp("hub") / "source"
    DatasetDict({"train": make(0), "test": make(100)}).save_to_disk(str(folder / "set"))
    make(200).to_parquet(str(folder / "table.parquet"))
    return folder


def test_a_saved_dataset_is_read_with_the_names_of_its_classes(saved: Path, tmp_path: Path) -> None:
    result = ingest(discover(saved), work=tmp_path, author_key=b"k")
    assert [(file.source, file.format, file.records, file.labelled) for file in result.files] == [
        ("set/test/data-00000-of-00001.arrow", "hf", 30, 27),
        ("set/train/data-00000-of-00001.arrow", "hf", 30, 27),
        ("table.parquet", "parquet", 30, 27),
    ]
    rows = pl.concat([part.read() for part in result.parts])
    number = rows["completion"].str.extract(r"number (\d+)").cast(pl.Int64)
    labelled = rows.with_columns(number=number).drop_nulls("given")
    assert labelled["given"].cast(pl.Int64).to_list() == (labelled["number"] % 2).to_list()
    assert {entry["name"]: entry["reason"] for entry in result.left_aside()} == {
        "set/dataset_dict.json": "about",
        "set/test/dataset_info.json": "about",
        "set/test/state.json": "about",
        "set/train/dataset_info.json": "about",
        "set/train/state.json": "about",
    }


def test_a_record_has_its_classes_by_name(saved: Path) -> None:
    stream = Stream(saved / "set" / "train" / "data-00000-of-00001.arrow")
    assert recognise(stream) == "hf"
    first, second, *_ = READERS["hf"](stream)
    assert isinstance(second, Record)
    assert second.fields == {"text": "the text of row number 1 here", "y": "toxic", "all": ["hate", "ok"]}
    assert second.locator == "row 2"


def test_caches_beside_the_data_are_left_aside(saved: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(saved / "set" / "train", tmp_path / "set")
    shutil.copy(tmp_path / "set" / "data-00000-of-00001.arrow", tmp_path / "set" / "cache-123.arrow")
    listing = discover(tmp_path)
    assert [file.name for file in listing.files] == ["set/data-00000-of-00001.arrow"]
    assert ("set/cache-123.arrow", "cache") in [(entry.name, entry.reason) for entry in listing.left_aside]


def test_a_page_that_links_elsewhere_is_not_followed(saved: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(saved / "set" / "train", tmp_path / "source")
    os.replace(tmp_path / "source" / "state.json", tmp_path / "state.json")
    (tmp_path / "source" / "state.json").symlink_to(tmp_path / "state.json")
    listing = discover(tmp_path / "source")
    assert ("state.json", "symlink") in [(entry.name, entry.reason) for entry in listing.left_aside]


@pytest.mark.parametrize("kind", ["stream", "file", "gz"])
def test_arrow_is_read_as_a_stream_as_a_file_and_compressed(tmp_path: Path, kind: str) -> None:
    table = pa.table({"text": [f"text {at}" for at in range(700)], "n": list(range(700))})
    path = tmp_path / "a"
    with pa.OSFile(str(path), "wb") as file:
        with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(file, table.schema) as writer:
            writer.write_table(table)
    if kind == "gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    stream = Stream(path)
    assert recognise(stream) == "hf"
    entries = list(READERS["hf"](stream))
    assert [entry.fields for entry in entries if isinstance(entry, Record)] == table.to_pylist()


def test_a_damaged_dataset_says_so_and_keeps_what_came_before(saved: Path, tmp_path: Path) -> None:
    table = pa.table({"text": [f"text {at}" for at in range(3_000)]})
    path = tmp_path / "a"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=500)
    whole = path.read_bytes()
    for size in (9, 300, len(whole) // 2, len(whole) - 400):
        path.write_bytes(whole[:size])
        entries = list(READERS["hf"](Stream(path)))
        assert isinstance(entries[-1], Broken) and len(entries) < 3_000
    path.write_bytes(b"\xff\xff\xff\xff" + bytes(range(256)))
    assert isinstance(list(READERS["hf"](Stream(path)))[-1], Broken)
