"""Hashes of models: what decides their output counts, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.core.errors import StorageError
from curate.core.store import files_hash, folder_hash, writer_hash


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "1_Pooling").mkdir()
    for name in ("model.safetensors", "config.json", "chat_template.jinja", "1_Pooling/config.json"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reads", "writes"),
    [
        ("config.json", True, True),
        ("model.safetensors", True, True),
        ("1_Pooling/config.json", True, False),
        ("chat_template.jinja", False, True),
        ("README.md", False, False),
    ],
)
def test_a_change_counts_where_it_decides(model: Path, name: str, reads: bool, writes: bool) -> None:
    before = folder_hash(model), writer_hash(model)
    (model / name).write_text("other")
    assert (folder_hash(model) != before[0], writer_hash(model) != before[1]) == (reads, writes)


def test_a_folder_without_safetensors_is_no_model_and_no_folder_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no \.safetensors file"):
        folder_hash(tmp_path)
    assert writer_hash(tmp_path / "hub-id") == ""


def test_names_and_order_count(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("x")
    two.write_text("x")
    assert len({files_hash(paths) for paths in ([one], [two], [one, two], [two, one])}) == 4
