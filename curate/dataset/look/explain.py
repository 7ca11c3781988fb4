"""`curate explain`: the life of one row, from the line it came from to the outputs it stands in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.contamination import HIT
from curate.compose.splits import CLUSTERS, SPLITS
from curate.core.errors import DataError
from curate.core.manifest import Manifest, read_manifest
from curate.dataset.formats import read_output, read_table

MATES = 5  # ids of a cluster that are listed; the others are counted
WIDTH = 14  # of the names at the left

Row = Mapping[str, Any]
"""A line of the corpus, by column."""


def explain(folder: Path, name: str, show_text: bool = False) -> str:
    """Tell the life of one row; ids and numbers only, unless texts are asked for.

    Args:
        folder: a dataset folder.
        name: the row's id, or the beginning of it where no other id begins so.
        show_text: print prompt and completion too.

    Raises:
        DataError: no row, or more than one, has such an id.
    """
    manifest = read_manifest(folder)
    name = _find(folder, manifest, name)
    row = _row(folder, manifest, name)
    lines = [f"row {name}", *_origin(row), *_stages(manifest, row), *_clusters(folder, manifest, row), *_label(row)]
    lines += _overlaps(folder, manifest, name)
    lines += [_line("split", row["split"]), *_outputs(folder, manifest, name)]
    if show_text:
        lines += [_line(str(message["role"]), str(message["content"])) for message in row["prompt"] or []]
        lines.append(
            _line("completion", "(removed before personal data was)" if row["completion"] is None else row["completion"])
        )
    return "\n".join(lines)


def _find(folder: Path, manifest: Manifest, start: str) -> str:
    ids = read_output(folder, manifest, "corpus/", ["id"])["id"]
    matches = ids.filter(ids.str.starts_with(start)).sort()
    if len(matches) == 1 or start in matches:
        return start if start in matches else str(matches[0])
    if len(matches):
        some = ", ".join(matches.head(MATES))
        raise DataError(
            f"{folder}: {len(matches):,} ids begin with {start!r}: {some}{', ...' * (len(matches) > MATES)}",
            hint="give more of it",
        )
    shared = ids.map_elements(lambda other: len(os.path.commonprefix([start, other])), return_dtype=pl.Int64)
    near = pl.DataFrame({"id": ids, "shared": shared}).sort("shared", "id", descending=[True, False])["id"].head(3)
    raise DataError(f"{folder}: no row {start!r}", hint=f"nearest: {', '.join(near)}")


def _row(folder: Path, manifest: Manifest, name: str) -> Row:
    for path in manifest.tables("corpus/"):
        match = read_table(folder, manifest, path).filter(pl.col("id") == name)
        if match.height:
            return match.row(0, named=True)
    raise AssertionError("the id was read from these very files")


def _origin(row: Row) -> Iterator[str]:
    if row["derived_from"]:
        yield _line("derived from", f"{row['derived_from']} ({row['side']})")
    yield _line("source", f"{row['source']}, {row['locator']}" if row["locator"] else row["source"])
    yield _line("record", row["record"])
    yield _line("licence", row["licence"] or "not stated")
    for name in ("thread", "author"):
        if row[name]:
            yield _line(name, row[name])


def _stages(manifest: Manifest, row: Row) -> Iterator[str]:
    kept: list[str] = []
    for one in (step.stage for step in manifest.steps):
        if one == row["stage"]:
            yield _line("kept by", ", ".join(kept) or "no stage")
            score = "" if row["score"] is None else f", score {row['score']:.4g}"
            twin = f", twin {row['twin']}" if row["twin"] else ""
            yield _line("dropped by", f"{one}: {row['reason']}{score}{twin}")
            return
        kept.append(one)
    yield _line("kept by", ", ".join(kept))


def _clusters(folder: Path, manifest: Manifest, row: Row) -> Iterator[str]:
    for column in CLUSTERS:
        if row[column] is None:
            continue
        cluster = read_output(folder, manifest, "corpus/", ["id", column]).filter(pl.col(column) == row[column])
        mates = cluster["id"].filter(cluster["id"] != row["id"]).sort()
        if len(mates):
            more = f" and {len(mates) - MATES:,} more" if len(mates) > MATES else ""
            yield _line(column.replace("_", " "), f"{row[column]}, with {', '.join(mates.head(MATES))}{more}")


def _overlaps(folder: Path, manifest: Manifest, name: str) -> Iterator[str]:
    hits = read_output(folder, manifest, "contamination/", list(HIT)).filter(pl.col("id") == name)
    for hit in hits.iter_rows(named=True):
        measure = {"grams": "of the word 8-grams", "near": "Jaccard", "semantic": "cosine"}[hit["kind"]]
        place = f"{hit['source']}, {hit['locator']}" if hit["locator"] else hit["source"]
        yield _line("overlaps", f"evaluation set {hit['set']}: {hit['score']:.3f} {measure}, with {hit['item']} ({place})")


def _label(row: Row) -> Iterator[str]:
    side = {True: "toxic", False: "non_toxic", None: "none"}[row["toxic"]]
    toxicity = "" if row["toxicity"] is None else f", toxicity {row['toxicity']:.4g}"
    evidence = f", evidence {row['evidence']}" if row["evidence"] else ""
    votes = f" ({row['votes']} votes, {row['given']:.4g} say toxic)" if row["votes"] and row["given"] is not None else ""
    yield _line("label", f"{side}{toxicity}{evidence}{votes}")
    if row.get("why"):  # builds made before it was kept have none
        yield _line("why", row["why"])
    scores = [
        f"{name.removeprefix('score_')} {value:.4g}"
        for name, value in row.items()
        if name.startswith("score_") and value is not None
    ]
    if scores:
        yield _line("scores", ", ".join(scores))
    if row["disagreement"]:
        yield _line("disagreement", f"{row['disagreement']:.4g}")
    if row["language"]:
        variety = f", {row['variety']}" if row["variety"] else ""
        score = "" if row["variety_score"] is None else f" (variety score {row['variety_score']:.4g})"
        yield _line("language", f"{row['language']}{variety}{score}")
    if row["pii"]:
        yield _line("replaced", ", ".join(row["pii"]))


def _outputs(folder: Path, manifest: Manifest, name: str) -> Iterator[str]:
    for split in SPLITS:
        unpaired = read_output(folder, manifest, f"unpaired/{split}-", ["id", "label"]).filter(pl.col("id") == name)
        if unpaired.height:
            yield _line("unpaired", f"{split}, {'desirable' if unpaired['label'][0] else 'undesirable'}")
        if name in read_output(folder, manifest, f"sft/{split}-", ["id"])["id"]:
            yield _line("sft", split)
        columns = ["id", "chosen_id", "rejected_id", "strategy", "margin"]
        pairs = read_output(folder, manifest, f"paired/{split}-", columns)
        for pair in (
            pairs.filter((pl.col("chosen_id") == name) | (pl.col("rejected_id") == name)).sort("id").iter_rows(named=True)
        ):
            place = f"chosen over {pair['rejected_id']}" if pair["chosen_id"] == name else f"rejected for {pair['chosen_id']}"
            yield _line("pair", f"{pair['id']}: {split}, {place} ({pair['strategy']}, margin {pair['margin']:.4g})")

    refused = read_output(folder, manifest, "refused/", ["chosen_id", "rejected_id", "strategy", "reason"])
    refused = refused.filter((pl.col("chosen_id") == name) | (pl.col("rejected_id") == name))
    for one in refused.sort("strategy", "reason", "chosen_id", "rejected_id").head(MATES).iter_rows(named=True):
        other = one["rejected_id"] if one["chosen_id"] == name else one["chosen_id"]
        yield _line("no pair", f"{one['strategy']}{f' with {other}' if other else ''}: {one['reason']}")


def _line(name: str, value: str) -> str:
    return f"  {name.ljust(WIDTH)}  {value}"
