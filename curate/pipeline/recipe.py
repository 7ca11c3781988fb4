"""The recipe of a build: what it may say, how it is read, and that its parts fit one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from curate.compose.compose import DatasetOptions
from curate.core.config import build as build_config
from curate.core.config import choose, chosen_name, config, load, plain
from curate.core.contracts import Schema
from curate.core.errors import RecipeError, nearest
from curate.core.manifest import Json
from curate.core.schema import ROW
from curate.generation import GENERATORS
from curate.labelers import LABELERS
from curate.pairing import PAIRERS
from curate.raw.sources import SourceSettings
from curate.stages.encode import Encode
from curate.stages.table import STAGES

CLEANING = ("repair", "pii")  # stages that change texts
LIST = "write one a line, each after a dash, or [one, another]"

TABLE = STAGES | LABELERS


@config
class BuildRecipe:
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
    sources: tuple[SourceSettings, ...] = ()
    stages: tuple[Any, ...]
    generate: tuple[Any, ...] = ()
    pairing: tuple[Any, ...]
    dataset: DatasetOptions = DatasetOptions()
    against: tuple[str, ...] = ()
    quarantine_limit: Annotated[float, Field(ge=0, le=1)] = 0.5
    verdicts: str | None = None


def read_recipe(path: Path, sets: Sequence[str] = ()) -> BuildRecipe:
    """Read a recipe and settings on top; every slip is named before any work starts.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    return resolve(load(path, sets), path)


def resolve(tree: Json, path: Path) -> BuildRecipe:
    """A recipe of its tree, as YAML or a manifest holds it.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    for section, table, kind in (("stages", TABLE, "stage"), ("pairing", PAIRERS, "pairer")):
        entries = tree.get(section)
        if not isinstance(entries, list) or not entries:
            raise RecipeError(f"{path}: {section}: expected a list of {kind}s, found {type(entries).__name__}", hint=LIST)
        tree[section] = tuple(choose(table, entry, f"{path}: {section}[{at}]", kind) for at, entry in enumerate(entries))
    generators = tree.get("generate") or []
    if not isinstance(generators, (list, tuple)):
        raise RecipeError(f"{path}: generate: expected a list of generators, found {type(generators).__name__}", hint=LIST)
    tree["generate"] = tuple(
        choose(GENERATORS, entry, f"{path}: generate[{at}]", "generator") for at, entry in enumerate(generators)
    )
    recipe = build_config(BuildRecipe, tree, str(path))
    check_order(recipe, path)
    return recipe


def cleaning_of(recipe: BuildRecipe) -> list[Any]:
    """The stages that change texts, in order."""
    return [stage for stage in recipe.stages if chosen_name(TABLE, stage) in CLEANING]


def encode_of(recipe: BuildRecipe) -> Encode | None:
    """The stage that makes vectors, where there is one."""
    return next((stage for stage in recipe.stages if isinstance(stage, Encode)), None)


def check_order(recipe: BuildRecipe, path: Path) -> None:
    """Every column a stage reads is there before it; nothing leaves without the pii stage."""
    names = [chosen_name(TABLE, stage) for stage in recipe.stages]
    for needed in ("pii", "consensus"):
        if needed not in names:
            why = {"pii": "everything in --out is free of personal data", "consensus": "it decides which rows are toxic"}[needed]
            raise RecipeError(f"{path}: stages: {needed!r} is missing ({why})", hint=f"add {needed!r} to stages")
    check_encoder(names, recipe, path)
    available = set(ROW)
    for at, (name, stage) in enumerate(zip(names, recipe.stages, strict=True)):
        if names.index(name) != at:
            raise RecipeError(f"{path}: stages[{at}]: {name} stands here a second time", hint="remove one")
        for column in stage.reads:
            if column not in available:
                makers = [word for word, cls in TABLE.items() if column in _writes(cls)]
                cure = f"put {makers[0]!r} before it" if makers else nearest(column, available)
                raise RecipeError(f"{path}: stages[{at}]: {name} reads {column!r}, which nothing before it writes", hint=cure)
        if not callable(stage):  # rows that become one pool their labels: nothing may have been made of the single ones
            for early, other in zip(names[:at], recipe.stages[:at], strict=True):
                for column in sorted(set(other.reads) & set(stage.writes)):
                    where = f"{path}: stages[{at}]: {name}"
                    raise RecipeError(f"{where} changes {column!r}, which {early} read before it", hint=f"put {early!r} after it")
        available |= set(stage.writes)
    check_pairers(recipe, available, path)


def check_pairers(recipe: BuildRecipe, available: set[str], path: Path) -> None:
    """Every column a pairer reads is written by a stage."""
    for at, pairer in enumerate(recipe.pairing):
        for column in pairer.reads:
            if column not in available:
                where = f"{path}: pairing[{at}]: {chosen_name(PAIRERS, pairer)}"
                raise RecipeError(f"{where} reads {column!r}, which no stage writes", hint="add 'encode' to stages")


def check_encoder(names: Sequence[str], recipe: BuildRecipe, path: Path) -> None:
    """A labeler that was trained on one encoder's vectors is not given another's, however alike their shapes."""
    encode = encode_of(recipe)
    encoder = encode.encoder if encode is not None else None
    for name, stage in zip(names, recipe.stages, strict=True):
        wanted = getattr(stage, "vectors_of", encoder)
        if wanted != encoder:
            raise RecipeError(
                f"{path}: stages: {name} was trained on vectors of {wanted}, encode makes those of {encoder}",
                hint=f"give encode the encoder {wanted}, or leave {name!r} out",
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


def resolved(recipe: BuildRecipe) -> Json:
    """The recipe with every default written out."""
    tree: Json = plain(recipe)
    tree["stages"] = [{chosen_name(TABLE, stage): plain(stage)} for stage in recipe.stages]
    tree["generate"] = [{chosen_name(GENERATORS, generator): plain(generator)} for generator in recipe.generate]
    tree["pairing"] = [{chosen_name(PAIRERS, pairer): plain(pairer)} for pairer in recipe.pairing]
    return tree
