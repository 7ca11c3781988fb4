"""`curate verify`: what a dataset folder claims, checked from its bytes; nothing that built it is asked again."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from curate.compose.contamination import HIT, Contamination, contamination
from curate.compose.contamination import REASON as CONTAMINATED
from curate.compose.fates import COLUMNS
from curate.compose.outputs import PAIRED, schema_of
from curate.compose.review import REVIEW
from curate.compose.splits import CLUSTERS, SPLITS
from curate.core.contracts import Schema
from curate.core.errors import StorageError
from curate.core.manifest import COMPOSE, MANIFEST, Manifest, Records, SourceEntry, is_sealed, read_manifest
from curate.core.manifest.counts import Tally
from curate.core.schema import canonical
from curate.core.store import read_parquet, sha256
from curate.dataset.formats import OUTPUTS, read_output, reads_as_data
from curate.pairing.pairer import PAIR
from curate.text.normalise import normalise
from curate.text.personal.patterns import find
from curate.text.prompts import transcript

AFTER_CONTAMINATION = (CONTAMINATED, "preferred", "benign_share")
"""Why rows that were compared with evaluation sets are in no output."""

Problems = Iterator[str]

SCHEMAS: dict[str, Schema] = {
    "corpus": COLUMNS,
    "refused": PAIR,
    "contamination": HIT,
    "review": REVIEW,
    "similarity": {"a": pl.String, "b": pl.String, "score": pl.Float32},
}
TOLERANCE = 1e-6  # of a margin: one rounding of float32 in [0, 1]


def verify(folder: Path) -> list[str]:
    """Problems of a dataset folder, one line each with ids and numbers only; none when everything holds.

    Files and checksums first: the other checks read what these vouch for, so they are left out while a file is wrong.

    Raises:
        DataError: there is no dataset here.
        StorageError: the manifest cannot be read.
    """
    manifest = read_manifest(folder, sealed=False)
    problems = [*_files(folder, manifest)]
    if not problems:
        problems += _shapes(folder, manifest)
    if problems:
        return problems
    rows = read_output(folder, manifest, "corpus/", ["id", "stage", "reason"])
    kept = _kept(folder, manifest)
    return [
        *_record_laws(manifest),
        *_row_laws(manifest, rows),
        *_labels(folder, manifest, kept),
        *_pairs(folder, manifest, kept),
        *_orders(folder, manifest),
        *_splits(manifest, kept),
        *_contamination(folder, manifest),
    ]


def _files(folder: Path, manifest: Manifest) -> Problems:
    for path, entry in sorted(manifest.files.items()):
        if not (folder / path).is_file():
            yield f"{path}: is missing"
        elif sha256(folder / path) != entry.sha256:
            yield f"{path}: its sha256 is not the manifest's"
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if not file.is_dir() and name not in manifest.files and reads_as_data(name, manifest):
            yield f"{name}: is not in the manifest"
    if not is_sealed(json.loads((folder / MANIFEST).read_bytes())):
        yield f"{MANIFEST}: its fingerprint does not fit what it says"


def _shapes(folder: Path, manifest: Manifest) -> Problems:
    for path, entry in sorted(manifest.files.items()):
        room = path.split("/")[0]
        expected = schema_of(room, manifest.form) if room in OUTPUTS else SCHEMAS.get(room)
        if not path.endswith(".parquet") or expected is None:
            continue
        try:
            frame = read_parquet(folder / path)
        except StorageError:
            yield f"{path}: is not readable Parquet"
            continue
        columns = {name: kind for name, kind in frame.schema.items() if not (expected is COLUMNS and name.startswith("score_"))}
        if pl.Schema(columns) != pl.Schema(expected):
            odd = sorted(name for name in {*columns, *expected} if columns.get(name) != pl.Schema(expected).get(name))
            yield f"{path}: columns are not those of this format: {', '.join(odd) or 'in another order'}"
        if frame.height != entry.rows:
            yield f"{path}: holds {frame.height:,} rows, the manifest says {entry.rows or 0:,}"


def _record_laws(manifest: Manifest) -> Problems:
    records, sources = manifest.records, manifest.sources
    yield from _accounts("all sources", records.read, records, records.quarantined)
    for one in sources:
        yield from _accounts(one.source, one.records, one, sum(one.quarantined.values()))
    sums = {
        "read": (records.read, sum(one.records for one in sources)),
        "mined": (records.mined, sum(one.mined for one in sources)),
        "rows": (records.rows, sum(one.rows for one in sources)),
    }
    for total, (whole, listed) in sums.items():
        if whole != listed:
            yield f"records: {whole:,} {total}, but the sources sum to {listed:,}"


def _accounts(name: str, read: int, records: Records | SourceEntry, quarantined: int) -> Problems:
    mined, skipped = records.mined, sum(records.skipped.values())
    if read != mined + skipped + quarantined:
        yield f"records of {name}: {read:,} read, but {mined:,} mined + {skipped:,} skipped + {quarantined:,} quarantined"


def _row_laws(manifest: Manifest, rows: pl.DataFrame) -> Problems:
    drops: dict[str, Tally] = {}
    for stage, reason, size in rows.filter(pl.col("reason").is_not_null()).group_by("stage", "reason").len().iter_rows():
        drops.setdefault(stage, {})[reason] = size
    entering = manifest.records.rows
    for one in manifest.steps:
        dropped = sum(one.dropped.values())
        if one.rows_in != entering:
            yield f"{one.stage}: {one.rows_in:,} rows in, but {entering:,} were left before it"
        if one.rows_in != one.kept + dropped:
            yield f"{one.stage}: {one.rows_in:,} rows in, but {one.kept:,} kept + {dropped:,} dropped"
        if one.dropped != (own := drops.pop(one.stage, {})):
            yield f"{one.stage}: drops by reason are not the corpus': {_differing(one.dropped, own)}"
        entering = one.kept
    if drops:
        yield f"corpus: rows dropped by stages that are not in the manifest: {', '.join(sorted(drops))}"
    if rows.height != manifest.records.rows:
        yield f"corpus: {rows.height:,} rows, but {manifest.records.rows:,} were mined"
    if twice := rows.height - rows["id"].n_unique():
        yield f"corpus: {twice:,} rows repeat an id"


def _kept(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """Kept rows, with `words` and `asked`: completion and prompt as a reader would compare them."""
    columns = ["id", "source", "reason", "split", "toxic", "toxicity", "prompt", "completion", *CLUSTERS]
    kept = read_output(folder, manifest, "corpus/", columns).filter(pl.col("reason").is_null())
    asked = [[(one["role"], normalise(one["content"] or "")) for one in prompt] for prompt in kept["prompt"]]
    return kept.with_columns(
        pl.Series("words", map(normalise, kept["completion"]), dtype=pl.String),
        pl.Series("asked", [canonical(prompt) if prompt else None for prompt in asked], dtype=pl.String),
    )


def _labels(folder: Path, manifest: Manifest, kept: pl.DataFrame) -> Problems:
    """Labels have the right polarity, texts are the corpus' own, and each kept row is in an output of its split."""
    used: set[str] = set()
    for output in ("unpaired", "sft"):
        for split in SPLITS:
            where, label = f"{output}/{split}", ["label"] if output == "unpaired" else []
            rows = read_output(folder, manifest, f"{where}-", ["id", "completion", *label])
            if rows.height != manifest.dataset.sizes()[output].get(split, 0):
                yield f"{where}: {rows.height:,} rows, the manifest counts otherwise"
            if not rows.height:
                continue
            used.update(rows["id"])
            facts = rows.with_columns(pl.lit(True).alias("label") if not label else "label").join(
                kept, on="id", how="left", suffix="_kept"
            )
            laws = {
                "are not kept rows of the corpus": pl.col("source").is_not_null(),
                "have a label of the wrong polarity": pl.col("label") != pl.col("toxic"),
                "have a completion that is not the corpus' text": _says(manifest, "completion", "completion_kept"),
                "belong to another split": pl.col("split") == split,
                "stand there more than once": pl.col("id").is_unique(),
            }
            yield from _broken(where, facts, laws)
    for split in SPLITS:
        used.update(*read_output(folder, manifest, f"paired/{split}-", ["chosen_id", "rejected_id"]).get_columns())
    if missing := kept["id"].n_unique() - len(used & set(kept["id"])):
        yield f"corpus: {missing:,} rows are marked kept, but are in no output"
    personal = [name for name, text in kept.select("id", "completion").iter_rows() if find(text)]
    if personal:
        yield f"corpus: {len(personal):,} kept rows still show personal data, first {min(personal)}"
    both = kept.group_by("words").agg(pl.col("toxic").n_unique(), pl.col("id").min()).filter(pl.col("toxic") > 1)
    if both.height:
        yield f"corpus: {both.height:,} texts are toxic in one kept row and non_toxic in another, first {both['id'].sort()[0]}"


