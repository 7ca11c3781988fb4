"""`curate forget`: rows and everything derived from them leave a dataset folder and its work folder, and do not come back.

What is forgotten is the text of a row's completion, wherever it stands: rows that repeat it (also those dropped as twins),
rows that have it in their prompt, and every other row of a record with such a row. A text matches as a whole; case, width
and spacing do not count, nor what repair undoes, nor the numbers of pseudonyms.

The order makes it safe to kill, and the same command completes:

1. Tombstones (keyed hashes) of the texts, records and rows are written. From here on no build takes them in again: the
   receipt of every part written before is void.
2. Parts in the work folder lose the marked rows, unused columns what those records and other copies of the text say there,
   quarantined records their bytes (a broken record may hold any piece of a text), and each receipt says how many records
   were forgotten. What was generated from a marked record goes with it. Source files are neither needed nor touched.
3. The dataset is made again of the parts by its own recipe, from its manifest. Caches are keyed by the content they were made
   of, so what did not change costs nothing; the new folder takes the old one's place at once.
4. Whatever the new dataset does not rest on is deleted from the work folder: earlier parts, column files, leftovers, and what
   models said of any text that is not in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from curate.compose.evaluation_sets import forget_items
from curate.core.cache import keep_only
from curate.core.errors import DataError, RecipeError, StorageError
from curate.core.manifest import MANIFEST, Manifest, read_manifest
from curate.core.manifest.counts import Tally
from curate.core.store import Stored, commit, committed, read_parquet
from curate.dataset.formats import OUTPUTS, read_output
from curate.generation.answers import forget_answers
from curate.labelers.scoring import joined
from curate.pages.tables import table_lines
from curate.pipeline.build import rebuild
from curate.pipeline.commit import changed, foreign, listing, recover, staging_for, withdraw
from curate.pipeline.places import KEY, find_places, holding
from curate.pipeline.recipe import BuildRecipe, resolve
from curate.pipeline.work import CACHE, keys_of
from curate.raw.ingest import Ingested
from curate.raw.receipts import ROOMS, FileReport, believed, paths_of, read_receipt, write_receipt
from curate.raw.sources import LeftAside
from curate.raw.tombstones import REASON, Tombstones, load_tombstones, texts_of
from curate.stages.engine import Conservation
from curate.text.prompts import flatten, last_user

COUNTED = ("corpus", *OUTPUTS, "similarity")


@dataclass(frozen=True)
class Removal:
    """What left the dataset.

    Attributes:
        rows: `id`, `source`, `locator` of every row that left the corpus.
        before: output -> rows in it, before.
        after: the same, after; empty when nothing was left and the dataset is gone.
        untouched: files in the dataset folder that no build made.
    """

    rows: pl.DataFrame
    before: Tally
    after: Tally
    untouched: tuple[str, ...] = ()


def forget(folder: Path, ids: Sequence[str], work: Path | None = None) -> Removal:
    """Remove rows and everything derived from them.

    Args:
        folder: the dataset folder.
        ids: of rows, whole.
        work: its work folder; beside it by default.

    Raises:
        DataError: no dataset or work folder there, or an id that no row has; nothing was changed.
        RecipeError: another version, with other options, made the dataset; nothing was changed.
        StorageError: the disk fails; the same command goes on from there.
    """
    places = find_places(folder, work)
    out, work = places.out, places.work
    if not (work / KEY).is_file():
        raise DataError(f"{work}: found no author.key", hint=f"pass with --work the work folder of the build that made {folder}")
    with holding(places):
        recover(out, *staging_for(out, work))
        tombstones = load_tombstones(work, (work / KEY).read_bytes())
        manifest = read_manifest(out) if (out / MANIFEST).exists() or not tombstones else None
        keys = keys_of(work, manifest) if manifest is not None else []
        if keys is None:
            raise DataError(
                f"{work}: does not hold the parts of {folder}", hint="run its `curate build` again first, then forget"
            )
        recipe = _recipe_of(out, manifest) if manifest is not None else None
        _check_whole(out, manifest)
        tombstones = _marked(work, list(dict.fromkeys(ids)), tombstones)
        tombstones.write(work)
        for receipt in sorted((work / "parts").glob("*.json")):
            _purge(work, receipt, tombstones)
        forget_answers(work, tombstones)
        forget_items(work, tombstones)
        before, rows = _counts(manifest), _corpus(out, manifest)
        manifest, used = _remade(out, work, keys, manifest, recipe, tombstones)
        _sweep(out, work, keys, used)
        keep_only(work / CACHE, _texts(out, manifest))
        left = _corpus(out, manifest)
        own = tuple(foreign(out, manifest or Manifest()) if out.exists() else ())
        return Removal(rows.join(left, on="id", how="anti"), before, _counts(manifest), own)


def read_ids(path: Path) -> list[str]:
    """One id per line; blank lines and what follows a '#' do not count.

    Raises:
        DataError: unreadable, or no id in it.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--ids {path}: cannot be read ({type(error).__name__})", hint="pass a text file with one id per line"
        ) from None
    ids = [line.partition("#")[0].strip() for line in lines]
    if not any(ids):
        raise DataError(f"--ids {path}: found no id", hint="write one per line, as `curate explain` and the corpus name rows")
    return [name for name in ids if name]


