"""Generated texts as further parts: rows like any other, of the record, source and licence that they derive from."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from curate.core.config import chosen_name, plain
from curate.core.errors import DataError
from curate.core.schema import ROW, canonical, digest
from curate.core.store import PARQUET_ROWS, Stored, commit
from curate.generation import GENERATORS, Generator
from curate.generation.answers import answers_of
from curate.generation.generator import READS, Ask
from curate.raw.ingest import Ingested
from curate.raw.receipts import FileReport, believed, write_receipt
from curate.raw.tombstones import Tombstones, load_tombstones
from curate.stages.engine import Outcome


def with_generated(
    ingested: Ingested,
    outcomes: Sequence[Outcome],
    generators: Sequence[Generator],
    *,
    work: Path,
    author_key: bytes,
    seed: int,
    never_train: Sequence[str],
) -> Ingested:
    """What was read, and what every generator made of the rows that the stages kept.

    A generated row has the record, thread, prompt, source and licence of the row that it derives from: the two are always in one
    split, one licence binds both, and whoever forgets the one forgets the other. Rows of sources that are never trained on are
    not asked about.

    Args:
        ingested: what was read.
        outcomes: of the stages over it.
        generators: in order.
        work: where answers, parts and receipts go.
        author_key: keys the tombstones.
        seed: of the recipe.
        never_train: patterns of sources.
    """
    rows = pl.concat([part.kept(READS) for part in outcomes[-1].parts])
    never = [name for name in rows["source"].unique() if any(fnmatch.fnmatchcase(str(name), pattern) for pattern in never_train)]
    rows = rows.filter(~pl.col("source").is_in(never))
    tombstones = load_tombstones(work, author_key)
    for generator in generators:
        name = chosen_name(GENERATORS, generator)
        key = generator_key(name, generator, seed)
        asks = generator.asks(rows, seed)
        answers = answers_of(name, generator, key, asks, work)
        additions = _rows(rows, asks, answers, generator.side, key)
        report, parts = _part(name, key, asks, additions, work, tombstones)
        ingested = replace(ingested, parts=(*ingested.parts, *parts), files=(*ingested.files, report))
    return ingested


def generator_key(name: str, generator: Generator, seed: int) -> str:
    """Hash of all that decides what a generator says to a question; which rows it asks about is no part of it."""
    options = {
        option: value
        for option, value in plain(generator).items()
        if option not in ("most", "concurrency", "timeout", "key", "url")
    }
    return digest(name, str(generator.VERSION), canonical(options), *generator.models, str(seed), size=8)


def _rows(rows: pl.DataFrame, asks: Sequence[Ask], answers: dict[str, list[str]], side: str, key: str) -> pl.DataFrame:
    """As `schema.ROW`: one line per answer that says something new."""
    parents = {row["id"]: row for row in rows.filter(pl.col("id").is_in([ask.row for ask in asks])).iter_rows(named=True)}
    additions: list[dict[str, object]] = []
    for ask in asks:
        parent = parents[ask.row]
        texts = [text.strip() for text in answers[ask.key]]
        for at, text in enumerate(dict.fromkeys(texts)):
            if text and text != (parent["completion"] or "").strip():
                taken = {name: parent[name] for name in ("record", "source", "locator", "licence", "thread", "prompt")}
                own = {
                    "id": digest("generated", key, ask.row, str(at)),
                    "completion": text,
                    "side": side,
                    "derived_from": ask.row,
                }
                additions.append(dict.fromkeys(ROW) | {"votes": 0} | taken | own)
    return pl.DataFrame(additions, schema=ROW)


def _part(
    name: str, key: str, asks: Sequence[Ask], additions: pl.DataFrame, work: Path, tombstones: Tombstones
) -> tuple[FileReport, list[Stored]]:
    """Write the rows of one generator, and a receipt that accounts for every record that was asked about."""
    facts = digest(
        canonical(additions.select("id", "completion", "record").rows()), canonical([ask.row for ask in asks]), size=32
    )
    part_key = digest("generated", name, key, facts)
    if (known := believed(work, part_key, tombstones)) is not None:
        return known
    parts = [
        commit(work / "parts" / part_key / f"{at:05d}.parquet", frame)
        for at, frame in enumerate(additions.iter_slices(PARQUET_ROWS))
        if frame.height
    ]
    records, mined = len({ask.record for ask in asks}), additions["record"].n_unique()
    if mined > records:
        raise DataError(f"{name}: answers to {records:,} records name {mined:,}", hint="please report this")
    licences = additions["licence"].fill_null("").value_counts(name="n").sort("licence")
    report = FileReport(
        source=f"generated/{name}",
        key=part_key,
        sha256=facts,
        format=name,
        container="plain",
        encoding="utf-8",
        records=records,
        mined=mined,
        rows=additions.height,
        skipped={"no_new_text": records - mined} if records > mined else {},
        roles={"kind": None, "known": None, "json_text": False, "answers": None, "columns": {}},
        licences=dict(licences.iter_rows()),
        parts=tuple(part.sha256 for part in parts),
    )
    write_receipt(work, report, tombstones)
    return report, parts