def _pairs(folder: Path, manifest: Manifest, kept: pl.DataFrame) -> Problems:
    """Every invariant of a pair, from the corpus' rows."""
    least, longest = (manifest.dataset_options[name] for name in ("min_margin", "max_length_ratio"))
    names = ("id", "split", "toxic", "toxicity", "words", "asked", "completion", "prompt")
    facts = kept.select(names)
    if manifest.form == "standard":
        facts = facts.with_columns(prompt=pl.Series([transcript(asked) for asked in facts["prompt"]], dtype=pl.String))
    for split in SPLITS:
        where = f"paired/{split}"
        pairs = read_output(folder, manifest, f"{where}-", list(PAIRED))
        if pairs.height != manifest.dataset.paired.get(split, 0):
            yield f"{where}: {pairs.height:,} pairs, the manifest counts otherwise"
        if not pairs.height:
            continue
        for side in ("chosen", "rejected"):
            there = facts.select(pl.col("id"), pl.exclude("id").name.prefix(f"{side}_row_"))
            pairs = pairs.join(there, left_on=f"{side}_id", right_on="id", how="left")
        gap = pl.col("rejected_row_toxicity") - pl.col("chosen_row_toxicity")
        prompt = pl.col("prompt") == pl.col("rejected_row_prompt")
        preferred, lent = pl.col("relation") == "preferred", pl.col("strategy") == "nearest_neighbour"
        sizes = [pl.col(f"{side}_row_completion").str.len_chars().clip(lower_bound=1) for side in ("chosen", "rejected")]
        laws = {
            "name a row that the corpus does not keep": pl.col("chosen_row_words").is_not_null()
            & pl.col("rejected_row_words").is_not_null(),
            "have a toxic chosen side": ~pl.col("chosen_row_toxic"),
            "have a rejected side that their relation does not fit": pl.col("rejected_row_toxic") != preferred,
            "are merely preferred, but not given": ~preferred | (pl.col("strategy") == "given"),
            "have one text on both sides": pl.col("chosen_row_words") != pl.col("rejected_row_words"),
            "have a margin that is not the toxicity between the sides": (pl.col("margin") - gap).abs() <= TOLERANCE,
            f"have a margin under {least:g}": preferred | (pl.col("margin") >= least - TOLERANCE),
            f"have a side more than {longest:g} times as long as the other": pl.max_horizontal(sizes)
            <= longest * pl.min_horizontal(sizes) + TOLERANCE,
            "answer two prompts": lent | pl.col("chosen_row_asked").eq_missing(pl.col("rejected_row_asked")),
            "have a prompt that is not their rows'": prompt | pl.col("rejected_row_asked").is_null(),
            "have a side of another split": (pl.col("chosen_row_split") == split) & (pl.col("rejected_row_split") == split),
            "have a side that is not the corpus' text": _says(manifest, "chosen", "chosen_row_completion")
            & _says(manifest, "rejected", "rejected_row_completion"),
            "were not measured for likeness": ~pl.col("strategy").is_in(["rewrite", "nearest_neighbour"])
            | pl.col("similarity").is_between(-1 - TOLERANCE, 1 + TOLERANCE),
            "stand there more than once": pl.struct("chosen_id", "rejected_id").is_unique(),
        }
        yield from _broken(where, pairs, laws)


