"""The dataset folder's Parquet files, which `datasets.load_dataset` opens by the names in the card's head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.compose import Composed
from curate.compose.fates import COLUMNS
from curate.compose.outputs import schema_of
from curate.core.errors import DataError, StorageError
from curate.core.store import PARQUET_ROWS, read_parquet, write_parquet
from curate.dataset.exports import WRITERS
from curate.pairing.pairer import PAIR

OUTPUTS = ("paired", "unpaired", "sft")


def write_dataset(composed: Composed, folder: Path, also: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Write `paired/`, `unpaired/`, `sft/`, `refused/` (candidates), `contamination/`, `review/` and `corpus/`, in order of id.

    A file has at most 65,536 rows.

    An empty split has no file: `datasets` cannot open Parquet without rows. The card leaves it out likewise.

    Args:
        composed: what to write.
        folder: the dataset folder.
        also: formats beside Parquet, each in a folder of its name.

    Returns:
        Path relative to `folder` -> {"rows": n}.

    Raises:
        StorageError: the disk will not take it.
    """
    written: dict[str, dict[str, Any]] = {}
    for output, frames in zip(OUTPUTS, (composed.paired, composed.unpaired, composed.sft), strict=True):
        for split, frame in frames.items():
            written |= _write(frame, folder, f"{output}/{split}")
            for form in also:
                written |= WRITERS[form](frame, folder, f"{form}/{output}/{split}")
    written |= _write(composed.refused, folder, "refused/part")
    written |= _write(composed.overlaps, folder, "contamination/part")
    written |= _write(composed.review, folder, "review/part")
    return written | _write(composed.corpus, folder, "corpus/part")


def data_files(counts: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Config -> `data_files` of the Hub's YAML, for the splits that have rows.

    Args:
        counts: the manifest's `dataset` section.
    """
    configs = {}
    for output in OUTPUTS:
        splits = [split for split, size in counts[output].items() if (sum(size.values()) if isinstance(size, Mapping) else size)]
        if splits:
            configs[output] = [{"split": split, "path": f"{output}/{split}-*.parquet"} for split in splits]
    configs["corpus"] = [{"split": "train", "path": "corpus/part-*.parquet"}]  # one split, whatever its rows' own `split`
    return configs


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a dataset folder.

    Raises:
        DataError: there is none.
        StorageError: it is not what a build wrote.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise DataError(f"{folder}: found no manifest.json", hint="pass a folder that `curate build` made")
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or "files" not in manifest:
        raise StorageError(f"{path}: is not a build's manifest", hint="build the folder again")
    return manifest


def stages(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages in order, and composing as the last: rows in = kept + dropped by reason in each."""
    counts = manifest["dataset"]
    last = {"stage": "compose", "rows_in": counts["rows_in"], "kept": counts["kept"], "dropped": counts["dropped"]}
    return [*manifest["stages"], last]


def read_output(folder: Path, manifest: Mapping[str, Any], stem: str, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of all files whose path starts with `stem` ("corpus/", "paired/test-"), in order of path.

    Raises:
        StorageError: a file is missing, changed or lacks a column.
    """
    paths = sorted(path for path in manifest["files"] if path.startswith(stem) and path.endswith(".parquet"))
    parts = [read_parquet(folder / path, list(columns)) for path in paths]
    if parts:
        return pl.concat(parts)
    room = stem.split("/")[0]
    known = schema_of(room, manifest["recipe"]["dataset"]["form"]) if room in OUTPUTS else COLUMNS | PAIR
    return pl.DataFrame(schema={name: known.get(name, pl.Null) for name in columns})


def _write(frame: pl.DataFrame, folder: Path, stem: str) -> dict[str, dict[str, Any]]:
    written = {}
    for at, part in enumerate(frame.iter_slices(PARQUET_ROWS)):
        path = f"{stem}-{at:05d}.parquet"
        write_parquet(folder / path, part)
        written[path] = {"rows": part.height}
    return written
