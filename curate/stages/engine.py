"""Run a stage over all parts in this process; what was said before of the very same input is believed, not repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl

from curate.core.config import file_word, plain
from curate.core.contracts import OWN, CorpusStage, RowStage, Schema, own_code
from curate.core.errors import DataError
from curate.core.parts import Layer, Part
from curate.core.progress import Progress
from curate.core.schema import EVIDENCE, VERDICT, canonical, digest
from curate.core.store import Stored, commit, committed


@dataclass(frozen=True)
class Outcome:
    """What a stage did: the parts one layer later, and the counts that must add up."""

    stage: str
    key: str
    parts: tuple[Part, ...]
    rows_in: int
    dropped: dict[str, int]
    similarity: Stored | None = None

    @property
    def kept(self) -> int:
        """Rows that go on."""
        return self.rows_in - sum(self.dropped.values())


class Conservation(DataError):
    """A stage lost or invented rows: a bug, and the build stops before anything is committed."""

    exit_code: ClassVar[int] = 3


def stage_key(name: str, stage: RowStage | CorpusStage) -> str:
    """Hash of all that decides what a stage says: its name, VERSION, options, models."""
    return digest(name, str(stage.VERSION), canonical(plain(stage)), *stage.models, size=8)


def run(name: str, stage: RowStage | CorpusStage, parts: Sequence[Part], columns: Path) -> Outcome:
    """Run one stage over all parts.

    Args:
        name: the stage's recipe word.
        stage: its config.
        parts: what the stages before left.
        columns: folder of all column files.

    Raises:
        Conservation: the stage broke its contract.
    """
    key = stage_key(name, stage)
    folder = columns / f"{file_word(name)}-{key}"
    similarity = None
    if callable(stage):  # a corpus stage is three calls, not one
        layers = _run_rows(name, stage, parts, folder)
    else:
        layers, similarity = _run_corpus(name, stage, parts, folder)
    after = tuple(part.with_layer(layer) for part, layer in zip(parts, layers, strict=True))
    dropped: Counter[str] = Counter()
    for layer in layers:
        dropped.update(layer.stored.extra["dropped"])
    return Outcome(name, key, after, sum(layer.stored.rows for layer in layers), dict(sorted(dropped.items())), similarity)


def _run_rows(name: str, stage: RowStage, parts: Sequence[Part], folder: Path) -> list[Layer]:
    layers = []
    with Progress(name, sum(part.base.rows for part in parts)) as progress:
        for part in parts:
            path = folder / f"{part.lineage}.parquet"
            stored = committed(path) or _judged(name, stage, part, path)
            layers.append(Layer(name, stored, tuple(stage.writes)))
            progress.add(part.base.rows)
    return layers


def _judged(name: str, stage: RowStage, part: Part, path: Path) -> Stored:
    """Run a stage over one part; a call of its own, so that no part's rows live on while the next is read."""
    rows = part.kept(stage.reads)
    with own_code(name):
        verdicts = stage(rows)
    return _commit(name, path, rows["id"], verdicts, stage.writes)


def _run_corpus(name: str, stage: CorpusStage, parts: Sequence[Part], folder: Path) -> tuple[list[Layer], Stored]:
    everything = digest(*(part.lineage for part in parts))
    paths = [folder / f"{digest(everything, part.lineage)}.parquet" for part in parts]
    edges_path = folder / f"{everything}.similarity.parquet"
    files = [committed(path) for path in paths]
    similarity = committed(edges_path)
    if similarity is None or any(stored is None for stored in files):
        files, similarity = _compare(name, stage, parts, paths, edges_path)
    layers = [Layer(name, stored, tuple(stage.writes)) for stored in files if stored is not None]
    return layers, similarity


def _compare(
    name: str, stage: CorpusStage, parts: Sequence[Part], paths: Sequence[Path], edges_path: Path
) -> tuple[list[Stored | None], Stored]:
    """Take keys from every part, compare within buckets, decide on numbers, and give each part its own lines."""
    buckets, payloads, facts, offset = [], [], [], 0
    with Progress(name, sum(part.base.rows for part in parts)) as progress:
        for part in parts:
            rows = part.kept(tuple(dict.fromkeys((*stage.reads, *_known(part)))))
            with own_code(name):
                keys = stage.keys(rows)
            if keys.payload.height != rows.height:
                raise Conservation(f"{name}: keys() gave {keys.payload.height} payloads for {rows.height} rows")
            buckets.append(keys.buckets.with_columns(pl.col("row") + pl.lit(offset, pl.UInt32)))
            payloads.append(keys.payload)
            facts.append(_evidence(rows, stage.reads))
            offset += rows.height
            progress.add(part.base.rows)
    heights = [frame.height for frame in facts]
    rows = _ranked(pl.concat(facts))
    with own_code(name):
        edges = stage.edges(pl.concat(buckets), pl.concat(payloads).with_columns(rows["rank"], rows["toxic"]))
        verdicts = stage.decide(edges, rows)
    if verdicts.height != rows.height:
        raise Conservation(f"{name}: decide() gave {verdicts.height} verdicts for {rows.height} rows")
    verdicts = verdicts.with_columns(rows["id"].gather(verdicts["twin"].cast(pl.UInt32)).alias("twin"))
    files: list[Stored | None] = []
    start = 0
    for path, height in zip(paths, heights, strict=True):
        files.append(_commit(name, path, rows["id"].slice(start, height), verdicts.slice(start, height), stage.writes))
        start += height
    named = pl.DataFrame(
        {
            "a": rows["id"].gather(edges["a"].cast(pl.UInt32)),
            "b": rows["id"].gather(edges["b"].cast(pl.UInt32)),
            "score": edges["score"].cast(pl.Float32),
        }
    )
    return files, commit(edges_path, named.sort("a", "b"))