def _splits(manifest: Manifest, kept: pl.DataFrame) -> Problems:
    """No held-out row shares its prompt or a cluster with a split that it is measured against."""
    for split, against in (("test", ["train"]), ("validation", ["train", "test"])):
        held, shown = kept.filter(pl.col("split") == split), kept.filter(pl.col("split").is_in(against))
        for column in ("asked", *CLUSTERS):
            shared = held.filter(pl.col(column).is_in(shown[column].drop_nulls().unique().implode()))
            if shared.height:
                what = "prompt" if column == "asked" else column.replace("_", " ")
                first = shared["id"].sort()[0]
                yield f"{split}: {shared.height:,} rows share a {what} with {' or '.join(against)}, first {first}"
    sources = kept.filter(pl.col("split") != "test")["source"].unique().sort()
    for source in sources:
        if any(fnmatch.fnmatchcase(source, pattern) for pattern in manifest.never_train):
            yield f"{source}: is never to be trained on, but has rows in train or validation"


def _orders(folder: Path, manifest: Manifest) -> Problems:
    """Every split has each rank once, so that a subset of any size is there."""
    for output in OUTPUTS:
        for split in SPLITS:
            ranks = read_output(folder, manifest, f"{output}/{split}-", ["subset_rank"])["subset_rank"]
            if not ranks.sort().equals(pl.Series(range(len(ranks)), dtype=ranks.dtype), check_names=False):
                yield f"{output}/{split}: subset_rank does not count its rows from 0"


