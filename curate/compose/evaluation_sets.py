"""Folders of evaluation data, read as a build reads its own, so that training can be compared with them.

What was read is kept in the work folder under the name of the set and the hash of what it holds: `curate forget` makes the
dataset again without the folder. It holds texts, free of personal data like every row, and never leaves the work folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curate.compose.contamination import EvaluationSet, lines_of
from curate.core.contracts import RowStage
from curate.core.errors import DataError, UserError
from curate.core.schema import canonical, digest
from curate.core.store import read_parquet, write_parquet
from curate.raw.ingest import ingest
from curate.raw.sources import SourceSettings, discover
from curate.raw.tombstones import Tombstones
from curate.stages.cleaning import cleaned
from curate.text.encoders import Encoder

FOLDER = "against"  # in the work folder
ITEMS = ("item", "source", "locator", "text")


def keep_sets(
    work: Path,
    against: Sequence[str],
    *,
    cleaning: Sequence[RowStage],
    sources: Sequence[SourceSettings],
    author_key: bytes,
    tombstones: Tombstones,
) -> tuple[str, ...]:
    """Read evaluation folders and keep their texts in the work folder; others that were kept before are deleted.

    Args:
        work: the work folder.
        against: folders, or names of sets that are kept already.
        cleaning: the recipe's stages that change texts before all others, in order.
        sources: what the recipe says of files.
        author_key: of the work folder.
        tombstones: texts that must not be kept.

    Returns:
        Name of each set, "folder@hash".

    Raises:
        UserError: a folder that cannot be read, or holds no text.
    """
    names: list[str] = []
    for entry in dict.fromkeys(against):
        if (work / FOLDER / f"{entry}.parquet").is_file():
            names.append(entry)
            continue
        items = _without(_read(work, entry, cleaning, sources, author_key), tombstones)
        name = f"{Path(entry).resolve().name}@{digest(canonical(items.to_dicts()), size=6)}"
        write_parquet(work / FOLDER / f"{name}.parquet", items)
        names.append(name)
    for path in (work / FOLDER).glob("*.parquet"):
        if path.stem not in names:
            path.unlink()
    return tuple(names)


def kept_sets(work: Path, names: Sequence[str], encoder: Encoder | None) -> list[EvaluationSet]:
    """The sets that `keep_sets` named, with vectors where there is an encoder."""
    sets = []
    for name in names:
        items = read_parquet(work / FOLDER / f"{name}.parquet", list(ITEMS))
        sets.append(EvaluationSet(name, items, encoder.encode(items["text"].to_list()) if encoder else None))
    return sets


def forget_items(work: Path, tombstones: Tombstones) -> None:
    """Take items with forgotten texts out of every set that is kept."""
    for path in sorted((work / FOLDER).glob("*.parquet")):
        items = read_parquet(path, list(ITEMS))
        left = _without(items, tombstones)
        if left.height < items.height:
            write_parquet(path, left)


def _without(items: pl.DataFrame, tombstones: Tombstones) -> pl.DataFrame:
    """The items of which no text was forgotten."""
    if not tombstones:
        return items
    gone = pl.Series([tombstones.knows(text) for text in items["text"]], dtype=pl.Boolean)
    return items.filter(~pl.col("item").is_in(items.filter(gone)["item"].implode()))


def _read(
    work: Path, entry: str, cleaning: Sequence[RowStage], sources: Sequence[SourceSettings], author_key: bytes
) -> pl.DataFrame:
    raw = work / FOLDER / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    try:
        ingested = ingest(discover(Path(entry).expanduser()), work=raw, sources=sources, author_key=author_key)
        parts = [cleaned(part.read(), cleaning) for part in ingested.parts]
    except UserError as error:
        problem = error.problem.removeprefix(f"--source {entry}: ")
        raise type(error)(f"--against {entry}: {problem}", hint=error.hint) from None
    finally:
        shutil.rmtree(raw, ignore_errors=True)
    rows = pl.concat(parts) if parts else None
    if rows is None or not rows.height:
        raise DataError(f"--against {entry}: {ingested.describe()}", hint="name a folder that holds texts")
    return lines_of(rows, prompts=True).sort("item", "text")