def describe(removal: Removal, folder: Path, asked: int) -> str:
    """What was removed, for the terminal: counts, ids and places, no text."""
    lines = [
        f"{folder}: {removal.rows.height:,} rows forgotten for {asked:,} asked: these, their copies, and rows that answer them"
    ]
    lines += ["", *table_lines(("output", "before", "after", "removed"), [_line(name, removal) for name in removal.before]), ""]
    lines += [f"{name}  {source}: {locator}" for name, source, locator in removal.rows.iter_rows()]
    if not removal.after:
        lines.append("no row is left: the dataset is removed")
    if removal.untouched:
        lines.append(f"{len(removal.untouched):,} files in it that no build made were not touched: {listing(removal.untouched)}")
    return "\n".join(
        [
            *lines,
            "quarantined records keep their place and reason, no bytes",
            "the source files were not touched: a rebuild skips these records as 'forgotten'; other programs read them still",
            "copies of the folder, and models trained on it, still hold what they held",
        ]
    )


def _recipe_of(out: Path, manifest: Manifest) -> BuildRecipe:
    """The recipe that made the dataset, read before anything is changed: another version may have known other options."""
    try:
        return resolve(dict(manifest.recipe), out / MANIFEST)
    except RecipeError as error:
        again = "run its `curate build` again first, then forget"
        hint = f"{error.hint}; or {again}" if error.hint else again
        raise RecipeError(f"{error.problem}; nothing was changed", hint=hint) from None


def _check_whole(out: Path, manifest: Manifest | None) -> None:
    """A table that was changed would be kept beside the new one, with the texts to forget."""
    if manifest is not None and (odd := [name for name in changed(out, manifest) if "/" in name]):
        raise DataError(
            f"{out}: {len(odd):,} files are not as the build wrote them, first {odd[0]}; nothing was changed",
            hint="run its `curate build` again first, delete what it keeps of them, then forget",
        )


def _marked(work: Path, ids: Sequence[str], tombstones: Tombstones) -> Tombstones:
    """Tombstones with those of the asked rows, and of every row that holds one of their texts, added."""
    parts = sorted((work / "parts").glob("*/*.parquet"))
    known: set[str] = set()
    texts: set[str] = set()
    for path in parts:
        asked = _read(path).filter(pl.col("id").is_in(ids))
        known.update(asked["id"])
        texts.update(asked["completion"].drop_nulls())
        tombstones = tombstones.joined(records=asked["record"], rows=asked["id"])
    unknown = [name for name in ids if name not in known and tombstones.mark("row", name) not in tombstones.rows]
    if unknown:
        raise DataError(
            f"--ids: {len(unknown):,} of {len(ids):,} are no row here, first {unknown[0]}; nothing was changed",
            hint="`curate explain` knows the ids of this folder's rows",
        )
    tombstones = tombstones.joined(texts=texts)
    settled = None
    while settled != tombstones.hash:  # a copy's own spelling may have copies of its own
        settled = tombstones.hash
        for path in parts:
            frame = _read(path)
            rows = [row for row in frame.iter_rows(named=True) if tombstones.holds(row)]
            records = {row["record"] for row in rows}
            names = frame.filter(pl.col("record").is_in(records))["id"]
            copies = [text for row in rows for text in texts_of(row) if tombstones.knows(text)]
            tombstones = tombstones.joined(texts=copies, records=records, rows=names)
    return tombstones


def _read(path: Path) -> pl.DataFrame:
    try:
        return read_parquet(path, ["id", "record", "prompt", "completion"])
    except StorageError:  # damaged, or written half: no receipt vouches for it, and the sweep takes it
        return pl.DataFrame(schema={"id": pl.String, "record": pl.String, "prompt": pl.List(pl.String), "completion": pl.String})


def _purge(work: Path, path: Path, tombstones: Tombstones) -> None:
    """Take the marked rows out of the parts of one source file, and the bytes out of its quarantine; its receipt last.

    Each file is replaced by itself, and counts are taken from what is left: a kill in between leaves nothing to undo.
    """
    receipt = read_receipt(path)
    if receipt is None:
        path.unlink()  # the sweep takes the parts
        return
    report, stamp = receipt
    if stamp == tombstones.hash:
        return
    try:
        left = [_without_marked(part, tombstones) for part in paths_of(work, report, "parts")]
        bare = [_without_bytes(part) for part in paths_of(work, report, "quarantine")]
        rest = [_without_texts(part, tombstones) for part in paths_of(work, report, "unused")]
    except _DamagedPart:
        path.unlink()  # as if the file had not been read
        return
    rows = pl.concat([part.read(["record", "given", "licence"]) for part in left]) if left else None
    mined = rows["record"].n_unique() if rows is not None else 0
    gone = report.mined - mined
    licences = rows["licence"].fill_null("").value_counts().sort("licence") if rows is not None else None
    write_receipt(
        work,
        replace(
            report,
            mined=mined,
            rows=rows.height if rows is not None else 0,
            labelled=rows["given"].count() if rows is not None else 0,
            skipped=dict(sorted((report.skipped | ({REASON: report.skipped.get(REASON, 0) + gone} if gone else {})).items())),
            licences=dict(licences.iter_rows()) if licences is not None else {},
            parts=tuple(part.sha256 for part in left),
            quarantine=tuple(part.sha256 for part in bare),
            unused=tuple(part.sha256 for part in rest),
        ),
        tombstones,
    )


