"""`curate verify`: what a dataset folder claims, checked from its bytes; nothing that built it is asked again."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.contamination import HIT, Contamination, contamination
from curate.compose.contamination import REASON as CONTAMINATED
from curate.compose.fates import COLUMNS, COMPOSE
from curate.compose.outputs import PAIRED, schema_of
from curate.compose.review import REVIEW
from curate.compose.splits import CLUSTERS, SPLITS
from curate.core.contracts import Schema
from curate.core.errors import StorageError
from curate.core.prompts import transcript
from curate.core.schema import canonical, digest
from curate.core.store import read_parquet, sha256
from curate.dataset.formats import OUTPUTS, read_manifest, read_output
from curate.pairing.pairer import PAIR
from curate.text.normalise import normalise
from curate.text.personal.patterns import find

AFTER_CONTAMINATION = (CONTAMINATED, "preferred", "benign_share")
"""Why rows that were compared with evaluation sets are in no output."""

Manifest = Mapping[str, Any]
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
    manifest = read_manifest(folder)
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
    known = {"manifest.json", *manifest["files"]}
    for path, fact in sorted(manifest["files"].items()):
        if not (folder / path).is_file():
            yield f"{path}: is missing"
        elif sha256(folder / path) != fact["sha256"]:
            yield f"{path}: its sha256 is not the manifest's"
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if not file.is_dir() and name not in known:
            yield f"{name}: is not in the manifest"
    said = {key: value for key, value in manifest.items() if key != "fingerprint"}
    if digest(canonical(said), size=16) != manifest.get("fingerprint"):
        yield "manifest.json: its fingerprint does not fit what it says"


def _shapes(folder: Path, manifest: Manifest) -> Problems:
    form = manifest["recipe"]["dataset"]["form"]
    for path, fact in sorted(manifest["files"].items()):
        room = path.split("/")[0]
        expected = schema_of(room, form) if room in OUTPUTS else SCHEMAS.get(room)
        if not path.endswith(".parquet") or expected is None:
            continue
        try:
            frame = read_parquet(folder / path)
        except StorageError:
            yield f"{path}: is not readable Parquet"
            continue
        found = {name: kind for name, kind in frame.schema.items() if not (expected is COLUMNS and name.startswith("score_"))}
        if pl.Schema(found) != pl.Schema(expected):
            odd = sorted(name for name in {*found, *expected} if found.get(name) != pl.Schema(expected).get(name))
            yield f"{path}: columns are not those of this format: {', '.join(odd) or 'in another order'}"
        if frame.height != fact["rows"]:
            yield f"{path}: holds {frame.height:,} rows, the manifest says {fact['rows']:,}"


def _record_laws(manifest: Manifest) -> Problems:
    for name, one in [("all sources", manifest["records"]), *((one["source"], one) for one in manifest["sources"])]:
        read, quarantined = one.get("read", one.get("records")), one["quarantined"]
        broken = sum(quarantined.values()) if isinstance(quarantined, Mapping) else quarantined
        mined, skipped = one["mined"], sum(one["skipped"].values())
        if read != mined + skipped + broken:
            yield f"records of {name}: {read:,} read, but {mined:,} mined + {skipped:,} skipped + {broken:,} quarantined"
    for total, part in (("read", "records"), ("mined", "mined"), ("rows", "rows")):
        listed = sum(one[part] for one in manifest["sources"])
        if manifest["records"][total] != listed:
            yield f"records: {manifest['records'][total]:,} {total}, but the sources sum to {listed:,}"


def _row_laws(manifest: Manifest, rows: pl.DataFrame) -> Problems:
    counts = manifest["dataset"]
    composing = {"stage": COMPOSE, "rows_in": counts["rows_in"], "kept": counts["kept"], "dropped": counts["dropped"]}
    found: dict[str, dict[str, int]] = {}
    drops = rows.filter(pl.col("reason").is_not_null()).group_by("stage", "reason").len()
    for stage, reason, size in drops.iter_rows():
        found.setdefault(stage, {})[reason] = size
    entering = manifest["records"]["rows"]
    for one in (*manifest["stages"], composing):
        dropped = sum(one["dropped"].values())
        if one["rows_in"] != entering:
            yield f"{one['stage']}: {one['rows_in']:,} rows in, but {entering:,} were left before it"
        if one["rows_in"] != one["kept"] + dropped:
            yield f"{one['stage']}: {one['rows_in']:,} rows in, but {one['kept']:,} kept + {dropped:,} dropped"
        if one["dropped"] != (said := found.pop(one["stage"], {})):
            yield f"{one['stage']}: drops by reason are not the corpus': {_differing(one['dropped'], said)}"
        entering = one["kept"]
    if found:
        yield f"corpus: rows dropped by stages that are not in the manifest: {', '.join(sorted(found))}"
    if rows.height != manifest["records"]["rows"]:
        yield f"corpus: {rows.height:,} rows, but {manifest['records']['rows']:,} were mined"
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
            counted = manifest["dataset"][output][split]
            if rows.height != (sum(counted.values()) if isinstance(counted, Mapping) else counted):
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
    options = manifest["recipe"]["dataset"]
    least, longest = options["min_margin"], options["max_length_ratio"]
    names = ("id", "split", "toxic", "toxicity", "words", "asked", "completion", "prompt")
    facts = kept.select(names)
    if options["form"] == "standard":
        facts = facts.with_columns(prompt=pl.Series([transcript(asked) for asked in facts["prompt"]], dtype=pl.String))
    for split in SPLITS:
        where = f"paired/{split}"
        pairs = read_output(folder, manifest, f"{where}-", list(PAIRED))
        if pairs.height != manifest["dataset"]["paired"][split]:
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
    never = manifest["recipe"]["dataset"]["splits"]["never_train"]
    sources = kept.filter(pl.col("split") != "test")["source"].unique().sort()
    for source in sources:
        if any(fnmatch.fnmatchcase(source, pattern) for pattern in never):
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
    if manifest["recipe"]["dataset"]["form"] == "standard":
        return pl.col(messages) == pl.col(text)
    first = pl.col(messages).list.first().struct
    return (pl.col(messages).list.len() == 1) & (first.field("role") == "assistant") & (first.field("content") == pl.col(text))


def _contamination(folder: Path, manifest: Manifest) -> Problems:
    """No training row overlaps the held-out split by 8-grams or near copies; what the evidence names is out of training."""
    options = Contamination(**manifest["recipe"]["dataset"]["contamination"])
    hits = read_output(folder, manifest, "contamination/", list(HIT))
    said = manifest["dataset"]["contamination"]
    for name, fact in said.items():
        if hits.filter(pl.col("set") == name)["id"].n_unique() != fact["rows"]:
            yield f"contamination: set {name}: the evidence names other rows than the manifest counts"
    columns = ["id", "split", "source", "locator", "prompt", "completion", "stage", "reason"]
    rows = read_output(folder, manifest, "corpus/", columns)
    if not options.remove:
        return
    out = rows.filter(pl.col("reason") == CONTAMINATED)["id"]
    if set(out) != set(hits["id"]):
        yield f"contamination: {len(set(out) ^ set(hits['id'])):,} rows are dropped without evidence, or kept in spite of it"
    compared = pl.col("reason").is_null() | ((pl.col("stage") == COMPOSE) & pl.col("reason").is_in(AFTER_CONTAMINATION))
    found, _ = contamination(rows.filter(compared), (), options, None)
    left = sorted(set(found["id"]) - set(out))
    if left:
        yield f"train: {len(left):,} rows overlap the held-out split, first {left[0]}"


def _broken(where: str, rows: pl.DataFrame, laws: Mapping[str, pl.Expr]) -> Problems:
    """A line for each law that some rows break; a law that cannot be told (null) is broken."""
    for what, holds in laws.items():
        bad = rows.filter(~holds.fill_null(value=False))
        if bad.height:
            yield f"{where}: {bad.height:,} rows {what}, first {bad['id'].sort()[0]}"


def _differing(said: Mapping[str, int], found: Mapping[str, int]) -> str:
    keys = sorted(key for key in {*said, *found} if said.get(key, 0) != found.get(key, 0))
    return ", ".join(f"{key} {said.get(key, 0):,} in the manifest, {found.get(key, 0):,} in the corpus" for key in keys)