def _says(manifest: Manifest, messages: str, text: str) -> pl.Expr:
    """One message, by the assistant, with this text; or, in the standard form, just the text."""
    if manifest.form == "standard":
        return pl.col(messages) == pl.col(text)
    first = pl.col(messages).list.first().struct
    return (pl.col(messages).list.len() == 1) & (first.field("role") == "assistant") & (first.field("content") == pl.col(text))


def _contamination(folder: Path, manifest: Manifest) -> Problems:
    """No training row overlaps the held-out split by 8-grams or near copies; what the evidence names is out of training."""
    options = Contamination(**manifest.dataset_options["contamination"])
    hits = read_output(folder, manifest, "contamination/", list(HIT))
    for name, counts in manifest.dataset.contamination.items():
        if hits.filter(pl.col("set") == name)["id"].n_unique() != counts.rows:
            yield f"contamination: set {name}: the evidence names other rows than the manifest counts"
    columns = ["id", "split", "source", "locator", "prompt", "completion", "stage", "reason"]
    rows = read_output(folder, manifest, "corpus/", columns)
    if not options.remove:
        return
    removed = set(rows.filter(pl.col("reason") == CONTAMINATED)["id"])
    if removed != set(hits["id"]):
        yield f"contamination: {len(removed ^ set(hits['id'])):,} rows are dropped without evidence, or kept in spite of it"
    compared = pl.col("reason").is_null() | ((pl.col("stage") == COMPOSE) & pl.col("reason").is_in(AFTER_CONTAMINATION))
    overlaps, _ = contamination(rows.filter(compared), (), options, None)
    left = sorted(set(overlaps["id"]) - removed)
    if left:
        yield f"train: {len(left):,} rows overlap the held-out split, first {left[0]}"


def _broken(where: str, rows: pl.DataFrame, laws: Mapping[str, pl.Expr]) -> Problems:
    """A line for each law that some rows break; a law that cannot be told (null) is broken."""
    for what, holds in laws.items():
        bad = rows.filter(~holds.fill_null(value=False))
        if bad.height:
            yield f"{where}: {bad.height:,} rows {what}, first {bad['id'].sort()[0]}"


def _differing(manifest: Tally, corpus: Tally) -> str:
    keys = sorted(key for key in {*manifest, *corpus} if manifest.get(key, 0) != corpus.get(key, 0))
    return ", ".join(f"{key} {manifest.get(key, 0):,} in the manifest, {corpus.get(key, 0):,} in the corpus" for key in keys)
