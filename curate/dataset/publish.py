"""The last files of a dataset folder: figures, card, report, Croissant, and the manifest that vouches for every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from curate.core.errors import RecipeError
from curate.core.manifest import MANIFEST, FileEntry, Manifest, read_manifest
from curate.core.store import sha256, write_json, write_text
from curate.dataset.card import card
from curate.dataset.croissant import croissant
from curate.dataset.figures import figures, write_figures
from curate.dataset.gallery import gallery
from curate.dataset.report import report


def publish(folder: Path, manifest: Manifest, tables: Mapping[str, int], points: pl.DataFrame | None) -> Manifest:
    """Write everything that is told about the Parquet files, the manifest last.

    Args:
        folder: with its Parquet files in place.
        manifest: but for `figures`, `files` and `fingerprint`.
        tables: path within the folder of each Parquet file, and of other forms of it -> rows.
        points: where rows stand on the map (`id`, `x`, `y`), or None without vectors.

    Returns:
        The whole manifest.
    """
    manifest = replace(manifest, files=_vouched(folder, tables))
    pictures = figures(folder, manifest, points)
    manifest = replace(manifest, figures={one.name: one.data() for one in pictures if one.name != "map"})
    texts = {
        "README.md": card(manifest),
        "report.html": report(manifest, pictures, gallery(folder, manifest)),
        "croissant.json": json.dumps(croissant(manifest), ensure_ascii=False, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    about = _vouched(folder, dict.fromkeys((*texts, *write_figures(pictures, folder))))
    manifest = replace(manifest, files=dict(sorted((manifest.files | about).items()))).sealed()
    write_json(folder / MANIFEST, manifest.to_json())
    return manifest


def write_report(folder: Path, target: Path, show_text: bool) -> None:
    """Write the report of a dataset that stands, with texts of dropped rows if asked.

    Raises:
        DataError: there is no dataset.
        RecipeError: `target` lies in the dataset folder, which is safe to share and has its checksums.
    """
    manifest = read_manifest(folder)
    if target.resolve().is_relative_to(folder.resolve()):
        raise RecipeError(f"--to {target}: lies in {folder}, which is safe to share", hint="choose a place outside it")
    write_text(target, report(manifest, figures(folder, manifest), gallery(folder, manifest, show_text)))


def _vouched(folder: Path, files: Mapping[str, int | None]) -> dict[str, FileEntry]:
    return {
        path: FileEntry(sha256=sha256(folder / path), bytes=(folder / path).stat().st_size, rows=rows)
        for path, rows in sorted(files.items())
    }
