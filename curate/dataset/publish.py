"""The last files of a dataset folder: figures, card, report, Croissant, and the manifest that vouches for every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.core.errors import RecipeError
from curate.core.schema import canonical, digest
from curate.core.store import sha256, write_json, write_text
from curate.dataset.card import card
from curate.dataset.croissant import croissant
from curate.dataset.figures import figures, write_figures
from curate.dataset.formats import read_manifest
from curate.dataset.gallery import gallery
from curate.dataset.report import report

MANIFEST = "manifest.json"


def publish(folder: Path, facts: Mapping[str, Any], written: Mapping[str, Any], points: pl.DataFrame | None) -> dict[str, Any]:
    """Write everything that is told about the Parquet files, the manifest last.

    Args:
        folder: with its Parquet files in place.
        facts: the manifest but for `figures`, `files` and `fingerprint`.
        written: path within the folder of each Parquet file -> what is to be said of it (`rows`).
        points: where rows stand on the map (`id`, `x`, `y`), or None without vectors.

    Returns:
        The manifest.
    """
    manifest: dict[str, Any] = {**facts, "files": _vouched(folder, written)}
    drawn = figures(folder, manifest, points)
    manifest["figures"] = {
        one.name: {"header": list(one.header), "rows": [list(row) for row in one.rows]} for one in drawn if one.name != "map"
    }
    texts = {
        "README.md": card(manifest),
        "report.html": report(manifest, drawn, gallery(folder, manifest)),
        "croissant.json": json.dumps(croissant(manifest), ensure_ascii=False, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    told = dict.fromkeys((*texts, *write_figures(drawn, folder)), {"rows": None})
    manifest["files"] = dict(sorted((manifest["files"] | _vouched(folder, told)).items()))
    manifest["fingerprint"] = digest(canonical(manifest), size=16)
    write_json(folder / MANIFEST, manifest)
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


def _vouched(folder: Path, files: Mapping[str, Any]) -> dict[str, Any]:
    return {
        path: {"sha256": sha256(folder / path), "bytes": (folder / path).stat().st_size, **fact}
        for path, fact in sorted(files.items())
    }
