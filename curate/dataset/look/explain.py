"""`curate explain`: the life of one row, from the line it came from to the outputs it stands in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.contamination import HIT
from curate.compose.fates import COMPOSE
from curate.compose.splits import CLUSTERS, SPLITS
from curate.core.errors import DataError
from curate.core.store import read_parquet
from curate.dataset.formats import read_manifest, read_output

MATES = 5  # ids of a cluster that are listed; the others are counted
WIDTH = 14  # of the names at the left


def explain(folder: Path, row: str, show_text: bool = False) -> str:
    """Tell the life of one row; ids and numbers only, unless texts are asked for.

    Args:
        folder: a dataset folder.
        row: the row's id, or the beginning of it where no other id begins so.
        show_text: print prompt and completion too.

    Raises:
        DataError: no row, or more than one, has such an id.
    """
    manifest = read_manifest(folder)
    name = _find(folder, manifest, row)
    fact = _row(folder, manifest, name)
    lines = [f"row {name}", *_origin(fact), *_stages(manifest, fact), *_clusters(folder, manifest, fact), *_label(fact)]
    lines += _overlaps(folder, manifest, name)
    lines += [_line("split", fact["split"]), *_outputs(folder, manifest, name)]
    if show_text:
        lines += [_line(str(message["role"]), str(message["content"])) for message in fact["prompt"] or []]
        lines.append(
            _line("completion", "(removed before personal data was)" if fact["completion"] is None else fact["completion"])
        )
    return "\n".join(lines)


def _find(folder: Path, manifest: Mapping[str, Any], row: str) -> str:
    ids = read_output(folder, manifest, "corpus/", ["id"])["id"]
    found = ids.filter(ids.str.starts_with(row)).sort()
    if len(found) == 1 or row in found:
        return row if row in found else str(found[0])
    if len(found):
        some = ", ".join(found.head(MATES))
        raise DataError(
            f"{folder}: {len(found):,} ids begin with {row!r}: {some}{', ...' * (len(found) > MATES)}", hint="give more of it"
        )
    shared = ids.map_elements(lambda other: len(os.path.commonprefix([row, other])), return_dtype=pl.Int64)
    near = pl.DataFrame({"id": ids, "shared": shared}).sort("shared", "id", descending=[True, False])["id"].head(3)
    raise DataError(f"{folder}: no row {row!r}", hint=f"nearest: {', '.join(near)}")


def _row(folder: Path, manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    for path in sorted(path for path in manifest["files"] if path.startswith("corpus/")):
        match = read_parquet(folder / path).filter(pl.col("id") == name)
        if match.height:
            return match.row(0, named=True)
    raise AssertionError("the id was read from these very files")


def _origin(fact: Mapping[str, Any]) -> Iterator[str]:
    if fact["derived_from"]:
        yield _line("derived from", f"{fact['derived_from']} ({fact['side']})")
    yield _line("source", f"{fact['source']}, {fact['locator']}" if fact["locator"] else fact["source"])
    yield _line("record", fact["record"])
    yield _line("licence", fact["licence"] or "not stated")
    for name in ("thread", "author"):
        if fact[name]:
            yield _line(name, fact[name])


def _stages(manifest: Mapping[str, Any], fact: Mapping[str, Any]) -> Iterator[str]:
    kept: list[str] = []
    for one in [*(stage["stage"] for stage in manifest["stages"]), COMPOSE]:
        if one == fact["stage"]:
            yield _line("kept by", ", ".join(kept) or "no stage")
            score = "" if fact["score"] is None else f", score {fact['score']:.4g}"
            twin = f", twin {fact['twin']}" if fact["twin"] else ""
            yield _line("dropped by", f"{one}: {fact['reason']}{score}{twin}")
            return
        kept.append(one)
    yield _line("kept by", ", ".join(kept))


def _clusters(folder: Path, manifest: Mapping[str, Any], fact: Mapping[str, Any]) -> Iterator[str]:
    for column in CLUSTERS:
        if fact[column] is None:
            continue
        cluster = read_output(folder, manifest, "corpus/", ["id", column]).filter(pl.col(column) == fact[column])
        mates = cluster["id"].filter(cluster["id"] != fact["id"]).sort()
        if len(mates):
            more = f" and {len(mates) - MATES:,} more" if len(mates) > MATES else ""
            yield _line(column.replace("_", " "), f"{fact[column]}, with {', '.join(mates.head(MATES))}{more}")


def _overlaps(folder: Path, manifest: Mapping[str, Any], name: str) -> Iterator[str]:
    hits = read_output(folder, manifest, "contamination/", list(HIT)).filter(pl.col("id") == name)
    for hit in hits.iter_rows(named=True):
        measure = {"grams": "of the word 8-grams", "near": "Jaccard", "semantic": "cosine"}[hit["kind"]]
        place = f"{hit['source']}, {hit['locator']}" if hit["locator"] else hit["source"]
        yield _line("overlaps", f"evaluation set {hit['set']}: {hit['score']:.3f} {measure}, with {hit['item']} ({place})")


def _label(fact: Mapping[str, Any]) -> Iterator[str]:
    side = {True: "toxic", False: "non_toxic", None: "none"}[fact["toxic"]]
    toxicity = "" if fact["toxicity"] is None else f", toxicity {fact['toxicity']:.4g}"
    evidence = f", evidence {fact['evidence']}" if fact["evidence"] else ""
    votes = f" ({fact['votes']} votes, {fact['given']:.4g} say toxic)" if fact["votes"] and fact["given"] is not None else ""
    yield _line("label", f"{side}{toxicity}{evidence}{votes}")
    if fact.get("why"):  # builds made before it was kept have none
        yield _line("why", fact["why"])
    scores = [
        f"{name.removeprefix('score_')} {value:.4g}"
        for name, value in fact.items()
        if name.startswith("score_") and value is not None
    ]
    if scores:
        yield _line("scores", ", ".join(scores))
    if fact["disagreement"]:
        yield _line("disagreement", f"{fact['disagreement']:.4g}")
    if fact["language"]:
        variety = f", {fact['variety']}" if fact["variety"] else ""
        score = "" if fact["variety_score"] is None else f" (variety score {fact['variety_score']:.4g})"
        yield _line("language", f"{fact['language']}{variety}{score}")
    if fact["pii"]:
        yield _line("replaced", ", ".join(fact["pii"]))


def _outputs(folder: Path, manifest: Mapping[str, Any], name: str) -> Iterator[str]:
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
