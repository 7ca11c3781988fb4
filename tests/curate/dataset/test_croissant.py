"""The Croissant file is valid, and its numbers and checksums are the manifest's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.compose.outputs import UNPAIRED


def test_mlcroissant_finds_no_error_and_every_column(dataset_folder: Path, manifest: dict[str, Any]) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(dataset_folder / "croissant.json")
    assert dataset.metadata.ctx.issues.errors == set()
    assert {one.id.split("/")[0] for one in dataset.metadata.record_sets} == {"paired", "unpaired", "sft"}
    field = next(one for one in dataset.metadata.record_sets if one.id == "unpaired/train-00000").fields
    assert {one.name for one in field} == set(UNPAIRED)


def test_checksums_and_counts_are_the_manifests(dataset_folder: Path, manifest: dict[str, Any]) -> None:
    document = json.loads((dataset_folder / "croissant.json").read_text("utf-8"))
    for file in document["distribution"]:
        assert file["sha256"] == manifest["files"][file["contentUrl"]]["sha256"]
    outputs = ("paired/", "unpaired/", "sft/")
    assert {file["contentUrl"] for file in document["distribution"]} == {
        path for path in manifest["files"] if path.startswith(outputs)
    }
    assert f"{manifest['records']['read']:,} records" in document["rai:dataCollection"]