def _known(part: Part) -> tuple[str, ...]:
    """Columns that say how good a row's evidence is and, once a labeler ran, whether it is toxic."""
    columns = {name for layer in part.layers for name in layer.writes}
    return ("evidence", "given", "votes", "derived_from", *(name for name in ("toxic", "score_column") if name in columns))


def _evidence(rows: pl.DataFrame, reads: Sequence[str]) -> pl.DataFrame:
    """What `decide` is told of each row, the scores among `reads` included."""
    toxic = pl.lit(None, dtype=pl.Boolean)
    if "score_column" in rows.columns:
        score = pl.col("score_column")
        toxic = pl.when(score > 0.5).then(True).when(score < 0.5).then(False)
    if "toxic" in rows.columns:  # the consensus has spoken, abstentions included
        toxic = pl.col("toxic")
    kind = pl.col("evidence").replace_strict({kind: rank for rank, kind in enumerate(EVIDENCE)}, default=len(EVIDENCE))
    scores = [name for name in reads if name.startswith("score_")]
    generated = pl.col("derived_from").is_not_null() & pl.col("given").is_null()
    return rows.select(
        "id", toxic.alias("toxic"), kind.cast(pl.UInt8).alias("kind"), "given", "votes", *scores, generated=generated
    )


def _ranked(facts: pl.DataFrame) -> pl.DataFrame:
    """Visiting order: best evidence, most votes, found before generated, then id; independent of parts and files."""
    keys = ("kind", "votes", "generated", "id")
    order = facts.select(pl.arg_sort_by(*keys, descending=[False, True, False, False])).to_series()
    rank = pl.DataFrame({"at": order, "rank": pl.Series(range(facts.height), dtype=pl.UInt32)}).sort("at")["rank"]
    return facts.drop("generated").with_columns(rank)


def _commit(name: str, path: Path, ids: pl.Series, verdicts: pl.DataFrame, writes: Schema) -> Stored:
    if not isinstance(verdicts, pl.DataFrame):
        raise Conservation(f"{name}: gave back {type(verdicts).__name__}", hint="give back a polars DataFrame: rows.select(...)")
    if verdicts.height != len(ids):
        cure = "give one line per row, in order; rows.select of a constant alone gives one line, rows.with_columns gives all"
        raise Conservation(f"{name}: {len(ids)} rows in, {verdicts.height} lines out", hint=cure)
    if "id" in verdicts.columns and not verdicts["id"].equals(ids):
        raise Conservation(f"{name}: rows came back under other ids or in another order", hint="give them back as they came")
    if missing := [column for column in writes if column not in verdicts.columns]:
        raise Conservation(f"{name}: promised {', '.join(missing)} and did not write it", hint="write what `writes` names")
    kinds = {**writes, **VERDICT}
    for column, kind in VERDICT.items():
        if column not in verdicts.columns:
            verdicts = verdicts.with_columns(pl.lit(None, dtype=kind).alias(column))
    try:
        frame = verdicts.select(ids.alias("id"), *(pl.col(column).cast(kind) for column, kind in kinds.items()))
    except pl.exceptions.PolarsError:  # its message would quote texts
        types = verdicts.schema
        wrong = ", ".join(f"{column} is {types[column]}, not {kind}" for column, kind in kinds.items() if types[column] != kind)
        raise Conservation(f"{name}: {wrong}", hint="cast it to what was promised") from None
    for column in (column for column in writes if column.startswith("score_") and OWN.fullmatch(name)):
        if not frame[column].is_between(0, 1).all():  # nulls abstain
            raise Conservation(f"{name}: {column} leaves [0, 1]", hint="it is a probability; null where it abstains")
    dropped = frame["reason"].drop_nulls().value_counts().sort("reason")
    return commit(path, frame, dropped=dict(zip(dropped["reason"], dropped["count"], strict=True)))
