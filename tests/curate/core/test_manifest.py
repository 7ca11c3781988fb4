"""The manifest as types: what is written is what is read, and what no build writes is named with its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from curate.core.errors import DataError, StorageError
from curate.core.manifest import MANIFEST, from_json, is_sealed, read_manifest


def test_what_is_read_is_written_again_to_the_last_key(dataset_folder: Path, manifest: dict[str, Any]) -> None:
    assert read_manifest(dataset_folder).to_json() == manifest
    assert read_manifest(dataset_folder).sealed().fingerprint == manifest["fingerprint"] and is_sealed(manifest)


def test_unpaired_train_without_a_side_is_written_as_an_empty_object() -> None:
    tree = from_json({"dataset": {"bias": {"paired": {}, "unpaired": {}}}}).to_json()
    assert tree["dataset"]["bias"] == {"paired": {}, "unpaired": {}}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"files": 3}, "files"),
        ({"files": {"a": {}}}, "files.a.sha256"),
        ({"stages": [{"stage": "pii"}]}, "stages.0.rows_in"),
        ({"dataset": {"kept": "many"}}, "dataset.kept"),
        ({"recipe": {"dataset": 5}}, "recipe.dataset"),
        ({"recipe": {"dataset": {"splits": []}}}, "recipe.dataset.splits"),
        ({"recipe": {"stages": "pii"}}, "recipe.stages"),
    ],
)
def test_a_value_that_no_build_writes_is_named_with_its_place(
    dataset_folder: Path, tmp_path: Path, change: dict[str, Any], place: str
) -> None:
    shutil.copytree(dataset_folder, tmp_path / "copy")
    tree = json.loads((tmp_path / "copy" / MANIFEST).read_bytes()) | change
    (tmp_path / "copy" / MANIFEST).write_text(json.dumps(tree))
    with pytest.raises(StorageError, match=rf"{MANIFEST}: is not a build's manifest \({place}: "):
        read_manifest(tmp_path / "copy")


def test_a_key_that_was_added_by_hand_breaks_the_seal(dataset_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset_folder, tmp_path / "copy")
    tree = json.loads((tmp_path / "copy" / MANIFEST).read_bytes())
    (tmp_path / "copy" / MANIFEST).write_text(json.dumps(tree | {"more": 1}))
    assert not is_sealed(tree | {"more": 1})
    with pytest.raises(StorageError, match="its fingerprint does not fit what it says"):
        read_manifest(tmp_path / "copy")
    assert read_manifest(tmp_path / "copy", sealed=False).name == tree["name"]


def test_a_folder_without_one_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no manifest\.json; pass a folder that `curate build` made"):
        read_manifest(tmp_path)