class _DamagedPart(Exception):  # noqa: N818 - a signal, caught by `_purge`
    """A part that cannot be read."""


def _without_marked(path: Path, tombstones: Tombstones) -> Stored:
    frame = _whole(path)
    marked = {name for name in frame["record"].unique() if tombstones.mark("record", name) in tombstones.records}
    return _replaced(path, frame, frame.filter(~pl.col("record").is_in(marked)))


def _without_texts(path: Path, tombstones: Tombstones) -> Stored:
    """Unused columns without the marked records, and without any record that repeats a forgotten text there."""
    frame = _whole(path)
    marked = [name is not None and tombstones.mark("record", name) in tombstones.records for name in frame["record"]]
    repeats = [tombstones.within(json.loads(fields)) for fields in frame["fields"]]
    return _replaced(path, frame, frame.filter(~(pl.Series(marked, dtype=pl.Boolean) | pl.Series(repeats, dtype=pl.Boolean))))


def _without_bytes(path: Path) -> Stored:
    frame = _whole(path)
    return _replaced(path, frame, frame.with_columns(raw=pl.lit(b"", pl.Binary)))


def _whole(path: Path) -> pl.DataFrame:
    try:
        return read_parquet(path)
    except StorageError:
        raise _DamagedPart from None


def _replaced(path: Path, frame: pl.DataFrame, wanted: pl.DataFrame) -> Stored:
    standing = committed(path)
    return standing if standing is not None and wanted.equals(frame) else commit(path, wanted)


def _remade(
    out: Path,
    work: Path,
    keys: Sequence[str],
    manifest: Manifest | None,
    recipe: BuildRecipe | None,
    tombstones: Tombstones,
) -> tuple[Manifest | None, frozenset[Path]]:
    """The dataset of what is left, and the column files it rests on; where nothing is left, the folder goes."""
    if manifest is None or recipe is None:
        return None, frozenset()
    known = [believed(work, key, tombstones) for key in keys]
    files: list[FileReport] = [receipt[0] for receipt in known if receipt is not None]
    if len(files) < len(keys):
        raise DataError(
            f"{work}: some parts are missing or damaged", hint="run its `curate build` again, it skips what is forgotten"
        )
    ingested = Ingested(
        parts=tuple(part for receipt in known if receipt is not None for part in receipt[1]),
        files=tuple(files),
        aside=tuple(LeftAside(**entry) for entry in manifest.left_aside),
    )
    try:
        return rebuild(recipe, ingested, out, work)
    except Conservation:
        raise
    except DataError:  # no row, or none with a label
        withdraw(out, *staging_for(out, work))
        return None, frozenset()


def _sweep(out: Path, work: Path, keys: Sequence[str], used: frozenset[Path]) -> None:
    """Delete what the dataset does not rest on, and what a killed build left."""
    for folder in staging_for(out, work):
        shutil.rmtree(folder, ignore_errors=True)
    for room in ROOMS:
        for path in sorted((work / room).glob("*")):
            if path.name.removesuffix(".json") in keys:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sorted((work / "columns").rglob("*")):
        if path.is_file() and path.with_suffix(".parquet") not in used:
            path.unlink()
    for path in sorted(work.rglob(".*.tmp")):
        path.unlink()


def _counts(manifest: Manifest | None) -> Tally:
    """Rows by output."""
    if manifest is None:
        return {}
    return {name: sum(manifest.files[path].rows or 0 for path in manifest.tables(f"{name}/")) for name in COUNTED}


def _corpus(out: Path, manifest: Manifest | None) -> pl.DataFrame:
    columns = ("id", "source", "locator")
    if manifest is None:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return read_output(out, manifest, "corpus/", columns)


def _texts(out: Path, manifest: Manifest | None) -> Iterator[str]:
    """Every text of the corpus, as models were asked about them: completions, messages of prompts, and the two joined."""
    if manifest is not None:
        rows = read_output(out, manifest, "corpus/", ("prompt", "completion"))
        flat, completions = flatten(rows), rows["completion"].fill_null("").to_list()
        yield from completions
        yield from flat["content"]
        yield from joined(completions, last_user(flat, rows.height))


def _line(name: str, removal: Removal) -> tuple[str, ...]:
    before, after = removal.before[name], removal.after.get(name, 0)
    return name, f"{before:,}", f"{after:,}", f"{before - after:,}"
