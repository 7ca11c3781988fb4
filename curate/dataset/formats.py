"""The dataset folder's Parquet files, which `datasets.load_dataset` opens by the names in the card's head."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import polars as pl

from curate.compose.compose import Composed
from curate.compose.fates import COLUMNS
from curate.compose.outputs import schema_of
from curate.core.errors import StorageError
from curate.core.manifest import Manifest
from curate.core.manifest.counts import DatasetCounts, Tally
from curate.core.store import PARQUET_ROWS, read_parquet, sha256, write_parquet
from curate.dataset.exports import WRITERS
from curate.pairing.pairer import PAIR

OUTPUTS = ("paired", "unpaired", "sft")


def write_dataset(composed: Composed, folder: Path, also: Sequence[str] = ()) -> Tally:
    """Write `paired/`, `unpaired/`, `sft/`, `refused/` (candidates), `contamination/`, `review/` and `corpus/`, in order of id.

    A file has at most 65,536 rows.

    An empty split has no file: `datasets` cannot open Parquet without rows. The card leaves it out likewise.

    Args:
        composed: what to write.
        folder: the dataset folder.
        also: formats beside Parquet, each in a folder of its name.

    Returns:
        Path relative to `folder` -> rows.

    Raises:
        StorageError: the disk will not take it.
    """
    written: Tally = {}
    for output, frames in zip(OUTPUTS, (composed.paired, composed.unpaired, composed.sft), strict=True):
        for split, frame in frames.items():
            written |= _write(frame, folder, f"{output}/{split}")
            for form in also:
                written |= WRITERS[form](frame, folder, f"{form}/{output}/{split}")
    written |= _write(composed.refused, folder, "refused/part")
    written |= _write(composed.overlaps, folder, "contamination/part")
    written |= _write(composed.review, folder, "review/part")
    return written | _write(composed.corpus, folder, "corpus/part")


def data_files(counts: DatasetCounts) -> dict[str, list[dict[str, str]]]:
    """Config -> `data_files` of the Hub's YAML, for the splits that have rows.

    Args:
        counts: the manifest's `dataset` section.
    """
    configs = {}
    for output, sizes in counts.sizes().items():
        if any(sizes.values()):
            configs[output] = [{"split": name, "path": f"{output}/{name}-*.parquet"} for name, size in sizes.items() if size]
    configs["corpus"] = [{"split": "train", "path": "corpus/part-*.parquet"}]  # one split, whatever its rows' own `split`
    return configs


def reads_as_data(name: str, manifest: Manifest) -> bool:
    """Whether a reader of the folder takes a file for data: a Parquet file beside the build's own."""
    return name.endswith(".parquet") and any(path.startswith(f"{name.partition('/')[0]}/") for path in manifest.files)


def read_output(folder: Path, manifest: Manifest, stem: str, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of all files whose path starts with `stem` ("corpus/", "paired/test-"), in order of path.

    Raises:
        StorageError: a file is missing, changed or lacks a column.
    """
    parts = [read_table(folder, manifest, path, list(columns)) for path in manifest.tables(stem)]
    if parts:
        return pl.concat(parts)
    room = stem.split("/")[0]
    known = schema_of(room, manifest.form) if room in OUTPUTS else COLUMNS | PAIR
    return pl.DataFrame(schema={name: known.get(name, pl.Null) for name in columns})


def read_table(folder: Path, manifest: Manifest, path: str, columns: list[str] | None = None) -> pl.DataFrame:
    """One Parquet file of the folder, or some columns of it, if its bytes are what the manifest says.

    Raises:
        StorageError: it is missing, changed or lacks a column.
    """
    with contextlib.suppress(OSError):  # what is missing, the reader says
        facts = (folder / path).stat()
        signature = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if not _is_whole(folder / path, manifest.files[path].sha256, signature):
            raise StorageError(
                f"{folder / path}: its sha256 is not the manifest's, so it was changed or damaged", hint="build the folder again"
            )
    return read_parquet(folder / path, columns)


@lru_cache(maxsize=1024)
def _is_whole(path: Path, expected: str, signature: tuple[int, ...]) -> bool:
    """Whether a file is what its sha256 says; looked at again only when the file seems to have changed."""
    return sha256(path) == expected


def _write(frame: pl.DataFrame, folder: Path, stem: str) -> Tally:
    written = {}
    for at, part in enumerate(frame.iter_slices(PARQUET_ROWS)):
        path = f"{stem}-{at:05d}.parquet"
        write_parquet(folder / path, part)
        written[path] = part.height
    return written
